// The last half minute: the selected face's probabilities as layers, which fill the height, and a strip of labels a face.
// A model without labels has valence and arousal as lines instead.

import { ofTrack } from "ferlab/colours.js";
import { plotted, put, write } from "ferlab/dom.js";
import { PAST } from "ferlab/past.js";

const ROWS = 4, LEAST = 44; // faces with a strip, those seen last; CSS pixels that are left for the layers
const ROW = 12, BETWEEN = 4, AXIS = 17, LEFT = 38, EDGE = 8; // CSS pixels
const TICKS = [0, 10, 20, 30]; // seconds ago
const AFFECT = [["valence", "#E69F00"], ["arousal", "#56B4E9"]];

export class Timeline {
  /** canvas; of: the element that says whose layers they are. past: see past.js. palette: of the labels. */
  constructor(canvas, of, past, palette) {
    Object.assign(this, { canvas, of, past, palette });
  }

  draw(selected, look) {
    const { ctx, width, height } = plotted(this.canvas);
    if (!width) return;
    const rows = Math.floor((height - AXIS - 3 - EDGE - LEAST) / (ROW + BETWEEN));
    const numbers = this.past.last(Math.min(ROWS, rows));
    const area = { left: LEFT, right: width - EDGE, top: EDGE, bottom: height - AXIS - 3 - numbers.length * (ROW + BETWEEN) };
    const x = (time) => Math.max(area.left, area.right - ((this.past.now - time) / PAST) * (area.right - area.left));
    this.axes(ctx, area, height, look);
    const past = this.past.tracks.get(selected);
    if (past && this.past.names.length) this.layers(ctx, past.moments, area, x);
    else if (past) this.lines(ctx, past.moments, area, x, look);
    numbers.forEach((number, i) => {
      const top = area.bottom + BETWEEN + i * (ROW + BETWEEN);
      this.strip(ctx, number, top, x, look, number === selected);
    });
    write(this.of, past ? `#${selected}` : "");
    put(this.canvas, "aria-label", this.words(numbers));
  }

  axes(ctx, area, height, look) {
    ctx.fillStyle = look.dim;
    ctx.strokeStyle = look.line;
    ctx.lineWidth = 1;
    ctx.font = look.font;
    ctx.textBaseline = "alphabetic";
    ctx.beginPath();
    for (const ago of TICKS) {
      const left = area.right - (ago / PAST) * (area.right - area.left);
      ctx.textAlign = ago === 0 ? "right" : ago === PAST ? "left" : "center";
      ctx.fillText(ago ? `−${ago} s` : "now", left, height - 5);
      if (ago % PAST) {
        ctx.moveTo(Math.round(left) + 0.5, area.top);
        ctx.lineTo(Math.round(left) + 0.5, height - AXIS);
      }
    }
    ctx.stroke();
  }

  /** Probabilities upon each other: they sum to 1. */
  layers(ctx, moments, area, x) {
    const high = area.bottom - area.top;
    const floors = moments.map(() => area.bottom);
    this.past.names.forEach((name, label) => {
      ctx.fillStyle = this.palette.get(name);
      for (const [from, to] of runs(moments)) {
        ctx.beginPath();
        for (let i = from; i < to; i += 1) ctx.lineTo(x(moments[i].time), floors[i]);
        for (let i = to - 1; i >= from; i -= 1) {
          floors[i] -= high * moments[i].shares[label];
          ctx.lineTo(x(moments[i].time), floors[i]);
        }
        ctx.fill();
      }
    });
  }

  lines(ctx, moments, area, x, look) {
    const middle = (area.top + area.bottom) / 2, reach = (area.bottom - area.top) / 2;
    ctx.lineWidth = 2;
    ctx.textAlign = "left";
    ctx.textBaseline = "top";
    AFFECT.forEach(([key, colour], i) => {
      ctx.strokeStyle = ctx.fillStyle = colour;
      ctx.fillRect(area.left + 4 + 76 * i, area.top + 5, 10, 3);
      ctx.fillStyle = look.ink;
      ctx.fillText(key, area.left + 18 + 76 * i, area.top);
      for (const [from, to] of runs(moments)) {
        ctx.beginPath();
        for (let i = from; i < to; i += 1) ctx.lineTo(x(moments[i].time), middle - reach * (moments[i][key] ?? 0));
        ctx.stroke();
      }
    });
  }

  /** The labels of a face, one after the other. */
  strip(ctx, number, top, x, look, selected) {
    const { moments } = this.past.tracks.get(number);
    ctx.fillStyle = selected ? look.ink : look.dim;
    ctx.font = look.font;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText(`#${number}`, EDGE, top + ROW / 2 + 0.5);
    for (const [from, to] of runs(moments)) {
      let begin = from;
      for (let i = from + 1; i <= to; i += 1) {
        if (i < to && moments[i].label === moments[begin].label) continue;
        const left = x(moments[begin].time), right = x(moments[Math.min(i, to - 1)].time);
        ctx.fillStyle = this.palette.get(moments[begin].label) ?? ofTrack(number);
        ctx.fillRect(left, top, Math.max(1, right - left), ROW);
        begin = i;
      }
    }
  }

  words(numbers) {
    const now = numbers.map((number) => `#${number} ${this.past.tracks.get(number).moments.at(-1)?.label ?? "seen"}`);
    return `Timeline of the last 30 seconds${now.length ? `; at its end ${now.join(", ")}` : ""}`;
  }
}

/** From and to of the runs of moments without a gap. */
function runs(moments) {
  const starts = moments.flatMap((each, i) => (i === 0 || each.gap ? [i] : []));
  return starts.map((start, i) => [start, starts[i + 1] ?? moments.length]);
}
