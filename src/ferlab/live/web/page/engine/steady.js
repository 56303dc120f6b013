// Boxes that do not jitter, the One-Euro filter: ferlab.live.steady.

const { fround } = Math;

/** Smooths every track's box: strongly while it rests, hardly while it moves. known: the constants of `Steady`. */
export class Steady {
  constructor(known) {
    this.known = known;
    this.traces = new Map(); // track -> {box, speed, time}
  }

  /** Give the faces of a frame, which have tracks, their steady `box`; time in s. */
  smooth(time, faces) {
    for (const [track, trace] of this.traces) if (time - trace.time > this.known.patience) this.traces.delete(track);
    for (const face of faces) face.box = this.one(face.track, face.box, time).map(fround);
  }

  one(track, box, time) {
    const trace = this.traces.get(track), { rest, follow, speed: hertz } = this.known;
    if (!trace || time <= trace.time) {
      this.traces.set(track, { box, speed: [0, 0, 0, 0], time });
      return box;
    }
    const passed = time - trace.time, side = Math.max(box[2], box[3], 1), own = weight(hertz, passed);
    trace.speed = trace.speed.map((speed, i) => speed + own * ((box[i] - trace.box[i]) / passed - speed));
    const cutoffs = trace.speed.map((speed) => rest + (follow * Math.abs(speed)) / side);
    trace.box = trace.box.map((value, i) => value + weight(cutoffs[i], passed) * (box[i] - value));
    trace.time = time;
    return trace.box;
  }
}

/** Weight of a new value in an exponential mean with this cut-off in Hz, `passed` s after the last one. */
function weight(cutoff, passed) {
  const turned = 2 * Math.PI * cutoff * passed;
  return turned / (turned + 1);
}
