// Annotations by key: an event is a moment; what is excluded, and the label of a face, are spans that a second press ends.

import { by, clock, make } from "ferlab/dom.js";

const DIGITS = 8; // labels that have a key

export class Annotate {
  /**
   * labels: the model's names; palette: their colours.
   * on: {send(message), time() of the frame shown in s, selected() the track or null, refused(text)}.
   */
  constructor(labels, palette, on) {
    Object.assign(this, { labels, palette, on, open: new Map(), recording: false });
    by("annotate-event").addEventListener("click", () => this.press("event"));
    by("annotate-exclude").addEventListener("click", () => this.press("exclude"));
    by("annotate-labels").replaceChildren(...labels.map((label, i) => this.button(label, i)));
    by("annotate-title").hidden = !labels.length;
    this.show();
  }

  button(label, i) {
    const button = make("button"), swatch = make("span", "swatch");
    button.type = "button";
    Object.assign(button.dataset, { says: `Label: ${label}`, label });
    if (i < DIGITS) {
      button.dataset.key = i + 1;
      button.append(make("kbd", "", String(i + 1)));
    }
    swatch.style.backgroundColor = this.palette.get(label);
    button.append(swatch, make("span", "", label));
    button.addEventListener("click", () => this.press("label", label));
    return button;
  }

  /** A recording begins or ends: spans end with it. */
  record(on, folder) {
    if (on === this.recording) return;
    this.recording = on;
    this.folder = folder;
    for (const { until } of this.open.values()) until.textContent = "until its end";
    this.open.clear();
    if (on) {
      by("annotated-list").replaceChildren();
      by("annotated-none").hidden = false;
    }
    this.show();
  }

  /** The selected face is another one. */
  show() {
    const track = this.on.selected();
    by("annotate-hint").textContent = this.recording
      ? `Kept in ${this.folder ?? "the recording"}, with the time of the frame that is shown.`
      : "Annotations belong to a recording: start one with R.";
    by("annotate-title").textContent = track == null ? "Label of the selected face" : `Label of face #${track}`;
    by("annotate-exclude").setAttribute("aria-pressed", this.open.has("exclude"));
    for (const button of by("annotate-labels").children) {
      button.setAttribute("aria-pressed", this.open.get(`label ${track}`)?.label === button.dataset.label);
    }
  }

  async press(kind, label = null) {
    if (!this.recording) return this.on.refused("Annotations belong to a recording: start one first (R).");
    const track = kind === "label" ? this.on.selected() : null;
    if (kind === "label" && track == null) return this.on.refused("There is no face to label.");
    const span = kind === "label" ? `label ${track}` : kind, time = this.on.time();
    const before = this.open.get(span);
    if (before) await this.end(span, before, time); // one that follows begins at the very time: there is no gap in the truth
    if (!before || before.label !== label) await this.begin(span, { kind, label, track }, time);
  }

  async begin(span, annotation, time) {
    if (!(await this.told({ ...annotation, time, on: true }))) return;
    const { kind, label, track } = annotation;
    const line = make("li"), swatch = make("span", "swatch");
    if (label) swatch.style.backgroundColor = this.palette.get(label);
    else swatch.hidden = true;
    const until = make("span", "dim", kind === "event" ? "" : "until now");
    const who = track == null ? [] : [make("span", "who", `#${track}`)];
    line.append(make("time", "", clock(time, true)), ...who, swatch, make("span", "label", label ?? kind), until);
    by("annotated-list").prepend(line);
    by("annotated-none").hidden = true;
    if (kind !== "event") this.open.set(span, { ...annotation, until });
    this.show();
  }

  async end(span, { until, ...annotation }, time) {
    if (!(await this.told({ ...annotation, time, on: false }))) return;
    this.open.delete(span);
    until.textContent = `until ${clock(time, true)}`;
    this.show();
  }

  /** Whether the engine took it. */
  async told(annotation) {
    try {
      await this.on.send({ type: "annotate", ...annotation });
      return true;
    } catch (error) {
      this.on.refused(error.message);
      return false;
    }
  }
}
