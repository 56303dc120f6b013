// Who is who from frame to frame: ferlab.live.track.

/** Gives each face a track, which no other face of the source ever gets. known: the constants of `Tracker`. */
export class Tracker {
  constructor(known) {
    this.known = known;
    this.heirs = new Map(); // new track -> the lost one, near which it began: likely the same person
    this.tracks = [];
    this.next = 0;
  }

  /** Give the faces of a frame their `track`; time in s. */
  follow(time, faces) {
    this.forget(time);
    const { overlap, patience } = this.known;
    const tracks = this.tracks.filter((track) => time - track.time <= patience);
    const pairs = tracks.flatMap((track) => faces.map((face) => ({ track, face, shared: shared(this.at(track, time), face.box) })));
    for (const face of faces) face.track = -1;
    const taken = new Set();
    for (const pair of pairs.sort((a, b) => b.shared - a.shared)) {
      if (pair.shared < overlap) break;
      if (pair.face.track >= 0 || taken.has(pair.track)) continue;
      pair.face.track = pair.track.number;
      taken.add(pair.track);
      this.see(pair.track, pair.face.box, time);
    }
    for (const face of faces.filter(({ track }) => track < 0)) {
      face.track = this.next;
      this.inherit(face.box, time, faces);
      this.tracks.push({ number: this.next, box: [...face.box], velocity: [0, 0], time });
      this.next += 1;
    }
  }

  /** The box of a track where it should be by now. */
  at({ box, velocity, time: then }, time) {
    const passed = Math.min(time - then, this.known.coast);
    return [box[0] + velocity[0] * passed, box[1] + velocity[1] * passed, box[2], box[3]];
  }

  see(track, box, time) {
    const passed = time - track.time, { inertia } = this.known;
    if (passed > 0) {
      const now = middle(box), before = middle(track.box);
      track.velocity = track.velocity.map((speed, i) => inertia * speed + (1 - inertia) * ((now[i] - before[i]) / passed));
    }
    track.box = [...box];
    track.time = time;
  }

  forget(time) {
    const longest = Math.max(this.known.patience, this.known.memory);
    this.tracks = this.tracks.filter((track) => time - track.time <= longest);
    const known = new Set(this.tracks.map(({ number }) => number));
    for (const number of this.heirs.keys()) if (!known.has(number)) this.heirs.delete(number);
  }

  /** Let the next track be the heir of the nearest lost one, if one is near. */
  inherit(box, time, faces) {
    const taken = new Set([...faces.map(({ track }) => track), ...this.heirs.values()]);
    let nearest = null, least = Infinity;
    for (const track of this.tracks) {
      if (taken.has(track.number) || time - track.time > this.known.memory) continue;
      const far = apart(this.at(track, time), box);
      if (far < least) [nearest, least] = [track, far];
    }
    if (least <= this.known.near) this.heirs.set(this.next, nearest.number);
  }
}

const middle = ([left, top, width, height]) => [left + width / 2, top + height / 2];

/** From the middle of a lost box to that of another, in longer sides of the lost one. */
function apart(lost, box) {
  const [x, y] = middle(lost), [u, v] = middle(box);
  return Math.sqrt((x - u) ** 2 + (y - v) ** 2) / Math.max(lost[2], lost[3], 1e-9);
}

/** Intersection over union of two boxes; 0 for boxes without area. */
export function shared(a, b) {
  const side = (axis) => Math.max(0, Math.min(a[axis] + a[2 + axis], b[axis] + b[2 + axis]) - Math.max(a[axis], b[axis]));
  const both = side(0) * side(1), whole = a[2] * a[3] + b[2] * b[3] - both;
  return whole > 0 ? both / whole : 0;
}
