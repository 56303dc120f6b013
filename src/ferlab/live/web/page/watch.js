// Whether a camera gives a picture at all: virtual cameras and closed shutters send black, one colour, or one frame for ever.

const WIDTH = 32, HEIGHT = 24; // points that are looked at; not averaged, so that a real sensor's noise is seen
const BLACK = 20, FLAT = 10; // of 255: the brightest point of black, and how far points of one colour are apart
const FLAT_S = 2, FROZEN_S = 8; // seconds after which it is said

/** Looks at frames about twice a second; `look` gives what is wrong in words, or null. */
export class Watch {
  constructor() {
    const canvas = Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
    this.ctx = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    this.ctx.imageSmoothingEnabled = false;
    this.reset();
  }

  /** Another source begins. */
  reset() {
    Object.assign(this, { before: null, flat: null, still: null });
  }

  /** picture: a canvas; now: ms. */
  look(picture, now) {
    this.ctx.drawImage(picture, 0, 0, WIDTH, HEIGHT);
    const { data } = this.ctx.getImageData(0, 0, WIDTH, HEIGHT);
    const [low, high] = range(data);
    const same = this.before !== null && this.before.every((value, i) => value === data[i]);
    this.before = data;
    this.flat = high.every((value, i) => value - low[i] <= FLAT) ? (this.flat ?? now) : null;
    this.still = same ? (this.still ?? now) : null;
    const black = Math.max(...high) <= BLACK;
    if (this.flat !== null && now - this.flat >= 1000 * FLAT_S) {
      const what = black ? "The camera sends black." : "The camera sends one colour and no picture.";
      return `${what} Open its shutter, or choose another camera.`;
    }
    if (this.still !== null && now - this.still >= 1000 * FROZEN_S) {
      return "The camera sends the same picture all the time. Start it again, or choose another camera.";
    }
    return null;
  }
}

/** The least and the largest value of each channel. */
function range(data) {
  const low = [255, 255, 255], high = [0, 0, 0];
  for (let i = 0; i < data.length; i += 1) {
    const channel = i % 4;
    if (channel === 3) continue;
    if (data[i] < low[channel]) low[channel] = data[i];
    if (data[i] > high[channel]) high[channel] = data[i];
  }
  return [low, high];
}
