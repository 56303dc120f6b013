// The session over time, on one canvas: what was noted, a lane a face, the selected one's numbers, and lost frames.

import { ink as inkOn, ofTrack } from "ferlab/colours.js";
import { clock, plotted } from "ferlab/dom.js";
import { AWAY, FULL, above } from "ferlab/viewer/session.js";

const LEFT = 56, RIGHT = 10, AXIS = 18, BETWEEN = 4; // CSS pixels
const NOTED = 16, LAYERS = 84, AFFECT = 54, QUALITY = 28;
const LEAST_LOST = 5; // CSS pixels of a mark
const ROOM = 132, HIGHEST = 18, LEAST = 9; // for all lanes, and of one
export const LINES = [["valence", "#E69F00"], ["arousal", "#56B4E9"]];
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600]; // seconds between ticks
const TICK = 84; // CSS pixels from one to the next, at least

export class Lanes {
  /** canvas; session: see session.js; palette: of the labels. The window that is shown is from, to, in seconds. */
  constructor(canvas, session, palette) {
    Object.assign(this, { canvas, session, palette, from: session.begin, to: session.end });
    this.colours = session.labels.map((name) => palette.get(name));
    const lane = Math.max(LEAST, Math.min(HIGHEST, Math.floor(ROOM / Math.max(1, session.lanes.length)) - BETWEEN));
    const parts = [["axis", AXIS]];
    if (session.labelled.length || session.events.length || session.excluded.length) parts.push(["noted", NOTED]);
    session.lanes.forEach((_, i) => parts.push([`lane ${i}`, lane]));
    if (session.labels.length) parts.push(["layers", LAYERS]);
    if (session.about.affect) parts.push(["affect", AFFECT]);
    parts.push(["quality", QUALITY]);
    let top = 0;
    this.parts = new Map(parts.map(([name, high]) => {
      const part = { name, top, high, bottom: top + high };
      top += high + BETWEEN;
      return [name, part];
    }));
    this.height = top;
    canvas.style.height = `${this.height}px`;
  }

  x(time) {
    return LEFT + ((time - this.from) / (this.to - this.from)) * (this.width - LEFT - RIGHT);
  }

  /** The time under a place, CSS pixels from the left. */
  time(x) {
    return this.from + ((x - LEFT) / (this.width - LEFT - RIGHT)) * (this.to - this.from);
  }

  /** The lane of a face that lies at a height, or null. */
  lane(y) {
    const hit = [...this.parts.values()].find((part) => part.name.startsWith("lane") && y >= part.top && y <= part.bottom + BETWEEN);
    return hit ? Number(hit.name.slice(5)) : null;
  }

  /** The event at a place, or null. */
  event(x, y) {
    const part = this.parts.get("noted");
    if (!part || y < part.top - 2 || y > part.bottom + 2) return null;
    return this.session.events.find(({ time }) => Math.abs(this.x(time) - x) < 7) ?? null;
  }

  draw(selected, look) {
    const { ctx, width, height } = plotted(this.canvas);
    if (!width) return;
    Object.assign(this, { ctx, width, look, columns: Math.max(1, Math.round(width - LEFT - RIGHT)) });
    ctx.font = look.font;
    ctx.textBaseline = "middle";
    this.axis(height);
    this.session.lanes.forEach((lane, i) => this.strip(lane, this.parts.get(`lane ${i}`), i === selected));
    const lane = this.session.lanes[selected];
    const binned = lane ? this.binned(lane) : [];
    if (this.parts.has("layers")) this.layers(binned, this.parts.get("layers"));
    if (this.parts.has("affect")) this.lines(binned, this.parts.get("affect"));
    this.quality(this.parts.get("quality"));
    this.hatch(height);
    if (this.parts.has("noted")) this.noted(this.parts.get("noted"), selected);
  }

  axis(height) {
    const { ctx, look } = this, span = this.to - this.from;
    const step = STEPS.find((each) => (each / span) * this.columns >= TICK) ?? STEPS.at(-1);
    ctx.textAlign = "center";
    ctx.fillStyle = look.dim;
    ctx.strokeStyle = look.line;
    ctx.lineWidth = 1;
    ctx.beginPath();
    for (let i = Math.ceil(this.from / step); i * step <= this.to; i += 1) {
      const x = Math.round(this.x(i * step)) + 0.5;
      ctx.moveTo(x, AXIS - 3);
      ctx.lineTo(x, height);
      const text = clock(i * step + 1e-6, step < 1), half = ctx.measureText(text).width / 2;
      ctx.fillText(text, Math.max(LEFT + half, Math.min(this.width - half - 2, x)), AXIS / 2 - 1);
    }
    ctx.stroke();
  }

