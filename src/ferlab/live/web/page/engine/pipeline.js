// One frame at a time: find the faces, follow them, steady their boxes, cut and prepare them, answer, smooth:
// ferlab.live.pipeline. A tuning is {smooth, score, smallest}.

import { crops } from "ferlab/engine/crop.js";
import { channels, prepare } from "ferlab/engine/prepare.js";
import { Levels, Smoother, largest, ordered } from "ferlab/engine/smooth.js";
import { Steady } from "ferlab/engine/steady.js";
import { Tracker } from "ferlab/engine/track.js";

export class Pipeline {
  /**
   * known: what Python says of the model and of its own stages. detector: with `find`. answer(inputs, count): a promise of
   * what the model says, a row of numbers a face by head.
   */
  constructor(known, detector, answer, tuning) {
    Object.assign(this, { known, detector, answer, tuning, track: new Tracker(known.track), steady: new Steady(known.steady) });
    this.begin();
  }

  begin() {
    const { smooth } = this.tuning, { track } = this, { memory } = this.known.track, { most } = this.known.smooth;
    this.smoother = new Smoother(smooth, memory, track.heirs, most);
    this.levels = new Levels(smooth, memory, track.heirs, most);
  }

  /** Go on with another tuning: faces stay who they are, and smoothing begins anew only where it is another. */
  tune(tuning) {
    const before = this.tuning;
    this.tuning = tuning;
    if (!same(before.smooth, tuning.smooth)) this.begin();
  }

  /** The faces of a frame as messages have them, and how long each part took, in ms; frames come in the order of their times. */
  async see(picture, time) {
    const { known, tuning } = this, begun = performance.now();
    const every = await this.detector.find(picture, tuning.score, tuning.smallest);
    const faces = chosen(every, known.most);
    this.track.follow(time, faces);
    this.steady.smooth(time, faces);
    const found = performance.now();
    const answers = faces.length ? await this.ask(picture, faces) : {};
    const answered = performance.now();
    const people = this.people(time, faces, answers);
    return { faces: people, ms: { detector: found - begun, classifier: answered - found, pipeline: performance.now() - begun } };
  }

  async ask(picture, faces) {
    const { spec, fit } = this.known, whole = this.detector.name === "none"; // it is cut already
    const cut = whole ? [picture] : crops(picture, faces.map(({ box }) => box), faces.map(({ landmarks }) => landmarks), spec.face, fit);
    const size = channels(spec) * spec.size ** 2, inputs = new Uint8Array(size * cut.length);
    cut.forEach((crop, i) => inputs.set(prepare(crop, spec), i * size));
    return this.answer(inputs, cut.length);
  }

  people(time, faces, { expression, affect }) {
    const numbers = faces.map(({ track }) => track), names = this.known.spec.expression;
    const shown = expression && this.smoother.take(time, numbers, expression);
    const levels = affect && this.levels.take(time, numbers, affect);
    return faces.map(({ track, box, score }, i) => {
      const person = { track, box, score };
      if (shown) Object.assign(person, said(names, shown[i], expression[i]));
      if (levels) [person.valence, person.arousal] = levels[i];
      return person;
    });
  }
}

/** The `most` largest faces, in their order. */
function chosen(faces, most) {
  const areas = faces.map(({ box }) => box[2] * box[3]);
  return ordered(areas).slice(0, most).sort((a, b) => a - b).map((i) => faces[i]);
}

function said(names, { shares, label, uncertain, second }, unsmoothed) {
  return {
    label: names[label], confidence: shares[label], uncertain, second: second === null ? null : names[second],
    expression: Object.fromEntries(ordered(shares).map((i) => [names[i], shares[i]])),
    unsmoothed: names[largest(unsmoothed)],
  };
}

/** Whether two smoothings are the same. */
export function same(a, b) {
  return Object.keys(a).every((key) => a[key] === b[key]);
}
