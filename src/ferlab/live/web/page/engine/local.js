// The engine in the page itself: model and detector lie in the file, and nothing leaves it.

import { Pipeline, same } from "ferlab/engine/pipeline.js";
import { prepare } from "ferlab/engine/prepare.js";
import { loaded } from "ferlab/engine/runtime.js";
import { FILTERS } from "ferlab/engine/smooth.js";

const KEEPS = "This page keeps nothing, for it has no server; ferlab live does.";

/** Resolves once the model is warm; see remote.js for what an engine has. */
export async function open({ on = () => {} } = {}) {
  const engine = new Local(await loaded());
  on({ type: "connection", state: "open" });
  return engine;
}

/** What the model says of face crops, `side` × `side` × 3 bytes each: its numbers by head, a Float32Array a face. */
export async function answers(crops, side) {
  const { known, model } = await loaded(), size = 3 * side ** 2, inputs = [];
  for (let at = 0; at < crops.length; at += size) {
    inputs.push(prepare({ width: side, height: side, channels: 3, data: crops.subarray(at, at + size) }, known.spec));
  }
  const whole = new Uint8Array(inputs.length * inputs[0].length);
  inputs.forEach((input, i) => whole.set(input, i * input.length));
  return model(whole, inputs.length);
}

class Local {
  constructor({ known, model, detector }) {
    const { smooth, score, smallest } = known.hello.settings;
    Object.assign(this, { known, model, detector, hello: known.hello, turn: Promise.resolve() });
    this.tuning = { smooth, score, smallest };
    this.begin();
  }

  get can() {
    return this.hello.can;
  }

  /** A source begins: new tracks, and time from 0. */
  begin() {
    this.pipeline = new Pipeline(this.known, this.detector, this.model, this.tuning);
    this.last = 0;
  }

  /** The answer to a frame {id, time in s, canvas}; an Error says why there is none. */
  answer({ id, time, canvas }) {
    const came = performance.now(), { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const frame = { id, time, picture: { width, height, channels: 4, data }, pipeline: this.pipeline, came, ready: performance.now() };
    const answer = this.turn.then(() => this.see(frame)); // one after the other: tracks go from frame to frame
    this.turn = answer.catch(() => {});
    return answer;
  }

  async see({ id, time, picture, pipeline, came, ready }) {
    if (pipeline !== this.pipeline) throw Object.assign(new Error("its source is over"), { lost: true });
    if (time < this.last) throw new Error(`a frame's time must not go back, got ${time} s after ${this.last} s; start again`);
    this.last = time;
    const begun = performance.now(), { width, height } = picture, { faces, ms } = await pipeline.see(picture, time);
    const spans = { queue: begun - ready, decode: ready - came, ...ms, server: performance.now() - came };
    return { type: "answer", id, time, width, height, faces, ms: spans };
  }

  /** A control message; gives the reply, null for one that has none. An Error says why it was refused. */
  async send(message) {
    if (message.type === "settings") return this.tune(message);
    if (!["start", "stop"].includes(message.type)) throw new Error(KEEPS);
    if (message.type === "start") this.begin();
    return null;
  }

  /** Other settings, from the next frame on; what a message leaves out stays. */
  tune({ preset = null, smooth = {}, score = this.tuning.score, smallest = this.tuning.smallest }) {
    const { presets } = this.hello, chosen = { ...(presets[preset] ?? this.tuning.smooth), ...smooth };
    const { filter, ...numbers } = chosen;
    for (const [key, value] of Object.entries({ ...numbers, score, smallest })) {
      if (!(value >= 0 && value < Infinity)) throw new Error(`${key} must be a number from 0, got ${value}`);
    }
    if (filter !== "none" && !Object.hasOwn(FILTERS, filter)) throw new Error(`unknown filter ${filter}`);
    this.tuning = { smooth: chosen, score, smallest };
    this.pipeline.tune(this.tuning);
    const name = Object.keys(presets).find((each) => same(presets[each], chosen)) ?? null;
    return { type: "settings", preset: name, ...this.tuning };
  }

  close() {}
}
