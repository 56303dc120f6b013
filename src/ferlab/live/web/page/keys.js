// Keys for all that has a button, and the panel that lists them. A key presses its button: what is hidden or off has none.

import { by, make } from "ferlab/dom.js";
import { keep, kept } from "ferlab/kept.js";

const NAMES = { " ": "Space", arrowleft: "←", arrowright: "→", arrowup: "↑", arrowdown: "↓", home: "Home", end: "End" };

/**
 * Of buttons with data-key, and more, [{key, name, act, off}] without a button; off() says that one is not there now.
 * Gives a function that lists what there is.
 */
export function begin(more) {
  const on = by("keys-on");
  on.checked = kept("keys", "on") === "on";
  on.addEventListener("change", () => keep("keys", on.checked ? "on" : "off"));
  hint();
  document.addEventListener("keydown", (event) => {
    if (!taken(event, on.checked)) return;
    const extra = there(more).find((each) => each.key === event.key.toLowerCase());
    const button = buttons().find((each) => each.dataset.key === event.key.toLowerCase());
    if (!extra && !button) return;
    event.preventDefault();
    if (extra) extra.act();
    else button.click();
  });
  by("help").addEventListener("click", () => {
    list(there(more));
    by("keys-dialog").showModal();
  });
  return hint;
}

/** Whether a key press is for the page, and not for what has the focus. */
function taken(event, on) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || document.querySelector("dialog[open]")) return false;
  if (!on && event.key !== "?") return false;
  const { target } = event;
  if (target.closest("input:not([type=checkbox]), select, textarea")) return false;
  return !([" ", "Enter"].includes(event.key) && target.closest("button, summary, a, input"));
}

function buttons() {
  return [...document.querySelectorAll("button[data-key]")].filter((each) => !each.hidden && !each.disabled);
}

function there(more) {
  return more.filter((each) => !each.off?.());
}

/** Say each key where its button is pointed at, and to screen readers. */
function hint() {
  for (const button of buttons()) {
    button.setAttribute("aria-keyshortcuts", NAMES[button.dataset.key] ?? button.dataset.key);
    if (!button.title) button.title = `${said(button)} (${shown(button.dataset.key)})`;
  }
}

function list(more) {
  const rows = buttons().map((each) => [each.dataset.key, said(each)]);
  const all = [...rows, ...more.map((each) => [each.key, each.name])];
  by("keys-list").replaceChildren(...all.map(([key, name]) => {
    const row = make("div"), term = make("dt");
    term.append(make("kbd", "", shown(key)));
    row.append(term, make("dd", "", name));
    return row;
  }));
}

function said(button) {
  return button.dataset.says ?? button.textContent.trim();
}

function shown(key) {
  return NAMES[key] ?? key.toUpperCase();
}
