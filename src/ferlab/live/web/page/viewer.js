// The session viewer: what was recorded, at any time of it, with its video if there is one. Reads from top to bottom.

import { colours } from "ferlab/colours.js";
import { by, clock, put, write } from "ferlab/dom.js";
import { begin as beginKeys } from "ferlab/keys.js";
import { Affect } from "ferlab/panels/affect.js";
import { Bars } from "ferlab/panels/bars.js";
import { Stage } from "ferlab/stage.js";
import { begin as beginTabs } from "ferlab/tabs.js";
import { begin as beginTheme, look as themed } from "ferlab/theme.js";
import { toast } from "ferlab/toasts.js";
import { Lanes } from "ferlab/viewer/lanes.js";
import { annotations, facts } from "ferlab/viewer/notes.js";
import { Player, RATES } from "ferlab/viewer/player.js";
import { load } from "ferlab/viewer/session.js";

const LEAST = 1; // seconds in the window, at least
const CLOSER = 1.6; // of the window, with each press
const SECOND = 1, FORGETS = 1; // seconds of an arrow; for which the selected face may be away

beginTabs(by("tabs"));
beginTheme(() => viewer?.repaint());
let viewer = null;
load().then(
  (session) => {
    viewer = new Viewer(session);
    document.documentElement.dataset.state = "running";
    globalThis.ferlabViewer = viewer; // for tests
  },
  (error) => {
    document.documentElement.dataset.state = "trouble";
    by("cover-title").textContent = "The session cannot be shown";
    by("cover-text").textContent = error.message;
  },
);

class Viewer {
  constructor(session) {
    const { about } = session;
    this.session = session;
    this.palette = colours(session.labels);
    this.selected = session.lanes.length ? session.faces.track[0] : null;
    this.seen = session.begin;
    this.frame = -1;
    this.look = { mirrored: false, overlay: !about.drawn };
    this.stage = new Stage(by("stage"), by("picture"), this.look);
    this.stage.palette = this.palette;
    this.picture = Object.assign(document.createElement("canvas"), { width: about.picture[0], height: about.picture[1] });
    this.lanes = new Lanes(by("timeline"), session, this.palette);
    this.bars = new Bars(by("faces-list"), by("faces-none"), { labels: session.labels, affect: about.affect }, this.palette, (track) => this.choose(track));
    this.affect = new Affect(by("affect-plot"), by("affect-text"), session.past(session.begin), this.palette);
    by("affect").hidden = !about.affect;
    this.title(about);
    facts(about);
    annotations(session, this.palette, (time) => this.player.seek(time));
    this.player = new Player(session, about.video ? by("video") : null, { moved: (time) => this.moved(time), changed: () => this.played() });
    this.open(about);
    this.controls();
    this.moved(session.begin);
    this.played();
    new ResizeObserver(() => this.redraw()).observe(by("timeline"));
  }

  title({ name, video }) {
    const { session } = this, frames = session.frames.time.length;
    document.title = `${name} · ferlab`;
    by("session-name").textContent = name;
    const faces = session.tracks.size, length = clock(session.end - session.begin);
    by("status-text").textContent = `${length}, ${counted(frames, "frame")}, ${counted(faces, "face")} followed`;
    by("no-video").hidden = video;
  }

  open({ video, notes }) {
    if (video) {
      by("video").addEventListener("error", () => this.unplayable());
      by("video").src = "session/video.mp4";
    } else this.blank();
    for (const note of notes) toast(note);
  }

  unplayable() {
    if (!this.player.video) return;
    by("no-video").hidden = false;
    by("no-video").textContent = "The video cannot be played here; the frames go on without it";
    this.blank();
    this.player.drop();
  }

  blank() {
    const ctx = this.picture.getContext("2d");
    ctx.fillStyle = "#23272e";
    ctx.fillRect(0, 0, this.picture.width, this.picture.height);
  }

