// The last half minute of every face, for the panels that draw it: one moment every STEP seconds, no more than PAST of them.

export const PAST = 30, STEP = 0.2; // seconds
const GAP = 0.7, LONG = 3; // seconds without a face, and without any answer, after which its line starts anew

export class Past {
  /** names: of the model's labels. */
  constructor(names) {
    this.names = names;
    this.clear();
  }

  /** Forget everything: another source begins. */
  clear() {
    this.now = 0;
    this.before = -Infinity; // time of the answer before
    this.tracks = new Map(); // number -> {seen, moments: [{time, label, shares, valence, arousal, gap}]}
  }

  /** Remember what is said of a frame's faces. */
  note(answer) {
    const latest = Math.max(this.before, answer.time - LONG); // slow answers are no gap, if the face is in each
    this.before = this.now = answer.time;
    for (const face of answer.faces) {
      const past = this.tracks.get(face.track) ?? { seen: -Infinity, moments: [] };
      this.tracks.set(face.track, past);
      const last = past.moments.at(-1);
      const moment = this.moment(face, answer.time, past.seen < latest && answer.time - past.seen > GAP);
      past.seen = answer.time;
      // The newest moment moves along until it is STEP away from the one before, so that the line's end is always new.
      const before = past.moments.at(-2);
      if (last && before && !moment.gap && !last.gap && last.time - before.time < STEP) past.moments.pop();
      past.moments.push(moment);
    }
    this.prune();
  }

  /** The numbers of the faces seen last, at most `most`, in the order of their numbers. */
  last(most) {
    const numbers = [...this.tracks.keys()].sort((a, b) => this.tracks.get(b).seen - this.tracks.get(a).seen);
    return numbers.slice(0, most).sort((a, b) => a - b);
  }

  moment(face, time, gap) {
    const shares = face.expression ? this.names.map((name) => face.expression[name] ?? 0) : null;
    return { time, gap, shares, label: face.label ?? null, valence: face.valence ?? null, arousal: face.arousal ?? null };
  }

  prune() {
    for (const [number, past] of this.tracks) {
      let old = 0;
      while (old < past.moments.length - 1 && past.moments[old + 1].time < this.now - PAST) old += 1;
      if (old) past.moments.splice(0, old);
      if (this.now - past.seen > PAST) this.tracks.delete(number);
    }
  }
}