  /** A name before a part. */
  name(text, part, strong = false) {
    const { ctx, look } = this;
    ctx.textAlign = "left";
    ctx.fillStyle = strong ? look.ink : look.dim;
    ctx.fillText(text, 0, part.top + part.high / 2 + 0.5, LEFT - 6);
  }

  /** The labels of a lane's faces, one after the other, with their numbers where there is room. */
  strip(lane, part, selected) {
    const { ctx, session } = this, { label, uncertain, track } = session.faces;
    const begin = Math.max(0, above(lane.times, this.from) - 1), end = above(lane.times, this.to + AWAY);
    let run = null;
    const wide = (this.to - this.from) / this.columns;
    const close = (time) => {
      if (!run) return;
      const [left, right] = [Math.max(LEFT, this.x(run.from)), Math.min(this.width - RIGHT, this.x(time))];
      if (right <= left) return;
      ctx.fillStyle = run.label === null ? ofTrack(run.track) : this.colours[run.label];
      ctx.globalAlpha = run.uncertain ? 0.55 : 1;
      ctx.fillRect(left, part.top, Math.max(0.75, right - left), part.high);
      ctx.globalAlpha = 1;
    };
    for (const { row, time, last } of this.sampled(lane, begin, end, wide)) {
      const each = { label: label ? label[row] : null, uncertain: Boolean(uncertain?.[row]), track: track[row] };
      const gap = run && time - run.last > AWAY;
      if (gap) close(run.last + session.step);
      if (!run || gap || each.label !== run.label || each.uncertain !== run.uncertain || each.track !== run.track) {
        if (!gap) close(time);
        run = { ...each, from: time };
      }
      run.last = last;
    }
    if (run) close(run.last + session.step);
    if (selected) {
      ctx.strokeStyle = this.look.ink;
      ctx.lineWidth = 1;
      ctx.strokeRect(LEFT - 0.5, part.top - 1.5, this.width - LEFT - RIGHT + 1, part.high + 3);
    }
    this.numbers(lane, part, selected);
  }

