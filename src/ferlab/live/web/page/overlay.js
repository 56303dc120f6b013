// What is known of a frame's faces, drawn on a canvas that shows this very frame. Text is never mirrored: boxes are.

import { ink, ofFace } from "ferlab/colours.js";

const SHARE = 36; // of the picture's shorter side: the height of the text
const LEAST = 12, MOST = 20; // pixels of text that can be read, and that is large enough
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif';

/**
 * Draw the faces' boxes and labels.
 *
 * view: {width, height} of the canvas in CSS pixels, {scale} of a frame's pixel to them, and whether it is {mirrored}.
 */
export function drawOverlay(ctx, view, faces, palette, selected) {
  const size = Math.round(Math.min(MOST, Math.max(LEAST, Math.min(view.width, view.height) / SHARE)));
  const people = faces
    .map((face) => ({ face, box: placed(face.box, view), colour: ofFace(face, palette) }))
    .sort((a, b) => b.box[2] * b.box[3] - a.box[2] * a.box[3]);
  for (const { face, box, colour } of people.toReversed()) {
    outline(ctx, box, colour, face.track === selected && faces.length > 1);
  }
  ctx.font = `600 ${size}px ${FONT}`;
  ctx.textBaseline = "middle";
  const taken = [];
  for (const { face, box, colour } of people) taken.push(label(ctx, view, size, face, box, colour, taken));
}

/** A face's box, [left, top, width, height] of the frame, on the canvas. */
export function placed([left, top, width, height], view) {
  const x = left * view.scale, wide = width * view.scale;
  return [view.mirrored ? view.width - x - wide : x, top * view.scale, wide, height * view.scale];
}

/** What is written at a face, from the longest to the shortest: as in recordings. */
export function said(face) {
  const number = face.name ? `#${face.track} ${face.name}` : `#${face.track}`;
  if (face.label == null || face.confidence == null) return [number];
  const doubt = face.uncertain ? "?" : "";
  const share = `${face.label} ${Math.round(100 * face.confidence)} %${doubt}`;
  const second = face.second ? [`${number} ${share} or ${face.second}`] : [];
  return [...second, `${number} ${share}`, `${number} ${face.label}${doubt}`, number];
}

/** A box that is seen on any ground: dark about its colour; white about that if the face is selected. */
function outline(ctx, [left, top, width, height], colour, selected) {
  const lines = selected ? [["#000000aa", 8], ["#ffffff", 6.5], [colour, 3.5]] : [["#000000aa", 5], [colour, 3]];
  ctx.beginPath();
  ctx.roundRect(left, top, width, height, Math.min(10, width / 8));
  for (const [stroke, wide] of lines) {
    ctx.strokeStyle = stroke;
    ctx.lineWidth = wide;
    ctx.stroke();
  }
}

/** The label above the box, below it, or in it: the longest form that covers no other, else the shortest. */
function label(ctx, view, size, face, box, colour, taken) {
  const pad = Math.round(size / 2), high = Math.round(1.7 * size), gap = 4;
  let place = null, text = "";
  for (text of said(face)) {
    const wide = Math.min(view.width, Math.ceil(ctx.measureText(text).width) + 2 * pad);
    const left = Math.max(0, Math.min(box[0], view.width - wide));
    const tops = [box[1] - high - gap, box[1] + box[3] + gap, Math.max(0, box[1] + gap)];
    const rooms = tops.map((top) => [left, top, wide, high]);
    place = rooms.find((room) => inside(room, view) && !taken.some((other) => overlap(room, other)));
    if (place) break;
    place = [left, Math.max(0, Math.min(tops[0], view.height - high)), wide, high];
  }
  ctx.beginPath();
  ctx.roundRect(...place, Math.min(6, high / 3));
  ctx.fillStyle = colour;
  ctx.fill();
  ctx.fillStyle = ink(colour);
  ctx.fillText(text, place[0] + pad, place[1] + high / 2 + 0.5, place[2] - 2 * pad);
  return place;
}

function inside([left, top, width, height], view) {
  return left >= 0 && top >= 0 && left + width <= view.width && top + height <= view.height;
}

function overlap(a, b) {
  return a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3];
}
