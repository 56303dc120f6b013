// The page: it opens an engine, takes frames from a source, and shows what the engine answers. Read it from top to bottom.

import { open } from "ferlab/engine.js";
import { enrolment, model } from "ferlab/about.js";
import { Annotate } from "ferlab/annotate.js";
import { colours } from "ferlab/colours.js";
import { Controls } from "ferlab/controls.js";
import { cover } from "ferlab/cover.js";
import { by, put, write } from "ferlab/dom.js";
import * as files from "ferlab/files.js";
import { keep, kept } from "ferlab/kept.js";
import * as keys from "ferlab/keys.js";
import { Loop } from "ferlab/loop.js";
import { said } from "ferlab/overlay.js";
import { Affect } from "ferlab/panels/affect.js";
import { Bars } from "ferlab/panels/bars.js";
import { History } from "ferlab/panels/history.js";
import { Numbers } from "ferlab/panels/numbers.js";
import { Timeline } from "ferlab/panels/timeline.js";
import { Past } from "ferlab/past.js";
import { Recording } from "ferlab/recording.js";
import { Selection } from "ferlab/selection.js";
import { Trouble, camera, cameras, picture, video } from "ferlab/sources.js";
import { Stage } from "ferlab/stage.js";
import * as tabs from "ferlab/tabs.js";
import * as theme from "ferlab/theme.js";
import { toast } from "ferlab/toasts.js";
import { Watch } from "ferlab/watch.js";

const TICK = 50; // ms; faces are drawn at every second tick and the timeline at the others, so that neither delays a frame
const SLOW = 10; // ticks from one drawing of the numbers to the next

const page = document.documentElement;
const shown = { mirrored: false, overlay: true }; // how the stage shows a frame
const stage = new Stage(by("stage"), by("picture"), shown);
const selection = new Selection(reselected);
const transport = new files.Transport({ moved: () => restart(), closed: stop });
const watch = new Watch();
let engine = null; // once it is warm
let parts = null; // the panels of its model
let source = null; // that runs
let attempt = 0; // number of the newest try to start a source
let last = null; // the answer that is on the stage
let look = theme.look();
let wakeLock = null;
let countdown = 0; // timer of the words about a lost connection
let ticks = 0;

// ---- what is there before the engine is

theme.begin(() => {
  look = theme.look();
  drawAll();
});
tabs.begin(document.querySelector('[role="tablist"]'), drawAll);
files.begin((file) => begin(() => opened(file), "opening"));
by("begin").addEventListener("click", startCamera);
by("start").addEventListener("click", pressed);
by("cameras").addEventListener("change", () => {
  keep("camera", by("cameras").value);
  startCamera();
});
by("mirror").addEventListener("click", () => mirror(!shown.mirrored, true));
by("overlay").addEventListener("click", () => {
  shown.overlay = !shown.overlay;
  put(by("overlay"), "aria-pressed", shown.overlay);
  stage.repaint();
});
by("full").hidden = !document.fullscreenEnabled;
by("full").addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : by("stage").requestFullscreen()));
document.addEventListener("fullscreenchange", () => put(by("full"), "aria-pressed", Boolean(document.fullscreenElement)));
by("picture").addEventListener("click", (event) => {
  const face = stage.at(event.clientX, event.clientY);
  if (face) selection.choose(face.track);
});
const hint = keys.begin([
  { key: "n", name: "Select the next face", act: () => selection.next() },
  { key: "l", name: "Next smoothing preset", act: () => parts?.controls.next() },
]);
navigator.mediaDevices?.addEventListener?.("devicechange", listCameras);
listCameras();
cover("idle");
status();
expose();

// ---- the engine

const warm = open({ on: heard }).then(begun, (error) => cover(new Trouble("It does not start", error.message)));

function begun(opened) {
  engine = opened;
  const { hello } = engine;
  const palette = (stage.palette = colours(hello.labels));
  const past = new Past(hello.labels);
  const loop = new Loop(engine, stage, { painted, failed: (text) => toast(text, "error") });
  const send = (message) => engine.send(message);
  const time = () => last?.time ?? 0, selected = () => selection.track;
  parts = {
    hello, inForce: hello.settings, past, loop,
    bars: new Bars(by("faces-list"), by("faces-none"), hello, palette, (track) => selection.choose(track)),
    affect: hello.affect ? new Affect(by("affect-plot"), by("affect-text"), past, palette) : null,
    timeline: new Timeline(by("timeline"), by("past-of"), past, palette),
    history: new History(by("history-list"), by("history-none"), palette),
    numbers: new Numbers(by, loop),
    controls: new Controls(by("settings"), settle, () => source?.kind === "picture" && loop.again()),
    annotate: new Annotate(hello.labels, palette, { send, time, selected, refused: (text) => toast(text, "error") }),
    recording: new Recording(stage, hello.can, { send, say: toast, runs: () => Boolean(last), changed: (on, folder) => parts.annotate.record(on, folder) }),
  };
  by("affect").hidden = !hello.affect;
  by("tab-history").hidden = !hello.labels.length;
  by("tab-annotate").hidden = !hello.can.record;
  by("tab-settings").hidden = hello.can.source === "server"; // which is the same for all who look
  parts.controls.begin(hello);
  model(hello);
  if (hello.can.enroll) enrolment({ selected, send, say: toast });
  if (hello.can.source === "server") view();
  hint();
  drawAll();
  setInterval(tick, TICK);
  status();
}

