// What lies over the stage while no frame is on it: how to begin, that it begins, or what is wrong and what to do.

import { by } from "ferlab/dom.js";

const WORDS = {
  idle: ["What would people call it?", "The answer is how people would label this expression, not what somebody feels.", "Start the camera", "You can also drop a picture or a video here."],
  starting: ["Starting the camera", "The browser may ask whether this page may use it.", null, ""],
  opening: ["Opening the file", "", null, ""],
  warming: ["Warming up", "The model is being loaded.", null, ""],
  viewing: ["Waiting for a frame", "The source is the server's.", null, ""],
};

/** Show one of WORDS, or a Trouble {title, message}; null shows the stage. */
export function cover(what) {
  const page = document.documentElement, trouble = what instanceof Error;
  page.dataset.state = trouble ? "trouble" : (what ?? "running");
  by("cover").hidden = what === null;
  if (what === null) return;
  const [title, text, begin, hint] = trouble ? [what.title, what.message, "Try again", ""] : WORDS[what];
  by("cover-title").textContent = title;
  by("cover-text").textContent = text;
  by("cover-hint").textContent = hint;
  by("begin").hidden = by("begin-file").hidden = begin === null;
  by("begin-text").textContent = begin ?? "";
  by("cover").setAttribute("role", trouble ? "alert" : "group");
}
