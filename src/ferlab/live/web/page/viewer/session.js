// A recorded session as the server gives it: columns of numbers, a value a frame or a face, and what was noted.

const FULL = 65535; // a probability of 1
const NONE = 255; // a label that is none
const AWAY = 0.5; // seconds without a face or a frame, after which a line starts anew
const TRAIL = 3; // seconds of the line behind valence and arousal

/** Load the session that the server shows. */
export async function load() {
  const [about, columns] = await Promise.all([
    taken("session/about.json").then((answer) => answer.json()),
    taken("session/columns.bin").then((answer) => answer.arrayBuffer()),
  ]);
  return new Session(about, columns);
}

async function taken(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`ferlab gave no ${address}: ${answer.status} ${answer.statusText}`);
  return answer;
}

export class Session {
  constructor(about, columns) {
    Object.assign(this, { about, labels: about.labels, frames: {}, faces: {} });
    const kinds = { Float64Array, Float32Array, Uint32Array, Uint16Array, Uint8Array };
    for (const { of, name, kind, at, count } of about.columns) this[of][name] = new kinds[kind](columns, at, count);
    const { time } = this.frames;
    this.begin = time[0];
    this.step = median(time); // seconds from a frame to the next
    this.end = time.at(-1) + this.step;
    this.frameOf = this.owners();
    this.tracks = this.spans();
    this.lanes = this.packed();
    this.labelled = about.annotations.labels.map(([from, to, track, label]) => ({ from, to: Math.min(to, this.end), track, label }));
    this.excluded = about.annotations.excluded.map(([from, to]) => ({ from, to: Math.min(to, this.end) }));
    this.events = about.annotations.events.map(([time, text]) => ({ time, text }));
  }

  /** The last frame at or before a time; -1 before the first. */
  frameAt(time) {
    return above(this.frames.time, time + 1e-4) - 1;
  }

  /** The faces that are shown at a time: those of its frame, unless that was long ago. */
  at(time) {
    const frame = this.frameAt(time);
    if (frame < 0 || time - this.frames.time[frame] > AWAY) return [];
    const to = this.frames.first[frame + 1] ?? this.frameOf.length;
    return Array.from({ length: to - this.frames.first[frame] }, (_, i) => this.face(this.frames.first[frame] + i));
  }

  /** A face as the server's answers have it. */
  face(row) {
    const { faces, labels } = this, k = labels.length, track = faces.track[row];
    const face = { track, box: [...faces.box.subarray(4 * row, 4 * row + 4)], score: faces.score[row], name: this.about.names[track] };
    if (k) {
      const label = faces.label[row], share = (i) => faces.shares[row * k + i] / FULL;
      Object.assign(face, {
        label: labels[label], confidence: share(label), uncertain: faces.uncertain[row] > 0,
        second: faces.second[row] === NONE ? null : labels[faces.second[row]],
        expression: Object.fromEntries(labels.map((name, i) => [name, share(i)])),
      });
    }
    if (this.about.affect) Object.assign(face, { valence: faces.valence[row], arousal: faces.arousal[row] });
    return face;
  }

  time(row) {
    return this.frames.time[this.frameOf[row]];
  }

  /** What the plot of valence and arousal asks for: the last seconds of the faces there are; see past.js. */
  past(time) {
    const tracks = new Map();
    for (const { track } of this.about.affect ? this.at(time) : []) {
      const lane = this.lanes[this.laneOf(track)], moments = [];
      for (let i = above(lane.times, time - TRAIL); i < lane.rows.length && lane.times[i] <= time + 1e-4; i += 1) {
        const row = lane.rows[i], gap = i > 0 && lane.times[i] - lane.times[i - 1] > AWAY;
        if (this.faces.track[row] !== track) continue;
        moments.push({ time: lane.times[i], gap, valence: this.faces.valence[row], arousal: this.faces.arousal[row] });
      }
      tracks.set(track, { moments });
    }
    return { now: time, tracks };
  }

  laneOf(track) {
    return this.tracks.get(track)?.lane ?? 0;
  }

  /** The time of the next change of a lane's label after a time, or the last before it; null if there is none. */
  change(lane, time, forward) {
    const { rows, times } = this.lanes[lane], { label, track } = this.faces;
    if (!label) return null;
    const by = forward ? 1 : -1;
    for (let i = forward ? above(times, time + 1e-3) : above(times, time - 1e-3) - 1; i > 0 && i < rows.length; i += by) {
      if (label[rows[i]] !== label[rows[i - 1]] || track[rows[i]] !== track[rows[i - 1]]) return times[i];
    }
    return null;
  }

  /** The frame of each face. */
  owners() {
    const { first } = this.frames, owners = new Uint32Array(this.faces.track.length);
    for (let i = 0; i < first.length; i += 1) owners.fill(i, first[i], first[i + 1] ?? owners.length);
    return owners;
  }

  /** Of each track when it was there first and last, in the order of that. */
  spans() {
    const tracks = new Map(), { track } = this.faces;
    for (let row = 0; row < track.length; row += 1) {
      const each = tracks.get(track[row]), time = this.time(row);
      if (each) {
        each.to = time;
        each.count += 1;
      } else tracks.set(track[row], { track: track[row], from: time, to: time, count: 1 });
    }
    return tracks;
  }

  /** Tracks in as few lanes as hold them beside each other; a face that was lost goes on in the lane that it had. */
  packed() {
    const lanes = [];
    for (const each of this.tracks.values()) {
      let lane = -1;
      lanes.forEach((other, i) => {
        if (other.to < each.from && (lane < 0 || other.to > lanes[lane].to)) lane = i;
      });
      if (lane < 0) lane = lanes.push({ count: 0 }) - 1;
      lanes[lane].to = each.to;
      lanes[lane].count += each.count;
      each.lane = lane;
    }
    for (const lane of lanes) Object.assign(lane, { rows: new Uint32Array(lane.count), times: new Float64Array(lane.count), filled: 0 });
    const { track } = this.faces;
    for (let row = 0; row < track.length; row += 1) {
      const lane = lanes[this.tracks.get(track[row]).lane];
      lane.rows[lane.filled] = row;
      lane.times[lane.filled] = this.time(row);
      lane.filled += 1;
    }
    return lanes;
  }
}

/** The place of the first of rising values that is above one. */
export function above(values, value) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

function median(times) {
  const steps = [];
  const every = Math.max(1, Math.floor(times.length / 1000));
  for (let i = 1; i < times.length; i += every) steps.push(times[i] - times[i - 1]);
  return steps.sort((a, b) => a - b)[steps.length >> 1] || 1 / 30; // of one frame, or of frames of one time
}

export { AWAY, FULL };
