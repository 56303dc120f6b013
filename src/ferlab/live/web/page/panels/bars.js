// A card for every face: who it is, its label, and a bar for each label's probability. Click a face to select it.

import { ofFace } from "ferlab/colours.js";
import { make, put, write } from "ferlab/dom.js";

const WHOLE = 3; // faces that have all their bars; of more, only the selected one
const STAYS = 1000; // ms that the card of a face that was lost stays, so that the others do not jump

export class Bars {
  /** list, none: elements. hello: of the model; palette: its labels' colours. choose(track): a face was clicked. */
  constructor(list, none, hello, palette, choose) {
    const whole = hello.affect ? 1 : WHOLE; // there must be room for the plot of valence and arousal
    Object.assign(this, { list, none, names: hello.labels, palette, choose, whole, cards: new Map() });
  }

  /** Show the faces of an answer; now: ms. */
  draw(faces, selected, now) {
    for (const face of faces) {
      const card = this.cards.get(face.track) ?? this.added(face.track);
      card.seen = now;
      this.fill(card, face, face.track === selected);
    }
    for (const [track, card] of this.cards) {
      card.element.classList.toggle("gone", card.seen !== now);
      if (now - card.seen > STAYS) {
        card.element.remove();
        this.cards.delete(track);
      }
    }
    this.shown();
    this.list.classList.toggle("many", this.cards.size > this.whole);
  }

  clear() {
    this.cards.clear();
    this.list.replaceChildren();
    this.shown();
  }

  shown() {
    this.none.hidden = this.cards.size > 0;
  }

  added(track) {
    const element = make("li", "face");
    element.dataset.track = track;
    const head = make("button", "face-head");
    head.type = "button";
    head.addEventListener("click", () => this.choose(track));
    const parts = { chip: make("span", "swatch"), who: make("span", "who"), label: make("span", "label"), share: make("span", "share") };
    head.append(...Object.values(parts));
    const rows = this.names.map((name) => this.row(name));
    element.append(head);
    if (rows.length) {
      const bars = make("ul", "bars");
      bars.append(...rows.map((row) => row.element));
      element.append(bars);
    }
    const card = { element, head, ...parts, rows, seen: 0 };
    this.cards.set(track, card);
    const after = [...this.cards.keys()].filter((other) => other > track).sort((a, b) => a - b)[0];
    this.list.insertBefore(element, this.cards.get(after)?.element ?? null); // by number: a place of its own for each
    return card;
  }

  row(name) {
    const element = make("li"), label = make("span", "name", name), track = make("span", "track"), value = make("span", "value");
    const fill = make("span", "fill");
    fill.style.backgroundColor = this.palette.get(name);
    track.append(fill);
    element.append(label, track, value);
    return { element, fill, value };
  }

  fill(card, face, selected) {
    card.element.classList.toggle("selected", selected);
    put(card.head, "aria-pressed", selected);
    card.chip.style.backgroundColor = ofFace(face, this.palette);
    write(card.who, face.name ? `#${face.track} ${face.name}` : `#${face.track}`);
    write(card.label, face.label == null ? "" : `${face.label}${face.uncertain ? "?" : ""}`);
    write(card.share, face.confidence == null ? "" : `${Math.round(100 * face.confidence)} %`);
    this.names.forEach((name, i) => {
      const share = face.expression?.[name] ?? 0, row = card.rows[i];
      row.fill.style.transform = `scaleX(${share.toFixed(3)})`;
      write(row.value, `${Math.round(100 * share)} %`);
      row.element.classList.toggle("top", name === face.label);
    });
  }
}