  controls() {
    const { session, player } = this;
    const click = (id, act) => by(id).addEventListener("click", act);
    click("play", () => player.toggle());
    click("before", () => this.change(false));
    click("after", () => this.change(true));
    click("closer", () => this.zoom(1 / CLOSER));
    click("wider", () => this.zoom(CLOSER));
    click("whole", () => this.show(session.begin, session.end));
    click("overlay", () => {
      this.look.overlay = !this.look.overlay;
      this.repaint();
    });
    by("rate").replaceChildren(...RATES.map((rate) => new Option(`${rate} ×`, rate, rate === 1, rate === 1)));
    by("rate").addEventListener("change", () => player.speed(Number(by("rate").value)));
    const seek = by("seek");
    Object.assign(seek, { min: session.begin, max: session.end, step: session.step });
    seek.addEventListener("input", () => player.seek(Number(seek.value)));
    by("picture").addEventListener("click", (event) => {
      const face = this.stage.at(event.clientX, event.clientY);
      if (face) this.choose(face.track);
    });
    this.pointer(by("timeline"));
    const frame = (by) => player.seek(session.frames.time[Math.max(0, Math.min(session.frames.time.length - 1, session.frameAt(player.time) + by))]);
    this.keys = [
      { key: "arrowleft", name: "A second back", act: () => player.seek(player.time - SECOND) },
      { key: "arrowright", name: "A second on", act: () => player.seek(player.time + SECOND) },
      { key: ",", name: "A frame back", act: () => frame(-1) },
      { key: ".", name: "A frame on", act: () => frame(1) },
      { key: "arrowup", name: "The face above", act: () => this.next(-1) },
      { key: "arrowdown", name: "The face below", act: () => this.next(1) },
      { key: "home", name: "To the begin", act: () => player.seek(session.begin) },
      { key: "end", name: "To the end", act: () => player.seek(session.end) },
    ];
    beginKeys(this.keys);
    document.addEventListener("keydown", (event) => {
      if (!event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, [role=tab]")) return;
      this.keys.find((each) => each.key === event.key.toLowerCase())?.act(); // a key that is held goes on
    });
  }

  /** Click or drag to a time, click a lane to select its face, turn the wheel to come closer. */
  pointer(canvas) {
    const at = (event) => event.clientX - canvas.getBoundingClientRect().left;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      const lane = this.lanes.lane(event.clientY - canvas.getBoundingClientRect().top);
      this.player.seek(this.lanes.time(at(event)));
      if (lane !== null) this.chooseLane(lane);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) this.player.seek(this.lanes.time(at(event)));
      else put(canvas, "title", this.lanes.event(at(event), event.clientY - canvas.getBoundingClientRect().top)?.text ?? "");
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const across = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
      const turned = (across ? event.deltaX || event.deltaY : event.deltaY) / 500;
      if (across) this.pan(turned * (this.lanes.to - this.lanes.from));
      else this.zoom(Math.exp(turned), this.lanes.time(at(event)));
    }, { passive: false });
  }

  /** The place is another one. */
  moved(time) {
    const { session } = this, faces = session.at(time);
    if (faces.some((face) => face.track === this.selected)) this.seen = time;
    else if (faces.length && Math.abs(time - this.seen) > FORGETS) this.select(faces);
    const { video } = this.player ?? {};
    if (video && this.player.covers(time) && video.readyState > 1) {
      if (this.picture.width !== video.videoWidth) Object.assign(this.picture, { width: video.videoWidth, height: video.videoHeight });
      this.picture.getContext("2d").drawImage(video, 0, 0);
    } else if (video && !this.player.covers(time) && video.readyState > 1) this.blank();
    const [width, height] = session.about.picture;
    this.stage.selected = this.selected;
    this.stage.paint(this.picture, { width, height, faces });
    this.panels(faces, time);
    this.head(time);
  }

  panels(faces, time) {
    const shown = faces.map((face) => face.track).join();
    if (shown !== this.shown) this.bars.clear();
    this.shown = shown;
    this.bars.draw(faces, this.selected, 0);
    if (!this.session.about.affect) return;
    this.affect.past = this.session.past(time);
    this.affect.draw(faces, this.selected, themed());
  }

  /** Where the place is in the window; the window goes along. */
  head(time) {
    const { session, lanes } = this, seek = by("seek");
    if (time > lanes.to || time < lanes.from) this.show(time - (time > lanes.to ? 0.05 : 0.95) * (lanes.to - lanes.from), null);
    write(by("time"), `${clock(time, true)} / ${clock(session.end, true)}`);
    if (document.activeElement !== seek || this.player?.playing) seek.value = time;
    put(seek, "aria-valuetext", clock(time, true));
    const x = lanes.width ? lanes.x(time) : 0;
    by("playhead").style.transform = `translateX(${x.toFixed(1)}px)`;
  }

  played() {
    const { playing } = this.player;
    by("play-icon").setAttribute("href", playing ? "#i-pause" : "#i-play");
    write(by("play-text"), playing ? "Pause" : "Play");
  }

  /** To the next change of the selected face's label, or the one before. */
  change(forward) {
    const { session, player } = this;
    const time = this.selected === null ? null : session.change(session.laneOf(this.selected), player.time, forward);
    if (time === null) toast(forward ? "The label of this face does not change after this." : "The label of this face does not change before this.");
    else player.seek(time);
  }

  /** The largest face, where the selected one is away. */
  select(faces) {
    const lane = this.session.laneOf(this.selected);
    const same = faces.find((face) => this.session.laneOf(face.track) === lane);
    const [largest] = [...faces].sort((a, b) => b.box[2] * b.box[3] - a.box[2] * a.box[3]);
    this.seen = this.player?.time ?? this.session.begin;
    this.selected = (same ?? largest).track;
    this.redraw();
  }

  choose(track) {
    this.selected = track;
    this.seen = this.player.time;
    this.repaint();
  }

  /** A lane's face: the one that is there now, or the nearest in time. */
  chooseLane(lane) {
    const { time } = this.player;
    const away = (each) => Math.max(each.from - time, time - each.to, 0);
    const [nearest] = [...this.session.tracks.values()].filter((each) => each.lane === lane).sort((a, b) => away(a) - away(b));
    this.choose(nearest.track);
  }

  next(by) {
    const { lanes } = this.session;
    if (lanes.length) this.chooseLane((this.session.laneOf(this.selected) + by + lanes.length) % lanes.length);
  }

  /** Show a part of the session: as long as now if there is no end. */
  show(from, to) {
    const { session, lanes } = this;
    const span = Math.min(session.end - session.begin, Math.max(LEAST, to === null ? lanes.to - lanes.from : to - from));
    lanes.from = Math.max(session.begin, Math.min(session.end - span, from));
    lanes.to = lanes.from + span;
    this.redraw();
  }

  zoom(factor, about = this.player.time) {
    const { from, to } = this.lanes;
    const span = Math.min(this.session.end - this.session.begin, Math.max(LEAST, (to - from) * factor));
    const share = (Math.max(from, Math.min(to, about)) - from) / (to - from);
    this.show(about - share * span, about + (1 - share) * span);
  }

  pan(seconds) {
    this.show(this.lanes.from + seconds, null);
  }

  /** The lanes again: another window, face, size or theme. */
  redraw() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = null;
      this.lanes.draw(this.selected === null ? -1 : this.session.laneOf(this.selected), { ...themed(), hot: getComputedStyle(by("hot")).color });
      if (this.player) this.head(this.player.time);
      by("whole").disabled = this.lanes.to - this.lanes.from >= this.session.end - this.session.begin - 1e-6;
    });
  }

  repaint() {
    put(by("overlay"), "aria-pressed", this.look.overlay);
    this.moved(this.player.time);
    this.redraw();
  }
}

function counted(number, name) {
  return `${number.toLocaleString("en")} ${name}${number === 1 ? "" : "s"}`;
}
