// ModelSpec.prepare, and OpenCV's arithmetic under it: the same bytes as Python's, so that the model sees what it saw there.
//
// A picture is {width, height, channels, data}: rows of pixels of 1, 3 or 4 bytes. A canvas gives 4, of which the last,
// how opaque it is, is not looked at.

const COEFFICIENTS = 2048; // weights of bilinear and bicubic resizing are whole 2048ths
const GREY = [9798, 19235, 3735]; // red, green and blue in grey, in 32768ths
const { fround } = Math;

/** A face crop as the model takes it: channels first, (channels, size, size) bytes. spec: of `ModelSpec`. */
export function prepare(crop, spec) {
  const picture = spec.colour === "gray" ? grey(crop) : crop, { size } = spec;
  if (picture.width === size && picture.height === size) return planes(picture, channels(spec));
  const shrinks = picture.height >= size && picture.width >= size;
  const area = shrinks ? "area" : "linear";
  const way = spec.interpolation === "area" ? area : spec.interpolation;
  return planes(resize(picture, size, size, way), channels(spec));
}

/** Bytes that the model takes for a pixel. */
export const channels = (spec) => (spec.colour === "gray" ? 1 : 3);

/** cv2.cvtColor to grey. */
export function grey({ width, height, channels, data }) {
  const out = new Uint8Array(width * height), [red, green, blue] = GREY;
  for (let i = 0, p = 0; i < out.length; i += 1, p += channels) {
    out[i] = (red * data[p] + green * data[p + 1] + blue * data[p + 2] + 16384) >> 15;
  }
  return { width, height, channels: 1, data: out };
}

/** The first `count` channels of a picture, one after the other. */
export function planes({ width, height, channels, data }, count) {
  const size = width * height, out = new Uint8Array(count * size);
  for (let c = 0; c < count; c += 1) {
    for (let i = 0, p = c; i < size; i += 1, p += channels) out[c * size + i] = data[p];
  }
  return out;
}

/**
 * cv2.resize of bytes. way: "area", which only shrinks, "linear" or "cubic". across, down: source pixels for each of the
 * new ones, where they were chosen and the size follows from them.
 */
export function resize(picture, width, height, way, across = 1 / (width / picture.width), down = 1 / (height / picture.height)) {
  const whole = near(across) && near(down);
  const halved = whole && Math.round(across) === 2 && Math.round(down) === 2;
  if (way === "area" || (way === "linear" && halved)) {
    return whole ? boxes(picture, width, height, Math.round(across), Math.round(down)) : areas(picture, width, height, across, down);
  }
  return way === "linear" ? linear(picture, width, height, across, down) : cubic(picture, width, height, across, down);
}

const near = (scale) => Math.abs(scale - Math.round(scale)) < Number.EPSILON;

/** Round to the nearest whole number, a half to the even one, as processors do. */
export function round(value) {
  const below = Math.floor(value), rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 ? below + 1 : below;
}

/** Means of boxes of `across` by `down` whole pixels. */
function boxes({ width: wide, channels: n, data }, width, height, across, down) {
  const out = new Uint8Array(width * height * n), share = fround(1 / (across * down)), halves = across === 2 && down === 2;
  for (let y = 0, o = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      for (let c = 0; c < n; c += 1, o += 1) {
        let sum = 0;
        for (let j = 0; j < down; j += 1) {
          let p = ((y * down + j) * wide + x * across) * n + c;
          for (let i = 0; i < across; i += 1, p += n) sum += data[p];
        }
        out[o] = halves ? (sum + 2) >> 2 : round(fround(fround(sum) * share));
      }
    }
  }
  return { width, height, channels: n, data: out };
}

/** Means of boxes that begin and end within pixels, in float32. */
function areas({ width: wide, height: high, channels: n, data }, width, height, across, down) {
  const out = new Uint8Array(width * height * n), columns = shares(wide, width, across), rows = shares(high, height, down);
  const line = new Float32Array(width * n), sum = new Float32Array(width * n);
  let read = -1, into = 0;
  const store = () => {
    for (let i = 0; i < sum.length; i += 1) out[into * sum.length + i] = round(sum[i]);
  };
  for (const { to, from, share } of rows) {
    if (from !== read) {
      read = from;
      line.fill(0);
      const start = from * wide * n;
      for (const column of columns) {
        for (let c = 0; c < n; c += 1) line[column.to * n + c] += fround(data[start + column.from * n + c] * column.share);
      }
    }
    if (to !== into) {
      store();
      into = to;
      sum.fill(0);
    }
    for (let i = 0; i < sum.length; i += 1) sum[i] += fround(share * line[i]);
  }
  store();
  return { width, height, channels: n, data: out };
}

