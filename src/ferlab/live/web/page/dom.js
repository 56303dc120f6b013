// Small things that every part of the page does with elements. Text from outside is text: nothing here parses HTML.

/** The element with this id. */
export const by = (id) => document.getElementById(id);

/** An element with a class and text. */
export function make(tag, name = "", text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text) element.textContent = text;
  return element;
}

/** Set a text only if it is another one: what is unchanged is not laid out again. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set an attribute only if it is another one. */
export function put(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Seconds as 1:23, or 1:23.4 with a tenth. */
export function clock(seconds, tenth = false) {
  const whole = Math.max(0, tenth ? Math.floor(seconds * 10) / 10 : Math.floor(seconds));
  const rest = (whole % 60).toFixed(tenth ? 1 : 0).padStart(tenth ? 4 : 2, "0");
  return `${Math.floor(whole / 60)}:${rest}`;
}

/** A canvas's context in CSS pixels, at the size that the page gives it, at most twice as sharp. */
export function plotted(canvas) {
  const sharp = Math.min(2, devicePixelRatio || 1);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const size = [Math.round(width * sharp), Math.round(height * sharp)];
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  const ctx = canvas.getContext("2d");
  ctx.setTransform(sharp, 0, 0, sharp, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return { ctx, width, height };
}
