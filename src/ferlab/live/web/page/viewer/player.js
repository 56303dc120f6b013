// Where in the session somebody is, and how that goes on: with the video's own clock where there is one, else by itself.

export const RATES = [0.25, 0.5, 1, 2, 4, 8];

export class Player {
  /** session: see session.js; video: an element, or null. on: {moved(time), changed()}: the place, or whether it plays. */
  constructor(session, video, on) {
    Object.assign(this, { session, video, on, time: session.begin, playing: false, rate: 1, last: 0 });
    if (video) {
      video.addEventListener("loadedmetadata", () => this.seek(this.time));
      video.addEventListener("seeked", () => this.on.moved(this.time));
      video.addEventListener("loadeddata", () => this.on.moved(this.time));
      if (video.requestVideoFrameCallback) this.follow();
    }
    const tick = (now) => {
      this.tick(now);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  /** Whether the video has a picture of this time: it may have ended before the session. */
  covers(time) {
    return this.video !== null && this.video.readyState > 0 && time - this.session.begin < this.video.duration;
  }

  toggle() {
    if (!this.playing && this.time >= this.session.end - this.session.step) this.seek(this.session.begin);
    this.playing = !this.playing;
    this.steer();
    this.on.changed();
  }

  seek(time) {
    const { begin, end, step } = this.session;
    this.time = Math.max(begin, Math.min(end - step, time));
    if (this.covers(this.time)) this.video.currentTime = this.time - begin;
    this.steer();
    this.on.moved(this.time);
  }

  speed(rate) {
    this.rate = rate;
    if (this.video) this.video.playbackRate = rate;
  }

  /** Without a video from here on: the browser cannot play it. */
  drop() {
    this.video?.pause();
    this.video = null;
    this.on.moved(this.time);
  }

  /** Let the video run if it should, and stand if not. */
  steer() {
    if (!this.video) return;
    const runs = this.playing && this.covers(this.time);
    if (runs && this.video.paused) this.video.play().catch(() => this.stop());
    if (!runs && !this.video.paused) this.video.pause();
  }

  stop() {
    if (!this.playing) return;
    this.playing = false;
    this.steer();
    this.on.changed();
  }

  /** Each painting of the video, with the very time of its picture. */
  follow() {
    this.video?.requestVideoFrameCallback((now, { mediaTime }) => {
      if (!this.video) return;
      if (this.playing && !this.video.seeking) this.go(this.session.begin + mediaTime);
      else this.on.moved(this.time);
      this.follow();
    });
  }

  tick(now) {
    const passed = Math.min(0.25, (now - this.last) / 1000); // a tab that slept goes on where it was
    this.last = now;
    if (!this.playing) return;
    if (!this.video || !this.covers(this.time)) this.go(this.time + passed * this.rate);
    else if (this.video.ended) this.go(this.session.begin + this.video.duration);
    else if (!this.video.requestVideoFrameCallback) this.go(this.session.begin + this.video.currentTime);
  }

  go(time) {
    this.time = Math.min(time, this.session.end);
    if (this.video && !this.covers(this.time)) this.steer();
    this.on.moved(this.time);
    if (time >= this.session.end - this.session.step / 2) this.stop();
  }
}
