// The stage: the frame that was answered and what is known of it, painted together, as large as there is room.

import { drawOverlay, placed } from "ferlab/overlay.js";

const SHARP = 2; // more device pixels to a CSS pixel are not seen, and cost
const PNG_SIDE = 1280; // longer side of a screenshot, at least: so that its labels are sharp

export class Stage {
  /** box: the element that gives the room; canvas: in it. look: {mirrored, overlay}, read at every painting. */
  constructor(box, canvas, look) {
    Object.assign(this, { box, canvas, look, palette: new Map(), selected: null, shown: null });
    this.ctx = canvas.getContext("2d", { alpha: false });
    this.room = { width: 0, height: 0 };
    new ResizeObserver(([entry]) => {
      this.room = entry.contentRect;
      this.repaint();
    }).observe(box);
  }

  /** Paint a frame, a canvas or a bitmap, with its answer. */
  paint(picture, answer) {
    this.shown = { picture, answer };
    this.repaint();
  }

  /** Paint again what is shown: the room, the mirror or the selected face is another one. */
  repaint() {
    if (!this.shown || !this.room.width || !this.room.height) return;
    const view = this.fit();
    this.draw(this.ctx, view, Math.min(SHARP, devicePixelRatio || 1));
  }

  /** Show nothing. */
  clear() {
    this.shown = null;
    this.ctx.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /** The face at a point of the page, or null: the smallest, where boxes lie in each other. */
  at(x, y) {
    if (!this.shown) return null;
    const corner = this.canvas.getBoundingClientRect();
    const [left, top] = [x - corner.left, y - corner.top];
    const hit = this.shown.answer.faces.filter((face) => {
      const [l, t, w, h] = placed(face.box, this.view);
      return left >= l && left <= l + w && top >= t && top <= t + h;
    });
    return hit.sort((a, b) => a.box[2] * a.box[3] - b.box[2] * b.box[3])[0] ?? null;
  }

  /** A PNG of the frame with its overlay, a Blob; null if nothing is shown. */
  async png() {
    if (!this.shown) return null;
    const { picture } = this.shown;
    const canvas = document.createElement("canvas");
    const grown = Math.max(1, PNG_SIDE / Math.max(picture.width, picture.height));
    const [width, height] = [picture.width, picture.height].map((side) => Math.round(side * grown));
    Object.assign(canvas, { width, height });
    this.draw(canvas.getContext("2d"), this.viewed(width, height), 1);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  /** The canvas as large as there is room for the picture's shape; gives how the frame lies in it. */
  fit() {
    const { width, height } = this.shown.picture;
    const scale = Math.min(this.room.width / width, this.room.height / height);
    const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
    const sharp = Math.min(SHARP, devicePixelRatio || 1);
    const size = [Math.round(wide * sharp), Math.round(high * sharp)];
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) {
      [this.canvas.width, this.canvas.height] = size;
      this.canvas.style.width = `${wide}px`;
      this.canvas.style.height = `${high}px`;
      this.box.style.setProperty("--shape", width / height); // where the page gives it height as it likes
    }
    this.view = this.viewed(wide, high);
    return this.view;
  }

  viewed(width, height) {
    // What was answered may be smaller than what is painted: boxes are in pixels of the former.
    return { width, height, scale: width / this.shown.answer.width, mirrored: this.look.mirrored };
  }

  draw(ctx, view, sharp) {
    const { picture, answer } = this.shown;
    const across = view.mirrored ? -1 : 1;
    ctx.setTransform(sharp * across, 0, 0, sharp, view.mirrored ? sharp * view.width : 0, 0);
    ctx.drawImage(picture, 0, 0, view.width, view.height);
    ctx.setTransform(sharp, 0, 0, sharp, 0, 0);
    if (this.look.overlay) drawOverlay(ctx, view, answer.faces, this.palette, this.selected);
  }
}
