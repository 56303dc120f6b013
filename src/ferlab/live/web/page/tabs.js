// Tabs, as ARIA's authoring practices have them: arrows, Home and End move; the panel of the tab in focus is shown.

import { by } from "ferlab/dom.js";

/** Make the tabs of a tablist work; changed(id) is told which panel is shown. Gives a function that shows one. */
export function begin(list, changed = () => {}) {
  const all = () => [...list.querySelectorAll('[role="tab"]')].filter((tab) => !tab.hidden);
  const show = (tab) => {
    for (const each of list.querySelectorAll('[role="tab"]')) {
      const chosen = each === tab;
      each.setAttribute("aria-selected", chosen);
      each.tabIndex = chosen ? 0 : -1;
      by(each.getAttribute("aria-controls")).hidden = !chosen;
    }
    changed(tab.getAttribute("aria-controls"));
  };
  list.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab) show(tab);
  });
  list.addEventListener("keydown", (event) => {
    const tabs = all(), now = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined || now < 0) return;
    event.preventDefault();
    const tab = tabs[(to + tabs.length) % tabs.length];
    tab.focus();
    show(tab);
  });
  return (id) => show(by(`tab-${id}`));
}