  /** Rows of a lane: all of them, or where there are more than columns, of each column the first with the label most have. */
  *sampled(lane, begin, end, wide) {
    const { label } = this.session.faces, many = end - begin > 3 * this.columns;
    for (let i = begin; i < end;) {
      let to = i + 1;
      if (many) while (to < end && lane.times[to] < lane.times[i] + wide && lane.times[to] - lane.times[to - 1] < AWAY) to += 1;
      let best = i;
      if (label && to - i > 2) {
        const counts = new Map();
        for (let j = i; j < to; j += 1) counts.set(label[lane.rows[j]], (counts.get(label[lane.rows[j]]) ?? 0) + 1);
        const most = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))[0];
        while (label[lane.rows[best]] !== most) best += 1;
      }
      yield { row: lane.rows[best], time: lane.times[i], last: lane.times[to - 1] };
      i = to;
    }
  }

  numbers(lane, part, selected) {
    const { ctx, session } = this, number = this.session.lanes.indexOf(lane);
    const here = [...session.tracks.values()].filter((each) => each.lane === number && each.to >= this.from && each.from <= this.to);
    const said = (each) => `#${each.track}${session.about.names[each.track] ? ` ${session.about.names[each.track]}` : ""}`;
    this.name(here.length ? said(here[0]) : "", part, selected);
    if (part.high < 13) return;
    for (const each of here.slice(1, 400)) {
      const left = Math.max(LEFT, this.x(each.from)), room = Math.min(this.width - RIGHT, this.x(each.to)) - left;
      const wide = ctx.measureText(said(each)).width;
      if (room < wide + 8) continue;
      const at = above(lane.times, Math.max(each.from, this.from) - 1e-4);
      const label = session.faces.label?.[lane.rows[at]];
      ctx.fillStyle = inkOn(label === undefined ? ofTrack(each.track) : this.colours[label]);
      ctx.fillText(said(each), left + 4, part.top + part.high / 2 + 0.5);
    }
  }

  /** Rows of a lane by column of the canvas: from and to in it, or null, and whether a line breaks before it. */
  binned(lane) {
    const bins = [], wide = (this.to - this.from) / this.columns;
    const end = above(lane.times, this.to + AWAY);
    for (let i = Math.max(0, above(lane.times, this.from - AWAY) - 1); i < end;) {
      const begin = i, column = Math.floor((lane.times[i] - this.from) / wide);
      while (i < end && Math.floor((lane.times[i] - this.from) / wide) === column) i += 1;
      const time = (lane.times[begin] + lane.times[i - 1]) / 2;
      bins.push({ x: this.x(time), rows: lane.rows.subarray(begin, i), breaks: begin > 0 && lane.times[begin] - lane.times[begin - 1] > AWAY });
    }
    return bins;
  }

  /** Probabilities upon each other: they sum to 1. */
  layers(bins, part) {
    const { ctx, session } = this, k = session.labels.length;
    this.within(part, () => {
      const runs = broken(bins);
      let floors = bins.map(() => part.bottom);
      for (let label = 0; label < k; label += 1) {
        const tops = bins.map(({ rows }, i) => {
          let sum = 0;
          for (const row of rows) sum += session.faces.shares[row * k + label];
          return floors[i] - (part.high * sum) / (rows.length * FULL);
        });
        ctx.fillStyle = this.colours[label];
        for (const [from, to] of runs) {
          ctx.beginPath();
          for (let i = from; i < to; i += 1) ctx.lineTo(bins[i].x, floors[i] + 0.4);
          for (let i = to - 1; i >= from; i -= 1) ctx.lineTo(bins[i].x, tops[i]);
          ctx.fill();
        }
        floors = tops;
      }
    });
    this.name("shares", part);
  }

  /** Valence and arousal: their mean in each column, and from the least to the most. */
  lines(bins, part) {
    const { ctx, session } = this, middle = (part.top + part.bottom) / 2, reach = part.high / 2 - 2;
    ctx.strokeStyle = this.look.line;
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.moveTo(LEFT, Math.round(middle) + 0.5);
    ctx.lineTo(this.width - RIGHT, Math.round(middle) + 0.5);
    ctx.stroke();
    this.within(part, () => {
      for (const [key, colour] of LINES) {
        const values = session.faces[key];
        const seen = bins.map(({ rows }) => {
          let [least, most, sum] = [1, -1, 0];
          for (const row of rows) {
            least = Math.min(least, values[row]);
            most = Math.max(most, values[row]);
            sum += values[row];
          }
          return [least, most, sum / rows.length].map((value) => middle - reach * value);
        });
        ctx.strokeStyle = ctx.fillStyle = colour;
        ctx.lineWidth = 1.75;
        ctx.lineJoin = "round";
        for (const [from, to] of broken(bins)) {
          ctx.globalAlpha = 0.3;
          ctx.beginPath();
          for (let i = from; i < to; i += 1) ctx.lineTo(bins[i].x, seen[i][0]);
          for (let i = to - 1; i >= from; i -= 1) ctx.lineTo(bins[i].x, seen[i][1]);
          ctx.fill();
          ctx.globalAlpha = 1;
          ctx.beginPath();
          for (let i = from; i < to; i += 1) ctx.lineTo(bins[i].x, seen[i][2]);
          ctx.stroke();
        }
      }
    });
    this.pair(part, LINES);
  }

  /** Two names before a part, each with its colour. */
  pair(part, names) {
    names.forEach(([name, colour], i) => {
      const line = { top: part.top + (i * part.high) / 2, high: part.high / 2 };
      this.name(name, line);
      this.ctx.fillStyle = colour;
      this.ctx.fillRect(LEFT - 6, line.top + 3, 3, line.high - 6);
    });
  }

  /** How long frames took, in the mean of each column and at most; and the share that the numbers of frames leave out. */
  quality(part) {
    const { ctx, look } = this, { time, number, ms } = this.session.frames;
    const wide = (this.to - this.from) / this.columns, broad = Math.max(1, Math.round((0.8 * this.session.step) / wide));
    this.pair(part, [["ms", look.dim], ["lost", look.hot]]);
    const bar = (column, from, share) => ctx.fillRect(LEFT + column, from - part.high * Math.min(1, share), broad, part.high * Math.min(1, share));
    ctx.fillStyle = look.dim;
    const lostOf = new Map();
    for (let i = Math.max(1, above(time, this.from)), end = above(time, this.to); i < end;) {
      const column = Math.floor((time[i] - this.from) / wide), first = i;
      let longest = 0, sum = 0, lost = 0;
      for (; i < end && Math.floor((time[i] - this.from) / wide) === column; i += 1) {
        longest = Math.max(longest, ms[i]);
        sum += ms[i];
        lost += number[i] - number[i - 1] - 1;
      }
      ctx.globalAlpha = 0.4;
      bar(column, part.bottom, longest / this.slowest);
      ctx.globalAlpha = 1;
      bar(column, part.bottom, sum / (i - first) / this.slowest);
      if (lost) lostOf.set(column, lost / (lost + i - first));
    }
    ctx.fillStyle = look.hot;
    for (const [column, share] of lostOf) ctx.fillRect(LEFT + column - 0.5, part.top, Math.max(2, broad), Math.max(LEAST_LOST, part.high * share));
  }

  /** Milliseconds of the lane's height: twice what 95 of a hundred frames stay below. */
  get slowest() {
    if (!this.most) {
      const sorted = Float32Array.from(this.session.frames.ms).sort();
      this.most = Math.max(1, 2 * sorted[Math.floor(0.95 * (sorted.length - 1))]);
    }
    return this.most;
  }

  /** What is excluded, over all lanes. */
  hatch(height) {
    const { ctx, look } = this;
    for (const { from, to } of this.session.excluded) {
      const left = Math.max(LEFT, this.x(from)), right = Math.min(this.width - RIGHT, this.x(to));
      if (right <= left) continue;
      ctx.save();
      ctx.beginPath();
      ctx.rect(left, AXIS, right - left, height - AXIS - BETWEEN);
      ctx.clip();
      ctx.fillStyle = look.ground;
      ctx.globalAlpha = 0.72;
      ctx.fillRect(left, AXIS, right - left, height);
      ctx.globalAlpha = 0.55;
      ctx.strokeStyle = look.dim;
      ctx.lineWidth = 1;
      ctx.beginPath();
      for (let x = left - height; x < right; x += 8) {
        ctx.moveTo(x, height);
        ctx.lineTo(x + height, 0);
      }
      ctx.stroke();
      ctx.restore();
    }
  }

  /** Labels that a person gave the selected lane's faces, or everybody, and events. */
  noted(part, selected) {
    const { ctx, look, session } = this;
    this.name("noted", part);
    this.within({ ...part, top: part.top - 2, bottom: part.bottom + 2 }, () => {
      for (const { from, to, track, label } of session.labelled) {
        if (track !== null && session.laneOf(track) !== selected) continue;
        const [left, right] = [this.x(from), this.x(to)];
        ctx.fillStyle = this.colours[label];
        ctx.fillRect(left, part.top + 2, Math.max(1, right - left), part.high - 4);
        const text = session.labels[label];
        if (Math.min(right, this.width - RIGHT) - Math.max(left, LEFT) < ctx.measureText(text).width + 10) continue;
        ctx.fillStyle = inkOn(this.colours[label]);
        ctx.fillText(text, Math.max(left, LEFT) + 5, part.top + part.high / 2 + 0.5);
      }
      for (const { time } of session.events) {
        const x = this.x(time);
        ctx.fillStyle = look.ink;
        ctx.strokeStyle = look.ground;
        ctx.lineWidth = 2;
        ctx.beginPath();
        ctx.moveTo(x - 5, part.top - 1);
        ctx.lineTo(x + 5, part.top - 1);
        ctx.lineTo(x + 5, part.top + 7);
        ctx.lineTo(x, part.bottom);
        ctx.lineTo(x - 5, part.top + 7);
        ctx.closePath();
        ctx.stroke();
        ctx.fill();
      }
    });
  }

  /** Draw something no further than the plot goes. */
  within(part, draw) {
    const { ctx } = this;
    ctx.save();
    ctx.beginPath();
    ctx.rect(LEFT, part.top, this.width - LEFT - RIGHT, part.bottom - part.top);
    ctx.clip();
    draw();
    ctx.restore();
  }
}

/** From and to of the runs without a break. */
function broken(bins) {
  const edges = [0, ...bins.flatMap(({ breaks }, i) => (breaks && i ? [i] : [])), bins.length];
  return edges.slice(1).map((to, i) => [edges[i], to]).filter(([from, to]) => to > from);
}