/** Which pixel counts how much for which new one along an axis, in order. */
function shares(size, count, scale) {
  const found = [];
  for (let to = 0; to < count; to += 1) {
    const begin = to * scale, end = begin + scale, cell = Math.min(scale, size - begin);
    const last = Math.min(Math.floor(end), size - 1), first = Math.min(Math.ceil(begin), last);
    if (first - begin > 1e-3) found.push({ to, from: first - 1, share: fround((first - begin) / cell) });
    for (let from = first; from < last; from += 1) found.push({ to, from, share: fround(1 / cell) });
    if (end - last > 1e-3) found.push({ to, from: last, share: fround(Math.min(end - last, 1, cell) / cell) });
  }
  return found;
}

/** Bilinear, in whole numbers. */
function linear({ width: wide, height: high, channels: n, data }, width, height, across, down) {
  const out = new Uint8Array(width * height * n), columns = pairs(wide, width, across), rows = pairs(high, height, down, false);
  const lines = [new Int32Array(width * n), new Int32Array(width * n)], read = [-1, -1];
  const load = (k, row) => {
    if (read[k] === row) return;
    read[k] = row;
    const line = lines[k], start = row * wide * n;
    for (let x = 0, o = 0; x < width; x += 1) {
      const { at, next, weights } = columns[x];
      for (let c = 0; c < n; c += 1, o += 1) line[o] = data[start + at * n + c] * weights[0] + data[start + next * n + c] * weights[1];
    }
  };
  for (let y = 0; y < height; y += 1) {
    const { at, next, weights } = rows[y];
    load(0, at);
    load(1, next);
    for (let i = 0, o = y * width * n; i < width * n; i += 1, o += 1) {
      out[o] = ((((weights[0] * (lines[0][i] >> 4)) >> 16) + ((weights[1] * (lines[1][i] >> 4)) >> 16) + 2) >> 2);
    }
  }
  return { width, height, channels: n, data: out };
}

/** The two pixels about each new one along an axis, and what each counts; beyond an edge, it is the same one twice. */
function pairs(size, count, scale, single = true) {
  return Array.from({ length: count }, (_, to) => {
    const place = fround((to + 0.5) * scale - 0.5), floor = Math.floor(place);
    const beyond = floor < 0 || floor >= size - 1, rest = beyond && single ? 0 : fround(place - floor);
    const weights = [fround(1 - rest), rest].map((weight) => round(fround(weight * COEFFICIENTS)));
    return { at: within(floor, size), next: within(floor + 1, size), weights };
  });
}

const within = (place, size) => Math.min(Math.max(place, 0), size - 1);

/** Bicubic: whole numbers along rows, float32 along columns. */
function cubic({ width: wide, height: high, channels: n, data }, width, height, across, down) {
  const out = new Uint8Array(width * height * n), columns = fours(wide, width, across), rows = fours(high, height, down);
  const known = new Map(); // row -> that row, resized
  const line = (row) => {
    if (!known.has(row)) {
      const made = new Int32Array(width * n), start = row * wide * n;
      for (let x = 0, o = 0; x < width; x += 1) {
        const { at, weights } = columns[x];
        for (let c = 0; c < n; c += 1, o += 1) {
          for (let k = 0; k < 4; k += 1) made[o] += data[start + at[k] * n + c] * weights[k];
        }
      }
      known.set(row, made);
    }
    return known.get(row);
  };
  for (let y = 0; y < height; y += 1) {
    const { at, weights } = rows[y], lines = at.map(line), shares = weights.map((each) => fround(each / COEFFICIENTS ** 2));
    for (let i = 0, o = y * width * n; i < width * n; i += 1, o += 1) {
      let sum = fround(lines[3][i] * shares[3]);
      for (let k = 2; k >= 0; k -= 1) sum = fround(sum + fround(lines[k][i] * shares[k]));
      out[o] = within(round(sum), 256);
    }
  }
  return { width, height, channels: n, data: out };
}

/** The four pixels about each new one along an axis, and what each counts. */
function fours(size, count, scale) {
  return Array.from({ length: count }, (_, to) => {
    const place = fround((to + 0.5) * scale - 0.5), floor = Math.floor(place);
    return {
      at: [-1, 0, 1, 2].map((step) => within(floor + step, size)),
      weights: spline(fround(place - floor)).map((weight) => round(fround(weight * COEFFICIENTS))),
    };
  });
}

/** Weights of four pixels in a row for a place between the middle two. */
function spline(x) {
  const f = fround, a = -0.75;
  const far = (t) => f(f(f(f(f(f(a * t) - 5 * a) * t) + 8 * a) * t) - 4 * a);
  const close = (t) => f(f(f(f(f((a + 2) * t) - (a + 3)) * t) * t) + 1);
  const [w0, w1, w2] = [far(f(x + 1)), close(x), close(f(1 - x))];
  return [w0, w1, w2, f(f(f(1 - w0) - w1) - w2)];
}
