// Changes of labels, the newest first, each with its time, its face, and how long the label before was shown.

import { clock, make } from "ferlab/dom.js";

const MOST = 200; // lines
const FORGOTTEN = 30; // seconds after which a face that is not seen is no more expected

export class History {
  constructor(list, none, palette) {
    Object.assign(this, { list, none, palette });
    this.clear();
  }

  clear() {
    this.shown = new Map(); // track -> {label, since, seen}
    this.changes = 0;
    this.list.replaceChildren();
    this.none.hidden = false;
  }

  /** Compare an answer's labels with those before. */
  note(answer) {
    for (const face of answer.faces) {
      if (face.label == null) continue;
      const before = this.shown.get(face.track);
      if (before?.label === face.label) {
        before.seen = answer.time;
        continue;
      }
      this.shown.set(face.track, { label: face.label, since: answer.time, seen: answer.time });
      this.add(answer.time, face, before);
    }
    for (const [track, each] of this.shown) if (answer.time - each.seen > FORGOTTEN) this.shown.delete(track);
  }

  add(time, face, before) {
    this.changes += 1;
    const line = make("li");
    const swatch = make("span", "swatch");
    swatch.style.backgroundColor = this.palette.get(face.label);
    const how = before ? `after ${(time - before.since).toFixed(1)} s of ${before.label}` : "first seen";
    line.append(make("time", "", clock(time, true)), make("span", "who", `#${face.track}`), swatch, make("span", "label", face.label), make("span", "dim", how));
    this.list.prepend(line);
    if (this.list.children.length > MOST) this.list.lastElementChild.remove();
    this.none.hidden = true;
  }
}