/** Ask for other settings; gives those in force, which are the old ones if they are refused. */
async function settle(settings) {
  try {
    parts.inForce = await engine.send({ type: "settings", ...settings });
  } catch (error) {
    if (error.lost) return null; // they are sent again when the connection is back
    toast(error.message, "error");
  }
  return parts.inForce;
}

/** What the engine says by itself. */
function heard(message) {
  if (message.type === "connection") connection(message);
  else if (message.type === "frame") seen(message);
  else if (message.type === "recording") parts?.recording.take(message);
  else if (message.type === "note") toast(message.text);
  else if (message.type === "error") toast(message.text, "error");
}

function connection({ state, wait = 0, tries = 0 }) {
  page.dataset.connection = state;
  clearInterval(countdown);
  by("lost").hidden = state === "open";
  parts?.loop.pause(state !== "open");
  if (state === "open") back();
  else {
    parts?.recording.lost();
    const until = performance.now() + wait;
    const say = () => {
      const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      const more = tries > 4 ? " If ferlab live was started anew, open the address that it prints." : "";
      write(by("lost"), `The connection to ferlab is lost. Trying again ${seconds ? `in ${seconds} s` : "now"}.${more}`);
    };
    say();
    countdown = setInterval(say, 1000);
  }
  status();
}

/** The connection is there, for the first time or again: a server that was started anew knows nothing of this page. */
function back() {
  if (!parts) return;
  const { hello } = engine;
  if (hello.version !== parts.hello.version || hello.model.digest !== parts.hello.model.digest) return location.reload();
  if (hello.can.source === "server") return;
  parts.controls.ask();
}

// ---- sources

function startCamera() {
  begin(async () => {
    const found = await camera(by("cameras").value || kept("camera", "")).catch((trouble) => {
      keep("camera", ""); // it may be one that is not there any more
      throw trouble;
    });
    listCameras(found.id);
    return found;
  }, "starting");
}

function opened(file) {
  if (file.type.startsWith("image/")) return picture(file);
  if (file.type.startsWith("video/")) return video(file);
  throw new Trouble(`${file.name} is no picture and no video`, "Choose a JPEG, PNG, WebP, MP4 or WebM.");
}

/** Begin with the source that `make` gives; what a person asks for meanwhile wins. */
async function begin(make, words) {
  if (engine?.can.source === "server") return;
  const mine = (attempt += 1);
  stop(false);
  cover(words);
  status();
  try {
    const found = await make();
    if (mine !== attempt) return found.stop();
    source = found;
    if (!engine) cover("warming");
    await warm;
    if (mine === attempt) run();
  } catch (trouble) {
    if (mine !== attempt) return;
    if (!(trouble instanceof Trouble)) throw trouble;
    stop(false);
    cover(trouble);
    status();
  }
}

function run() {
  source.onend = ended;
  mirror(source.mirrors && kept("mirrored", "yes") === "yes");
  forget();
  parts.numbers.reset();
  parts.told = false;
  parts.loop.begin(source);
  transport.show(source.kind === "camera" ? null : source);
  navigator.wakeLock?.request("screen").then((lock) => (wakeLock = lock), () => {});
}

/** Stop what runs. */
function stop(idle = true) {
  parts?.loop.end();
  source?.stop();
  source = last = null;
  stage.clear();
  wakeLock?.release();
  wakeLock = null;
  by("warning").hidden = true;
  transport.show(null);
  if (!idle) return;
  attempt += 1;
  forget();
  cover("idle");
  drawAll();
  status();
}

function ended(trouble) {
  if (!trouble) return status(); // a video's end: its last frame stays
  stop(false);
  cover(trouble);
  status();
}

/** A video went to another place: its tracks and its past are over. */
function restart() {
  forget();
  parts.loop.again();
}

function forget() {
  parts?.past.clear();
  parts?.history.clear();
  parts?.bars.clear();
  selection.note([], Infinity);
  watch.reset();
}

