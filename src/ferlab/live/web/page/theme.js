// Dark or light: as the system has it, until the switch is used. Canvases read their colours from the page's style.

import { by, put } from "ferlab/dom.js";
import { kept, keep } from "ferlab/kept.js";

const ORDER = ["auto", "light", "dark"];

/** Take up what was chosen; changed() is called whenever colours are other ones. */
export function begin(changed) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", changed);
  show(kept("theme", "auto"));
  by("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme;
    const next = ORDER[(ORDER.indexOf(now) + 1) % ORDER.length];
    keep("theme", next);
    show(next);
    changed();
  });
}

/** The colours of the page at this moment, for canvases. */
export function look() {
  const style = getComputedStyle(by("timeline"));
  return {
    ink: style.color, ground: style.backgroundColor, line: style.borderTopColor, dim: style.outlineColor,
    font: `11px ${style.fontFamily}`,
  };
}

function show(theme) {
  document.documentElement.dataset.theme = ORDER.includes(theme) ? theme : "auto";
  const name = { auto: "as the system has it", light: "light", dark: "dark" }[document.documentElement.dataset.theme];
  by("theme-text").textContent = `Theme: ${name}`;
  put(by("theme"), "title", `Theme: ${name} (T)`);
}
