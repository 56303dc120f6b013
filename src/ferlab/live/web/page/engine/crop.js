// From a detector's box to the crop that a model was trained on: ferlab.live.crop and ferlab.faces.

import { round } from "ferlab/engine/prepare.js";

const STEPS = 32; // of a pixel, to which places of a turned picture are rounded
const FINE = 1024; // of a pixel, in which they are counted
const { fround } = Math;

/**
 * The faces of a picture, each a square picture of 3 channels. boxes: [left, top, width, height] in pixels, float32;
 * landmarks: for each, five [x, y]. face: {margin, aligned} of the specification; fit: {side, right, down} of the detector
 * to the model's dataset, which then stands for the margin, or null.
 */
export function crops(picture, boxes, landmarks, face, fit) {
  const margin = fit ? 0 : face.margin;
  return boxes.map((box, i) => cut(picture, fit ? fitted(box, fit) : box, face.aligned ? landmarks[i].slice(0, 2) : null, margin));
}

/** The square of a dataset about a detector's box. */
export function fitted([left, top, width, height], fit) {
  const longer = Math.max(width, height), side = fround(longer * fround(fit.side));
  const corner = (low, size, shift) => {
    const middle = fround(fround(low + fround(size / 2)) + fround(longer * fround(shift)));
    return fround(middle - fround(side / 2));
  };
  return [corner(left, width, fit.right), corner(top, height, fit.down), side, side];
}

/** One face, square, at the picture's own resolution; eyes: two [x, y], which are turned onto a level, or null. */
export function cut(picture, [left, top, width, height], eyes, margin) {
  const side = Math.max(1, round(Math.max(width, height) * (1 + 2 * margin)));
  const centre = [left + (width - 1) / 2, top + (height - 1) / 2];
  const angle = eyes ? level(eyes) : 0;
  if (!angle) return square(picture, side, ...centre.map((middle) => -round((side - 1) / 2 - middle)));
  return turned(picture, side, centre, angle);
}

/** By how much the eyes are turned, in degrees as Python has it. */
function level(eyes) {
  const [[x0, y0], [x1, y1]] = [...eyes].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  return Math.atan2(y1 - y0, x1 - x0) * (180 / Math.PI);
}

/** The square whose left upper pixel is this one of the picture's; the picture's edge is repeated beyond it. */
function square({ width, height, channels, data }, side, left, top) {
  const out = new Uint8Array(side * side * 3);
  for (let y = 0, o = 0; y < side; y += 1) {
    const row = within(top + y, height) * width;
    for (let x = 0; x < side; x += 1, o += 3) {
      const p = (row + within(left + x, width)) * channels;
      out[o] = data[p];
      out[o + 1] = data[p + 1];
      out[o + 2] = data[p + 2];
    }
  }
  return { width: side, height: side, channels: 3, data: out };
}

/** The square about a middle, turned: cv2.warpAffine, bilinear in whole numbers. */
function turned(picture, side, centre, angle) {
  const [ax, bx, cx, ay, by, cy] = backward(side, centre, angle), out = new Uint8Array(side * side * 3);
  for (let y = 0, o = 0; y < side; y += 1) {
    const beginX = round((bx * y + cx) * FINE) + FINE / STEPS / 2, beginY = round((by * y + cy) * FINE) + FINE / STEPS / 2;
    for (let x = 0; x < side; x += 1, o += 3) {
      blend(picture, (beginX + round(ax * x * FINE)) >> 5, (beginY + round(ay * x * FINE)) >> 5, out, o);
    }
  }
  return { width: side, height: side, channels: 3, data: out };
}

/** Where in the picture a pixel of the turned square lies: x = m0 x + m1 y + m2, y = m3 x + m4 y + m5. */
function backward(side, centre, angle) {
  const turn = (angle * Math.PI) / 180, cos = Math.cos(turn), sin = Math.sin(turn);
  const [cx, cy] = centre.map(fround), half = (side - 1) / 2; // OpenCV takes the centre in float32
  const right = (1 - cos) * cx - sin * cy + (half - centre[0]), down = sin * cx + (1 - cos) * cy + (half - centre[1]);
  const size = 1 / (cos * cos + sin * sin), m0 = cos * size, m1 = -sin * size;
  return [m0, m1, -m0 * right - m1 * down, -m1, m0, m1 * right - m0 * down];
}

/** The pixel between pixels of a picture; x, y: in STEPS of a pixel. */
function blend({ width, height, channels, data }, x, y, out, o) {
  const left = x >> 5, top = y >> 5, across = x & (STEPS - 1), down = y & (STEPS - 1);
  const columns = [within(left, width) * channels, within(left + 1, width) * channels];
  const rows = [within(top, height) * width * channels, within(top + 1, height) * width * channels];
  for (let c = 0; c < 3; c += 1) {
    const row = (i) => data[rows[i] + columns[0] + c] * (STEPS - across) + data[rows[i] + columns[1] + c] * across;
    out[o + c] = (row(0) * (STEPS - down) + row(1) * down + STEPS ** 2 / 2) >> 10;
  }
}

const within = (place, size) => Math.min(Math.max(place, 0), size - 1);
