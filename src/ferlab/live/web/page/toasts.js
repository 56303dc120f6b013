// Messages that come and go. What the server says is text, whatever it looks like.

import { by, make } from "ferlab/dom.js";

const MOST = 4; // at once
const STAYS = { note: 7000, error: 14_000 }; // ms; not while it is pointed at, or has the focus

/** Show a line; the same line again is counted and not repeated. */
export function toast(text, kind = "note") {
  const list = by("toasts");
  const same = [...list.children].find((each) => each.dataset.text === text);
  if (same) {
    same.dataset.times = Number(same.dataset.times) + 1;
    same.querySelector(".times").textContent = `× ${same.dataset.times}`;
    return wait(same, kind);
  }
  const element = make("div", `toast ${kind}`);
  element.setAttribute("role", kind === "error" ? "alert" : "status");
  Object.assign(element.dataset, { text, times: 1, kind });
  const close = make("button", "icon", "×");
  close.type = "button";
  close.setAttribute("aria-label", "Dismiss");
  close.addEventListener("click", () => element.remove());
  element.append(make("p", "", text), make("span", "times"), close);
  list.append(element);
  while (list.children.length > MOST) list.firstElementChild.remove();
  wait(element, kind);
}

const timers = new WeakMap();

function wait(element, kind) {
  clearTimeout(timers.get(element));
  timers.set(element, setTimeout(() => {
    if (element.matches(":hover, :focus-within")) wait(element, kind);
    else element.remove();
  }, STAYS[kind]));
}
