// Pictures and videos that are chosen, dropped or pasted, and the bar under the stage that moves in a video.

import { by, clock, write } from "ferlab/dom.js";

/** opened(file) is called for each file that comes. */
export function begin(opened) {
  const input = by("file-input"), stage = by("stage");
  for (const id of ["file", "begin-file"]) by(id).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files[0]) opened(input.files[0]);
    input.value = ""; // so that the same file may be chosen again
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault(); // a file that misses the stage would be opened instead of the page
    stage.classList.toggle("over", stage.contains(event.target));
  });
  document.addEventListener("dragleave", () => stage.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    if (event.dataTransfer.files[0]) opened(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData?.files[0]) opened(event.clipboardData.files[0]);
  });
}

export class Transport {
  /** on: {moved(), closed()}: somebody went to another place of the video, or closed the file. */
  constructor(on) {
    this.source = null;
    by("seek").addEventListener("input", () => {
      this.source.video.currentTime = Number(by("seek").value);
      on.moved();
    });
    by("file-close").addEventListener("click", on.closed);
  }

  /** Show the bar for a file; null for a camera. */
  show(source) {
    this.source = source;
    by("transport").hidden = !source;
    if (!source) return;
    const moves = source.kind === "video";
    by("file-name").textContent = source.name;
    by("seek").hidden = by("seek-time").hidden = !moves;
    if (moves) by("seek").max = Number.isFinite(source.video.duration) ? source.video.duration : 0;
    this.tick();
  }

  tick() {
    const { video } = this.source ?? {};
    if (!video) return;
    if (document.activeElement !== by("seek") || !video.paused) by("seek").value = video.currentTime;
    write(by("seek-time"), `${clock(video.currentTime)} / ${clock(video.duration || 0)}`);
    by("seek").setAttribute("aria-valuetext", by("seek-time").textContent);
  }
}
