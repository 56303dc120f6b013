// What the browser keeps of the choices made in this page. Where it keeps nothing (a private window), they last for the visit.

const PREFIX = "ferlab.";

/** The text kept under a name, or another one. */
export function kept(name, other) {
  try {
    return localStorage.getItem(PREFIX + name) ?? other;
  } catch {
    return other;
  }
}

/** Keep a text. */
export function keep(name, text) {
  try {
    localStorage.setItem(PREFIX + name, text);
  } catch {
    // Nothing is lost but the choice at the next visit.
  }
}
