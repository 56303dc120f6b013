// Which faces are in a picture: ferlab.live.yunet. A face is {box: [left, top, width, height], score, landmarks: five [x, y]}.

import { resize, round } from "ferlab/engine/prepare.js";

const { fround } = Math;
const LARGEST_LOG = 10; // of a box's size in strides, so that no size is infinite

/** Finds faces. run(input, [1, 3, height, width]): a promise of YuNet's outputs by name; known: its constants. */
export class YuNet {
  name = "yunet";

  constructor(run, known, side) {
    Object.assign(this, { run, known, side });
  }

  /** The faces of at least this score and this longer side in pixels, best first. */
  async find(picture, score, smallest) {
    const scale = Math.min(1, this.side / Math.max(picture.width, picture.height));
    const small = scale === 1 ? picture : scaled(picture, scale), { data, width, height } = padded(small);
    const found = decode(await this.run(data, [1, 3, height, width]), width, fround(score), this.known);
    const back = [fround(picture.width / small.width), fround(picture.height / small.height)];
    const faces = found.map((face) => stretched(face, back)).filter(({ box }) => Math.max(box[2], box[3]) >= smallest);
    return distinct(faces, fround(score), fround(this.known.overlap));
  }
}

/** Takes each picture for one face. */
export class Whole {
  name = "none";

  async find({ width, height }) {
    return [{ box: [0, 0, width, height], score: 1, landmarks: [] }];
  }
}

/** cv2.resize by one factor along both sides. */
export function scaled(picture, scale) {
  return resize(picture, round(picture.width * scale), round(picture.height * scale), "area", 1 / scale, 1 / scale);
}

/** A picture as YuNet takes it: blue, green and red one after the other, in float32, its sides multiples of 32. */
export function padded({ width: wide, height: high, channels, data }) {
  const width = Math.ceil(wide / 32) * 32, height = Math.ceil(high / 32) * 32, size = width * height;
  const out = new Float32Array(3 * size);
  for (let y = 0, p = 0; y < high; y += 1) {
    for (let x = 0, o = y * width; x < wide; x += 1, o += 1, p += channels) {
      out[o] = data[p + 2];
      out[size + o] = data[p + 1];
      out[2 * size + o] = data[p];
    }
  }
  return { data: out, width, height };
}

/** What YuNet's outputs mean, in pixels of its input, before overlapping boxes are joined. */
export function decode(outputs, width, least, { strides, landmarks: count }) {
  const found = [];
  for (const stride of strides) {
    const [cls, obj, bbox, kps] = ["cls", "obj", "bbox", "kps"].map((part) => outputs[`${part}_${stride}`]);
    const columns = Math.floor(width / stride);
    for (let i = 0; i < cls.length; i += 1) {
      const score = fround(Math.sqrt(fround(share(cls[i]) * share(obj[i]))));
      if (!(score >= least)) continue;
      const cell = [i % columns, Math.floor(i / columns)];
      const place = (axis, value) => fround(fround(cell[axis] + value) * stride);
      const size = [0, 1].map((axis) => fround(fround(Math.exp(Math.min(bbox[4 * i + 2 + axis], LARGEST_LOG))) * stride));
      const corner = [0, 1].map((axis) => fround(place(axis, bbox[4 * i + axis]) - fround(size[axis] / 2)));
      const point = (k) => [0, 1].map((axis) => place(axis, kps[2 * (count * i + k) + axis]));
      const face = { box: [...corner, ...size], score, landmarks: Array.from({ length: count }, (_, k) => point(k)) };
      if ([...face.box, ...face.landmarks.flat()].every(Number.isFinite)) found.push(face);
    }
  }
  return found;
}

const share = (value) => Math.min(Math.max(value, 0), 1);

function stretched({ box, score, landmarks }, [across, down]) {
  const [left, top, width, height] = box;
  return {
    box: [fround(left * across), fround(top * down), fround(width * across), fround(height * down)],
    score,
    landmarks: landmarks.map(([x, y]) => [fround(x * across), fround(y * down)]),
  };
}

/** cv2.dnn.NMSBoxes: from the best down, the faces that no better one overlaps by more than this share. */
export function distinct(faces, least, overlap) {
  const kept = [];
  for (const face of faces.filter(({ score }) => score > least).sort((a, b) => b.score - a.score)) {
    if (kept.every((other) => fround(1 - fround(apart(face.box, other.box))) <= overlap)) kept.push(face);
  }
  return kept;
}

/** Jaccard distance of two boxes. */
function apart(a, b) {
  const shared = [0, 1].map((axis) => Math.min(a[axis] + a[2 + axis], b[axis] + b[2 + axis]) - Math.max(a[axis], b[axis]));
  const whole = a[2] * a[3] + b[2] * b[3], both = shared[0] > 0 && shared[1] > 0 ? shared[0] * shared[1] : 0;
  return whole <= Number.EPSILON ? 0 : 1 - both / (whole - both);
}
