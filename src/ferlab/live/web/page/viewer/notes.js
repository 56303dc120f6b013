// What was noted, as a list to go to, and what the session says of itself.

import { by, clock, make } from "ferlab/dom.js";

/** Fill the list of annotations; go(time) is called for the one that is chosen. */
export function annotations(session, palette, go) {
  const rows = [
    ...session.events.map(({ time, text }) => ({ from: time, text: text || "event" })),
    ...session.excluded.map(({ from, to }) => ({ from, to, text: "excluded" })),
    ...session.labelled.map(({ from, to, track, label }) => {
      const text = session.labels[label];
      return { from, to, text, who: track === null ? "all" : `#${track}`, colour: palette.get(text) };
    }),
  ].sort((a, b) => a.from - b.from);
  by("annotated-none").hidden = rows.length > 0;
  by("annotated-list").replaceChildren(...rows.map((row) => {
    const line = make("li"), button = make("button", "go"), swatch = make("span", "swatch");
    button.type = "button";
    button.dataset.time = row.from;
    if (row.colour) swatch.style.backgroundColor = row.colour;
    const who = row.who ? [make("span", "who", row.who)] : [];
    const until = row.to === undefined ? [] : [make("span", "dim", `until ${clock(row.to, true)}`)];
    button.append(make("time", "", clock(row.from, true)), ...(row.colour ? [swatch] : []), ...who, make("span", "label", row.text), ...until);
    button.addEventListener("click", () => go(row.from));
    line.append(button);
    return line;
  }));
}

/** Fill in what session.json says, and what is to be known of the folder. */
export function facts({ summary, notes }) {
  by("notes").replaceChildren(...notes.map((note) => make("li", "", note)));
  by("notes").hidden = notes.length === 0;
  by("facts").replaceChildren(...summary.flatMap(([name, text]) => [make("dt", "", name), make("dd", "", text)]));
}
