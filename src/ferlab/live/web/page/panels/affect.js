// Valence to the right and arousal up, both from -1 to 1, each face with its last seconds.

import { ofFace } from "ferlab/colours.js";
import { plotted, put, write } from "ferlab/dom.js";

const TRAIL = 3; // seconds
const ASIDE = 76; // CSS pixels for a word beside the circle

export class Affect {
  /** canvas, text: elements. past: see past.js. */
  constructor(canvas, text, past, palette) {
    Object.assign(this, { canvas, text, past, palette });
  }

  draw(faces, selected, look) {
    const { ctx, width, height } = plotted(this.canvas);
    if (!width) return;
    const reach = Math.min(width, height) / 2 - 18, middle = [width / 2, height / 2];
    const at = (valence, arousal) => [middle[0] + reach * valence, middle[1] - reach * arousal];
    this.axes(ctx, middle, reach, look);
    for (const face of faces) if (face.valence != null) this.trail(ctx, face, at, face.track === selected, look);
    const face = faces.find((each) => each.track === selected && each.valence != null);
    const said = face ? `#${face.track}: valence ${signed(face.valence)}, arousal ${signed(face.arousal)}` : "";
    write(this.text, said);
    put(this.canvas, "aria-label", `Valence and arousal. ${said}`);
  }

  axes(ctx, [x, y], reach, look) {
    ctx.strokeStyle = look.line;
    ctx.lineWidth = 1;
    ctx.beginPath();
    for (const share of [0.5, 1]) {
      ctx.moveTo(x + reach * share, y);
      ctx.arc(x, y, reach * share, 0, 2 * Math.PI);
    }
    ctx.moveTo(x - reach, y);
    ctx.lineTo(x + reach, y);
    ctx.moveTo(x, y - reach);
    ctx.lineTo(x, y + reach);
    ctx.stroke();
    ctx.fillStyle = look.dim;
    ctx.font = look.font;
    ctx.textBaseline = "middle";
    const narrow = x < reach + ASIDE; // then within the circle, above the line
    const [right, left, above] = narrow ? ["right", "left", y - 9] : ["left", "right", y];
    const aside = narrow ? reach - 6 : reach + 6;
    for (const [text, align, at, top] of [
      ["pleasant", right, x + aside, above], ["unpleasant", left, x - aside, above],
      ["activated", "center", x, y - reach - 9], ["calm", "center", x, y + reach + 9],
    ]) {
      ctx.textAlign = align;
      ctx.fillText(text, at, top);
    }
  }

  trail(ctx, face, at, selected, look) {
    const moments = this.past.tracks.get(face.track)?.moments ?? [];
    const points = moments.filter((each) => each.valence !== null && this.past.now - each.time < TRAIL);
    ctx.strokeStyle = ctx.fillStyle = ofFace(face, this.palette);
    ctx.lineWidth = selected ? 2.5 : 1.5;
    ctx.lineJoin = ctx.lineCap = "round";
    points.slice(1).forEach((point, i) => {
      if (point.gap) return;
      ctx.globalAlpha = 0.15 + 0.85 * (1 - (this.past.now - point.time) / TRAIL); // the older, the fainter
      ctx.beginPath();
      ctx.moveTo(...at(points[i].valence, points[i].arousal));
      ctx.lineTo(...at(point.valence, point.arousal));
      ctx.stroke();
    });
    ctx.globalAlpha = 1;
    ctx.beginPath();
    ctx.arc(...at(face.valence, face.arousal), selected ? 7 : 5, 0, 2 * Math.PI);
    ctx.fill();
    ctx.strokeStyle = look.ink;
    ctx.lineWidth = 1.5;
    ctx.stroke();
  }
}

function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}