/** The start button: starts and stops a camera, plays and pauses a video. */
function pressed() {
  if (source?.kind === "camera" || ["starting", "opening"].includes(page.dataset.state)) return stop();
  if (source?.kind !== "video") return startCamera();
  if (source.video.ended) restart();
  if (source.video.paused) source.video.play();
  else source.video.pause();
  status();
}

function view() {
  for (const id of ["start", "file", "cameras-box"]) by(id).hidden = true;
  cover("viewing");
}

function seen(message) {
  if (last && message.time < last.time) forget(); // the server's source began anew
  parts?.loop.viewed(message);
}

async function listCameras(chosen = by("cameras").value) {
  const found = await cameras();
  const none = new Option(found.length ? "Camera …" : "No camera", "");
  by("cameras").replaceChildren(none, ...found.filter((each) => each.id).map((each) => new Option(each.name, each.id)));
  by("cameras").value = chosen;
}

function mirror(on, chosen = false) {
  shown.mirrored = on;
  if (chosen && source?.kind === "camera") keep("mirrored", on ? "yes" : "no");
  put(by("mirror"), "aria-pressed", on);
  stage.repaint();
}

// ---- what is shown

function painted(answer, frame) {
  if (!last) {
    cover(null);
    status();
  }
  last = answer;
  parts.frame = frame;
  parts.fresh = true;
  selection.note(answer.faces, performance.now());
  parts.past.note(answer);
  parts.history.note(answer);
}

function reselected() {
  stage.selected = selection.track;
  stage.repaint();
  parts?.annotate.show();
}

function tick() {
  ticks += 1;
  if (ticks % 2 && last) drawFaces();
  else if (parts.fresh) {
    parts.fresh = false;
    parts.timeline.draw(selection.track, look);
  }
  if (ticks % SLOW) return;
  parts.numbers.draw(performance.now(), last?.ms);
  parts.recording.tick();
  transport.tick();
  if (last) put(by("picture"), "aria-label", described());
  if (source?.kind === "camera" && last) watched();
}

function drawFaces() {
  if (by("faces").hidden) return;
  if (last) parts.bars.draw(last.faces, selection.track, performance.now());
  parts.affect?.draw(last?.faces ?? [], selection.track, look);
}

function drawAll() {
  if (!parts) return;
  drawFaces();
  parts.timeline.draw(selection.track, look);
}

/** What the picture shows, for who does not see it. */
function described() {
  const { faces } = last;
  const count = faces.length === 1 ? "1 face" : `${faces.length || "no"} faces`;
  return [count, ...faces.map((face) => said(face)[0])].join(", ");
}

/** Say what is wrong with a camera's picture. */
function watched() {
  const wrong = watch.look(parts.frame, performance.now());
  by("warning").hidden = !wrong;
  write(by("warning"), wrong ?? "");
  if (parts.numbers.dark && !parts.told) {
    parts.told = true; // once a source
    toast("The camera gives few frames a second. In the dark it exposes longer: more light helps.");
  }
}

/** The line that says where it stands, and the start button. */
function status() {
  const { connection, state } = page.dataset, plays = source?.kind === "video" ? source.video : null;
  const runs = state !== "running" ? "ready" : plays?.ended ? "ended" : plays?.paused ? "paused" : source?.kind === "picture" ? "picture" : "live";
  const now = connection === "lost" ? "lost" : engine ? runs : "warming";
  page.dataset.status = now;
  write(by("status-text"), { lost: "connection lost", warming: "warming up" }[now] ?? now);
  const starting = ["starting", "opening"].includes(state);
  const [text, icon] = starting ? ["Cancel", "stop"]
    : plays ? { live: ["Pause", "pause"], paused: ["Play", "play"] }[runs] ?? ["Play again", "play"]
    : source?.kind === "camera" ? ["Stop", "stop"] : ["Start", "play"];
  write(by("start-text"), text);
  put(by("start-icon"), "href", `#i-${icon}`);
  put(by("start"), "title", `${text === "Start" ? "Start the camera" : text} (Space)`);
}

/** What tests and the curious may read at window.ferlab. */
function expose() {
  const read = {
    state: () => page.dataset.state, status: () => page.dataset.status, hello: () => engine?.hello ?? null,
    answer: () => last, counts: () => ({ ...parts?.loop.counts }), age: () => parts?.loop.age, inFlight: () => parts?.loop.flying,
    rates: () => ({ ...parts?.numbers.rates }), latency: () => ({ ...parts?.numbers.latency }), mirrored: () => shown.mirrored,
    source: () => source?.kind ?? null, selected: () => selection.track, settings: () => structuredClone(parts?.controls.settings),
    recording: () => parts?.recording.running ?? false, changes: () => parts?.history.changes,
  };
  const properties = Object.entries(read).map(([name, get]) => [name, { get, enumerable: true }]);
  window.ferlab = Object.freeze(Object.defineProperties({}, Object.fromEntries(properties)));
}
