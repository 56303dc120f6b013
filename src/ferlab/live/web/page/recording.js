// Recording, kept by the server in a folder of its own, and screenshots, kept by the browser as PNG.

import { by, clock } from "ferlab/dom.js";

export class Recording {
  /** on: {send(message), say(text, kind), runs() whether a source does, changed(on, folder)}; can: of the hello. */
  constructor(stage, can, on) {
    Object.assign(this, { stage, can, on, running: false });
    by("record").hidden = !can.record;
    by("record").addEventListener("click", () => this.toggle());
    by("shot").addEventListener("click", () => this.shot());
  }

  async toggle() {
    if (!this.running && !this.on.runs()) return this.on.say("A recording is of a source: start the camera first, or open a video.");
    try {
      await this.on.send({ type: "record", on: !this.running });
    } catch (error) {
      this.on.say(error.message, "error");
    }
  }

  /** What the engine says of the recording. */
  take({ on, folder, seconds = 0, frames = 0, why = "" }) {
    if (on && !this.running) this.on.say(`Recording to ${folder}${this.can.encrypted ? ", encrypted" : ""}`);
    if (!on && this.running) this.on.say(ended({ folder, seconds, frames, why }));
    Object.assign(this, { running: on, folder });
    this.began = performance.now() - 1000 * seconds;
    by("record").setAttribute("aria-pressed", on);
    by("record-text").textContent = on ? "Stop recording" : "Record";
    by("record").title = `${on ? "Stop recording" : "Record"} (R)`;
    by("recording-badge").hidden = !on;
    by("recording-badge").title = folder ?? "";
    by("recording-folder").textContent = (folder ?? "").split(/[\\/]/).at(-1);
    document.documentElement.dataset.recording = on;
    this.tick();
    this.on.changed(on, folder);
  }

  /** The connection is lost, and the recording with it. */
  lost() {
    if (this.running) this.take({ on: false, folder: this.folder, why: "the connection is lost", frames: null });
  }

  /** Show how long it is. */
  tick() {
    if (this.running) by("recording-time").textContent = clock((performance.now() - this.began) / 1000);
  }

  /** The frame with its overlay as a download; and in the recording, where there is one. */
  async shot() {
    if (this.running) this.on.send({ type: "screenshot" }).catch((error) => this.on.say(error.message, "error"));
    if (this.can.blur) {
      // What blur hides in recordings must not leave by another door.
      if (!this.running) this.on.say("Faces are blurred (blur=true): screenshots are kept in a recording alone.");
      return;
    }
    const png = await this.stage.png();
    if (!png) return this.on.say("There is no picture yet.");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(png);
    link.download = `ferlab-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
}

/** What a person should know of a recording that ended. */
function ended({ folder, seconds, frames, why }) {
  const because = why ? ` It ended because ${why}.` : "";
  if (frames === null) return `What was recorded until now is in ${folder}.${because}`;
  if (!folder) return `Nothing was recorded.${because}`;
  return `Recorded ${frames} ${frames === 1 ? "frame" : "frames"}, ${clock(seconds)}, in ${folder}.${because}`;
}
