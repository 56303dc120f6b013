// From frames to the stage. Every frame has an id; at most two are unanswered, and what comes meanwhile is dropped but for
// the newest; the very frame that was answered is painted; an answer older than what is painted is dropped.

const MOST = 2; // frames on their way
const SLOTS = MOST + 2; // and one that waits for the screen, and the one on it
const LOOK = 1280; // longer side of what is painted; what is sent is a scaled copy of it where the source says so

export class Loop {
  /**
   * engine: see remote.js. stage: with `paint(picture, answer)`.
   * on: {painted(answer, picture, age in ms), failed(text)}.
   */
  constructor(engine, stage, on) {
    Object.assign(this, { engine, stage, on, source: null, paused: false, epoch: 0, id: 0 });
    this.counts = { camera: 0, sent: 0, answered: 0, painted: 0, dropped: 0, stale: 0, errors: 0 };
    this.trips = []; // ms from sending to the answer, of the last ones
    this.age = NaN; // ms, of the frame that was painted last
    this.free = Array.from({ length: SLOTS }, () => ({ shown: blank(), small: null, sent: null }));
    this.flying = 0;
    this.waiting = null; // the newest frame that is not on its way yet
    this.ready = this.onscreen = null; // answered: to be painted, and painted
    this.painted = 0; // the newest id that was answered
  }

  /** Take frames from a source; the one before ends. */
  begin(source) {
    this.end();
    this.source = source;
    this.announce();
    let count = 0;
    source.each((frame) => {
      if (source !== this.source) return;
      const came = Math.max(1, count ? frame.count - count : 1);
      count = frame.count;
      this.counts.camera += came;
      this.counts.dropped += came - 1; // that the browser presented while the page was busy
      this.came(frame);
    });
  }

  /** Take no more; what is on its way is not painted. */
  end() {
    this.epoch += 1;
    if (this.source) this.engine.send({ type: "stop" }).catch(() => {});
    this.source?.stop();
    this.source = this.waiting = null;
    this.release("ready");
    this.release("onscreen");
  }

  /** Begin anew with the same source: its time went back, or what is asked of a picture is another thing. */
  again() {
    if (!this.source) return;
    this.epoch += 1;
    this.waiting = null;
    this.release("ready");
    this.announce();
    if (this.source.kind === "picture") this.source.each((frame) => this.came(frame));
  }

  /** The connection is lost, or back. */
  pause(paused) {
    this.paused = paused;
    if (!paused && this.source) {
      this.announce();
      if (this.source.kind === "picture") this.again();
    }
  }

  announce() {
    this.engine.send({ type: "start", source: this.source.kind, mirrored: this.stage.look.mirrored }).catch(() => {});
  }

  came(frame) {
    if (this.paused) return;
    if (this.waiting) this.counts.dropped += 1;
    this.waiting = frame;
    this.next();
  }

  /** Send the newest frame, if it may go. */
  async next() {
    if (!this.waiting || this.paused || this.flying >= MOST || !this.free.length) return;
    const slot = this.free.pop(), { epoch } = this, id = (this.id += 1);
    const { time, came } = this.waiting;
    this.waiting = null;
    this.flying += 1;
    try {
      this.copy(slot);
      const sent = performance.now();
      this.counts.sent += 1;
      const answer = await this.engine.answer({ id, time, canvas: slot.sent });
      this.trip(performance.now() - sent);
      this.counts.answered += 1;
      this.answered({ id, epoch, slot, answer, came });
    } catch (error) {
      this.free.push(slot);
      if (!error.lost && epoch === this.epoch) {
        this.counts.errors += 1;
        this.on.failed(error.message);
      }
    } finally {
      this.flying -= 1;
    }
    this.next();
  }

  /** The source's frame as it is painted, and as it is sent: the same canvas, unless that would be too large. */
  copy(slot) {
    const size = this.source.size();
    const [width, height] = within(size, LOOK);
    this.source.paint(sized(slot.shown, width, height), width, height);
    slot.sent = slot.shown;
    if (Math.max(width, height) > this.source.side) {
      const [wide, high] = within(size, this.source.side);
      slot.small ??= blank();
      sized(slot.small, wide, high).drawImage(slot.shown, 0, 0, wide, high);
      slot.sent = slot.small;
    }
  }

  answered(frame) {
    if (frame.epoch !== this.epoch || frame.id < this.painted) {
      this.counts.stale += 1;
      this.free.push(frame.slot);
      return;
    }
    this.painted = frame.id;
    this.release("ready");
    this.ready = frame;
    this.soon();
  }

  /** A frame of the server's source, with its JPEG: the page is a viewer, of the newest. */
  viewed(message) {
    this.counts.camera += 1;
    if (this.later) this.counts.dropped += 1;
    this.later = message;
    if (!this.decoding) this.decode();
  }

  async decode() {
    this.decoding = true;
    while (this.later) {
      const message = this.later;
      this.later = null;
      try {
        const picture = await createImageBitmap(message.jpeg);
        this.release("ready");
        this.ready = { slot: { shown: picture }, answer: message, came: NaN }; // by another machine's clock
        this.counts.answered += 1;
        this.soon();
      } catch {
        this.counts.errors += 1;
      }
    }
    this.decoding = false;
  }

  /** Paint before the screen is drawn next: of two answers until then, the newer. */
  soon() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = null;
      const frame = this.ready;
      if (!frame) return;
      this.ready = null;
      this.stage.paint(frame.slot.shown, frame.answer);
      this.release("onscreen");
      this.onscreen = frame;
      this.counts.painted += 1;
      this.age = performance.now() - frame.came;
      this.on.painted(frame.answer, frame.slot.shown);
      this.next(); // a slot is free
    });
  }

  release(which) {
    const slot = this[which]?.slot;
    this[which] = null;
    if (!slot) return;
    if (slot.shown.close) slot.shown.close();
    else this.free.push(slot);
  }

  trip(ms) {
    this.trips.push(ms);
    if (this.trips.length > 120) this.trips.shift();
  }
}

/** Width and height, so that the longer is at most `side`. */
function within([width, height], side) {
  const scale = Math.min(1, side / Math.max(width, height));
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

/** A canvas in no document. OffscreenCanvas was measured beside it: its JPEG takes as long alone, and longer under load. */
function blank() {
  return document.createElement("canvas");
}

/** The context of a canvas of this size; it is made anew only if the size is another. */
function sized(canvas, width, height) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  return canvas.getContext("2d", { alpha: false });
}
