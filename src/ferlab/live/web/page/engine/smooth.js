// Answers that flicker made steady: ferlab.live.smooth. Shares are the probabilities of one face, in the order of the labels.

/** By how much the likeliest label leads the next. */
export function gap(shares) {
  if (shares.length < 2) return 1;
  const [first, second] = [...shares].sort((a, b) => b - a);
  return first - second;
}

/** The mean of the last `window` seconds; `most` answers are held, whatever their times. */
class Average {
  constructor({ window }, most) {
    Object.assign(this, { window, most, past: [] });
  }

  take(time, shares) {
    this.remember(time, shares);
    return meanSince(this.past, time - this.window);
  }

  remember(time, shares) {
    this.past.push({ time, shares });
    while (this.past.length > this.most || this.past[0].time < time - this.window) this.past.shift();
  }

  copy() {
    return Object.assign(Object.create(Object.getPrototypeOf(this)), this, { past: [...this.past] });
  }
}

/** A mean over less of the window the surer the newest answer is: its last tenth, its last half, or three moments. */
class Adaptive extends Average {
  constructor(how, most) {
    super(how, most);
    Object.assign(this, { snap: how.snap, transition: how.transition });
  }

  take(time, shares) {
    this.remember(time, shares);
    const { past, window } = this, lead = gap(shares);
    if (lead >= this.snap) return meanSince(past, time - window / 10);
    if (lead >= this.transition) return meanSince(past, time - window / 2);
    const half = (past[0].time + time) / 2;
    const middle = past.reduce((best, each) => (Math.abs(each.time - half) < Math.abs(best.time - half) ? each : best));
    return mean([past[0].shares, middle.shares, shares]);
  }
}

/** An exponential mean that forgets with `window` seconds, and faster the surer an answer is. */
class Exponential {
  constructor({ window }) {
    Object.assign(this, { window, time: null, mean: null });
  }

  take(time, shares) {
    if (this.mean) {
      const constant = this.window * (1 - gap(shares));
      const weight = constant > 0 ? 1 - Math.exp(-(time - this.time) / constant) : 1;
      shares = this.mean.map((value, i) => value + weight * (shares[i] - value));
    }
    this.time = time;
    this.mean = shares;
    return shares;
  }

  copy() {
    return Object.assign(new Exponential(this), this);
  }
}

/** Ways of smoothing by name; none is a way too. */
export const FILTERS = { average: Average, adaptive: Adaptive, exponential: Exponential };

/** Which label is shown: another one only after it has led for a while, or at once if it is strong. */
class Hold {
  constructor({ streak, strong }) {
    Object.assign(this, { streak, strong, shown: null, rival: null });
  }

  take(time, shares) {
    const best = largest(shares);
    if (this.shown === null || best === this.shown) {
      this.shown = best;
      this.rival = null;
      return best;
    }
    if (this.rival?.label !== best) this.rival = { label: best, time };
    if (shares[best] >= this.strong || time - this.rival.time >= this.streak) {
      this.shown = best;
      this.rival = null;
    }
    return this.shown;
  }

  copy() {
    return Object.assign(new Hold(this), this);
  }
}

/** Smooths the answers of every track apart, and forgets a track that was not seen for `patience` seconds. */
export class Smoother {
  /** how: of `Smoothing`; heirs: new track -> lost one, whose smoothing goes on; most: answers of a face that are held. */
  constructor(how, patience, heirs, most) {
    Object.assign(this, { how, patience, heirs, most, tracks: new Map() });
  }

  /** Of each track's shares in a frame: {shares, label, uncertain, second}, smoothed; labels are positions. */
  take(time, numbers, answers) {
    const found = numbers.map((number, i) => this.one(time, number, Array.from(answers[i])));
    forget(this.tracks, time, this.patience);
    return found;
  }

  one(time, number, shares) {
    const track = this.tracks.get(number) ?? this.begun(number);
    this.tracks.set(number, track);
    track.time = time;
    const found = track.filter ? track.filter.take(time, shares) : shares, label = track.hold.take(time, found);
    const [second] = ordered(found).filter((each) => each !== label);
    const close = second !== undefined && Math.abs(found[label] - found[second]) < this.how.close;
    return { shares: found, label, uncertain: found[label] < this.how.certain, second: close ? second : null };
  }

  begun(number) {
    const lost = this.tracks.get(this.heirs.get(number)), { how } = this;
    if (lost) return { filter: lost.filter?.copy() ?? null, hold: lost.hold.copy() };
    return { filter: how.window && FILTERS[how.filter] ? new FILTERS[how.filter](how, this.most) : null, hold: new Hold(how) };
  }
}

/** Valence and arousal of every track as the mean of the filter's window; they have no labels that could lead. */
export class Levels {
  constructor(how, patience, heirs, most) {
    Object.assign(this, { window: how.filter === "none" ? 0 : how.window, patience, heirs, most, tracks: new Map() });
  }

  /** The means of each track's [valence, arousal] in a frame. */
  take(time, numbers, values) {
    if (!this.window) return values.map((each) => Array.from(each));
    const found = numbers.map((number, i) => {
      const lost = this.tracks.get(this.heirs.get(number));
      const track = this.tracks.get(number) ?? { average: lost?.average.copy() ?? new Average(this, this.most) };
      this.tracks.set(number, track);
      track.time = time;
      return track.average.take(time, Array.from(values[i]));
    });
    forget(this.tracks, time, this.patience);
    return found;
  }
}

function forget(tracks, time, patience) {
  for (const [number, track] of tracks) if (time - track.time > patience) tracks.delete(number);
}

/** The place of the largest number, the first of equal ones. */
export function largest(values) {
  return values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
}

/** Places from the largest number down, equal ones in their order. */
export function ordered(values) {
  return Array.from(values.keys()).sort((a, b) => values[b] - values[a]);
}

/** The mean of the answers from `time` on; the newest if there is no other. */
function meanSince(past, time) {
  const recent = past.filter((each) => each.time >= time);
  return mean((recent.length ? recent : past.slice(-1)).map(({ shares }) => shares));
}

function mean(rows) {
  const sum = new Array(rows[0].length).fill(0);
  for (const row of rows) for (let i = 0; i < sum.length; i += 1) sum[i] += row[i];
  return sum.map((value) => value / rows.length);
}
