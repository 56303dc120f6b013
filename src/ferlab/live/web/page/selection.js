// Which face is selected: the one that was chosen, as long as it is seen; else the largest, as long as that is.

const WAITS = 1000; // ms for which a selected face may be unseen

export class Selection {
  /** changed(): another face is selected, or none. */
  constructor(changed) {
    Object.assign(this, { changed, track: null, seen: 0, faces: [] });
  }

  /** The faces of a new frame; now: ms. */
  note(faces, now) {
    this.faces = faces;
    if (faces.some((face) => face.track === this.track)) {
      this.seen = now;
    } else if (this.track === null || now - this.seen > WAITS) {
      const [largest] = [...faces].sort((a, b) => b.box[2] * b.box[3] - a.box[2] * a.box[3]);
      this.choose(largest?.track ?? null, now);
    }
  }

  choose(track, now = performance.now()) {
    this.seen = now;
    if (track === this.track) return;
    this.track = track;
    this.changed();
  }

  /** Select the next face, by number. */
  next() {
    const tracks = this.faces.map((face) => face.track).sort((a, b) => a - b);
    if (tracks.length) this.choose(tracks[(tracks.indexOf(this.track) + 1) % tracks.length]);
  }
}
