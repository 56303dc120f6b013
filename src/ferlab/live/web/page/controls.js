// Settings that may change while it runs: how answers are smoothed, and which faces are answered.

import { by, make } from "ferlab/dom.js";

const AFTER = 150; // ms without another change, after which it is sent
const FILTERS = ["none", "average", "adaptive", "exponential"];
// Key of the smoothing, name, most, step, unit, what it does.
const SMOOTH = [
  ["window", "Memory", 3, 0.05, "s", "How long the filter remembers. Longer is steadier, and slower."],
  ["streak", "Patience", 3, 0.05, "s", "How long another label must lead before it is shown."],
  ["strong", "At once from", 1, 0.01, "", "A probability from which another label is shown at once."],
  ["certain", "Certain from", 1, 0.01, "", "Below this probability a label is called uncertain."],
  ["close", "Close below", 1, 0.01, "", "If its lead is smaller, the second label is named too."],
  ["snap", "Snap from", 1, 0.01, "", "A lead from which the adaptive filter takes the last tenth of its memory."],
  ["transition", "Half from", 1, 0.01, "", "A lead from which it takes the last half."],
];
const ADAPTIVE = ["snap", "transition"];

export class Controls {
  /**
   * panel: the element. send(settings): a promise of those that the engine has in force, null where it cannot say.
   * changed(settings): others are.
   */
  constructor(panel, send, changed) {
    Object.assign(this, { panel, send, changed, sliders: new Map(), version: 0 });
  }

  /** Build what a hello says there is. */
  begin(hello) {
    this.presets = hello.presets;
    this.names = Object.keys(hello.presets);
    this.settings = structuredClone(hello.settings);
    this.detects = hello.detector.name === "yunet";
    this.build();
    this.show();
  }

  /** Ask the engine for what the sliders say; they show what it makes of it, unless they were moved meanwhile. */
  async ask() {
    const { version } = this;
    const found = await this.send(this.settings);
    if (!found || version !== this.version) return;
    const { preset, smooth, score, smallest } = found;
    this.settings = { preset, smooth, score, smallest };
    this.show();
    this.changed(this.settings);
  }

  /** Take the next preset. */
  next() {
    const at = this.names.indexOf(this.settings.preset);
    this.choose(this.names[(at + 1) % this.names.length]);
  }

  build() {
    const smooth = this.group("Smoothing");
    smooth.append(this.presetRow(), this.filterRow());
    for (const row of SMOOTH) smooth.append(this.slider(...row));
    const faces = this.group("Faces that are answered");
    const least = { score: ["score", "Score from", 1, 0.01, "", "Of the detector: how sure it must be that it is a face."] };
    if (this.detects) faces.append(this.slider(...least.score, 0.01));
    faces.append(this.slider("smallest", "Smallest", 300, 1, "px", "Longer side of the smallest face, in the picture that is sent.", 1));
    const line = make("p", "command");
    this.command = make("code");
    line.append(make("span", "dim", "The same on the command line"), this.command);
    this.panel.replaceChildren(smooth, faces, line);
  }

  group(title) {
    const group = make("fieldset");
    group.append(make("legend", "title", title));
    return group;
  }

  presetRow() {
    const row = make("div", "choices");
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", "Preset");
    this.buttons = this.names.map((name) => {
      const button = make("button", "", name);
      Object.assign(button, { type: "button", id: `preset-${name}` });
      button.addEventListener("click", () => this.choose(name));
      return button;
    });
    row.append(...this.buttons);
    return row;
  }

  filterRow() {
    const row = make("div", "setting"), label = make("label", "", "Filter");
    this.filter = make("select");
    label.htmlFor = this.filter.id = "set-filter";
    for (const name of FILTERS) this.filter.append(new Option(name, name));
    this.filter.addEventListener("change", () => this.change("filter", this.filter.value));
    row.append(label, this.filter);
    return row;
  }

  slider(key, name, max, step, unit, does, min = 0) {
    const row = make("div", "setting"), label = make("label", "", name), value = make("output"), hint = make("p", "dim", does);
    const input = make("input");
    Object.assign(input, { type: "range", id: `set-${key}`, min, max, step });
    label.htmlFor = input.id;
    hint.id = `about-${key}`;
    value.setAttribute("for", input.id);
    input.setAttribute("aria-describedby", hint.id);
    const digits = step < 1 ? 2 : 0;
    const show = (number) => {
      value.textContent = `${Number(number).toFixed(digits)}${unit ? ` ${unit}` : ""}`;
      input.setAttribute("aria-valuetext", value.textContent);
    };
    input.addEventListener("input", () => {
      show(input.value);
      this.change(key, Number(input.value));
    });
    row.append(label, value, input, hint);
    this.sliders.set(key, { row, input, show });
    return row;
  }

  choose(name) {
    this.settings.preset = name;
    this.settings.smooth = { ...this.presets[name] };
    this.soon();
  }

  change(key, value) {
    if (key === "score" || key === "smallest") {
      this.settings[key] = value;
    } else {
      this.settings.smooth[key] = value;
      this.settings.preset = null;
    }
    this.soon();
  }

  /** Show it at once, and ask for it when the slider rests. */
  soon() {
    this.version += 1;
    this.show();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), AFTER);
  }

  show() {
    const { preset, smooth } = this.settings;
    for (const [i, name] of this.names.entries()) this.buttons[i].setAttribute("aria-pressed", name === preset);
    this.filter.value = smooth.filter;
    for (const [key, { row, input, show }] of this.sliders) {
      const value = smooth[key] ?? this.settings[key];
      if (Number(input.value) !== value) input.value = value;
      show(value);
      row.hidden = (ADAPTIVE.includes(key) && smooth.filter !== "adaptive") || (key === "window" && smooth.filter === "none");
    }
    this.command.textContent = this.words();
  }

  /** The keys that give these settings: the nearest preset, and what is different from it. */
  words() {
    const { preset, smooth, score, smallest } = this.settings;
    const own = (name) => Object.entries(smooth).filter(([key, value]) => this.presets[name][key] !== value);
    const near = preset ?? [...this.names].sort((a, b) => own(a).length - own(b).length)[0];
    const keys = [`preset=${near}`, ...own(near).map(([key, value]) => `smooth.${key}=${value}`)];
    return `ferlab live ${keys.join(" ")}${this.detects ? ` score=${score}` : ""} smallest=${smallest}`;
  }
}
