// How fast it is: the camera's own rate apart from what is shown and what is answered, latency, age, and what was dropped.

import { write } from "ferlab/dom.js";

const OVER = 2000; // ms over which frames a second are counted
const DARK = 15; // frames a second of a camera below which it probably exposes long

export class Numbers {
  /** by: gives an element by its id. loop: see loop.js. */
  constructor(by, loop) {
    Object.assign(this, { by, loop, snapshots: [] });
  }

  /** A source begins: rates are counted anew. */
  reset() {
    this.snapshots = [];
    this.loop.trips.length = 0;
  }

  /** ms: how long the last answer took the engine, by part. */
  draw(now, ms) {
    const { counts, trips, age } = this.loop;
    this.snapshots.push({ now, ...counts });
    while (this.snapshots.length > 2 && now - this.snapshots[1].now >= OVER) this.snapshots.shift();
    const [before] = this.snapshots;
    const rate = (key) => (now > before.now ? (1000 * (counts[key] - before[key])) / (now - before.now) : 0);
    this.rates = { camera: rate("camera"), shown: rate("painted"), answered: rate("answered") };
    for (const [name, value] of Object.entries(this.rates)) this.put(name, value >= 0.05 ? value.toFixed(1) : "–");
    const sorted = [...trips].sort((a, b) => a - b);
    this.latency = { p50: quantile(sorted, 0.5), p95: quantile(sorted, 0.95) };
    for (const [name, value] of Object.entries(this.latency)) this.put(name, whole(value));
    this.put("age", whole(age));
    this.put("dropped", String(counts.dropped + counts.stale + counts.errors));
    if (ms) this.put("took", took(ms));
  }

  /** Whether the camera is so slow that more light may help; once its rate is known. */
  get dark() {
    return this.snapshots.length > 3 && this.rates.camera > 0.5 && this.rates.camera < DARK;
  }

  put(name, text) {
    write(this.by(`n-${name}`), text);
  }
}

/** The engine's parts, and all of it. */
function took(ms) {
  const parts = ["detector", "classifier", "server"].filter((part) => Number.isFinite(ms[part]));
  return parts.map((part) => `${part} ${ms[part].toFixed(1)}`).join(" · ");
}

function quantile(sorted, share) {
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : NaN;
}

function whole(value) {
  return Number.isFinite(value) ? String(Math.round(value)) : "–";
}
