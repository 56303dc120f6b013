"""How fast the page of `ferlab live` is: the real command, and Chromium with a camera in which a dataset's faces move.

    python benchmarks/page.py detector_file=face_detection_yunet_2026may.onnx data=ferplus [seconds=60 minutes=0]

Any other key is one of `ferlab live`, such as `side=320`.
The camera is a file of 640×480 that Chromium plays at 30 frames/s. For `seconds`: frames painted a second, the round
trip from sending a frame to its answer, and the CPU of the server and of Chromium, each of one core, from /proc
(Linux). Then, for 20 s, glass to glass: each frame carries its number as a strip of blocks; the age of a number is
from when the camera gave that frame (Chromium's captureTime) to the end of the first animation frame whose canvas
shows it, answer and all. It is known to one animation frame, 17 ms; what a camera's sensor and a screen take is not in
it. With `minutes`, memory is told every half minute. Playwright and a browser are needed, as by tests/browser.
"""

import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Page

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

CLIP_S, WARM_S, GLASS_S = 40, 10, 20
BELOW = 60  # rows that no face enters, so that no box is drawn over the strip
# Counts what the page does, whatever the page itself says of it.
COUNT = """
  window.measured = {trips: [], parts: [], paints: 0, ready: 0};
  const waiting = setInterval(() => {
    if (document.documentElement?.dataset.status !== "ready") return;
    measured.ready = performance.now();
    clearInterval(waiting);
  }, 2);
  window.WebSocket = class extends WebSocket {
    sent = new Map();
    constructor(...words) {
      super(...words);
      this.addEventListener("message", ({data}) => {
        const now = performance.now(), {type, id, ms} = typeof data === "string" ? JSON.parse(data) : {};
        if (type !== "answer") return;
        measured.trips.push(now - this.sent.get(id));
        measured.parts.push(ms);
        this.sent.delete(id);
      });
    }
    send(data) {
      if (typeof data !== "string") this.sent.set(new DataView(data.buffer).getUint32(0, true), performance.now());
      super.send(data);
    }
  };
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  CanvasRenderingContext2D.prototype.drawImage = function (...words) {
    draw.apply(this, words);
    measured.paints += this.canvas.id === "picture";
  };
"""
# Each camera frame's strip with its capture, and the strip of the page's canvas after each animation frame, ms.
GLASS = """(ms) => new Promise((resolve) => {
  const levels = LEVELS;
  const video = document.querySelector("video"), canvas = document.querySelector("#picture");
  const taken = [], shown = [], after = new MessageChannel();
  let over = false;
  video.requestVideoFrameCallback(function next(now, {captureTime}) {
    if (!over) video.requestVideoFrameCallback(next);
    taken.push([captureTime, levels(video), now - captureTime]);
  });
  after.port1.onmessage = () => shown.push([performance.now(), levels(canvas)]);
  requestAnimationFrame(function next() {
    if (!over) requestAnimationFrame(next);
    after.port2.postMessage(null); // comes after all that this animation frame paints
  });
  setTimeout(() => {
    over = true;
    resolve({taken, shown});
  }, ms);
})"""


@dataclass(frozen=True)
class Watched:
    """What is measured.

    Attributes:
        page: that shows the camera.
        server, browser: the processes' ids.
    """

    page: "Page"
    server: int
    browser: int

    def memory(self) -> dict[str, float]:
        """MiB of the server, of the page's JavaScript after a collection, and of all of Chromium."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("HeapProfiler.collectGarbage")
        session.send("Performance.enable")
        found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
        session.detach()
        held = {"server": resident(self.server), "chromium": sum(map(resident, family(self.browser)))}
        return {"server": held["server"], "heap": found["JSHeapUsedSize"] / 2**20, "chromium": held["chromium"]}


def main(overrides: list[str]) -> None:
    """Start all of it, measure, print a table and a line of JSON."""
    from live import frames
    from playwright.sync_api import sync_playwright

    from browser import chromium
    from browser.camera import numbered, write
    from e2e.page import served
    from ferlab import config

    given = dict(override.split("=", 1) for override in overrides)
    passed = [word for word in overrides if word.startswith(("data=", "data."))]
    split = config.instantiate(config.compose("verify", [*passed, "file=none"]).data).split("validation")
    given["detector_file"] = str(Path(given["detector_file"]).resolve())
    words = [f"{key}={value}" for key, value in given.items() if not key.startswith(("data", "seconds", "minutes"))]
    executable = chromium.found()
    if executable is None:
        raise SystemExit(chromium.MISSING)
    with TemporaryDirectory() as made, sync_playwright() as playwright:
        folder = Path(made)
        clip = write(folder / "camera.mjpeg", map(numbered, frames(split, 1, CLIP_S, BELOW), range(CLIP_S * 30)))
        with served(folder, *words) as server, chromium.started(playwright, executable, clip) as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.add_init_script(COUNT)
            page.goto(server.url)
            page.wait_for_selector("html[data-status=ready]")
            figures = {"first load": first_load(page)}
            page.click("#begin")
            page.wait_for_selector("html[data-state=running]", timeout=60_000)
            page.wait_for_timeout(1000 * WARM_S)
            watched = Watched(page, server.process.pid, chromium_of(clip))
            figures |= {"chromium": browser.version, "MiB at the start": watched.memory()}
            figures |= speed(watched, float(given.get("seconds", 60)))
            figures["glass to glass ms"] = glass_to_glass(page)
            show(figures)
            if minutes := float(given.get("minutes", 0)):
                figures["memory"] = endure(watched, minutes)
            figures["MiB at the end"] = watched.memory()
    print(json.dumps(figures))


def first_load(page: "Page") -> dict[str, float]:
    """Requests, bytes with headers, and ms from the address until a person can begin; the server is warm."""
    entries = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
    sizes = page.evaluate(f"{entries}.map((each) => each.transferSize)")
    return {"requests": len(sizes), "bytes": sum(sizes), "ms until ready": round(page.evaluate("measured.ready"))}


def speed(watched: Watched, seconds: float) -> dict[str, Any]:
    """What is painted, how long a frame takes, and what it costs."""
    page, processes = watched.page, family(watched.browser)

    def now() -> dict[str, float]:
        counts = {name: float(count) for name, count in page.evaluate("ferlab.counts").items()}
        return counts | {"server": cpu_s(watched.server), "chromium": sum(map(cpu_s, processes)), "s": time.monotonic()}

    page.evaluate("measured.trips.length = measured.parts.length = measured.paints = 0")
    before = now()
    page.wait_for_timeout(1000 * seconds)
    found, after = page.evaluate("measured"), now()
    spent = {name: value - before[name] for name, value in after.items()}
    return {
        "seconds": round(spent["s"], 1),
        "camera fps": round(spent["camera"] / spent["s"], 2),
        "painted fps": round(found["paints"] / spent["s"], 2),
        "dropped": spent["dropped"] + spent["stale"],
        "errors": spent["errors"],
        "round trip ms": quantiles(found["trips"]),
        "of which, p50 ms": {part: statistics.median(ms[part] for ms in found["parts"]) for part in found["parts"][0]},
        "server, of a core": round(spent["server"] / spent["s"], 3),
        "chromium, of a core": round(spent["chromium"] / spent["s"], 3),
        "load average": round(os.getloadavg()[0], 1),
    }


def glass_to_glass(page: "Page") -> dict[str, float]:
    """How old, in ms, what the canvas shows is, from when the camera gave that frame; of it, what no page can help."""
    from browser.camera import LEVELS, number_of

    found = page.evaluate(GLASS.replace("LEVELS", LEVELS), 1000 * GLASS_S)
    taken = [(number_of(levels), at) for at, levels, _ in found["taken"]]
    ages, last, unread = [], None, 0
    for at, levels in found["shown"]:
        number = number_of(levels)
        unread += number is None
        if number is None or number == last:
            continue
        last = number
        given = [when for which, when in taken if which == number and at - 1000 * CLIP_S / 2 < when <= at]
        if given:
            ages.append(at - given[-1])
    came = statistics.median(since for _, _, since in found["taken"])
    return quantiles(ages) | {"until the page has it, p50": came, "frames": len(ages), "unread": unread}


def endure(watched: Watched, minutes: float) -> list[dict[str, float]]:
    """A line about memory every half minute."""
    lines = []
    print("minutes  server MiB  JavaScript MiB  Chromium MiB  painted/s")
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < 60 * minutes:
        watched.page.evaluate("measured.trips.length = measured.parts.length = measured.paints = 0")
        watched.page.wait_for_timeout(30_000)
        painted = watched.page.evaluate("measured.paints") / 30
        lines.append({"minutes": round(passed / 60 + 0.5, 1), **watched.memory(), "painted fps": round(painted, 2)})
        print("{minutes:7.1f}  {server:10.1f}  {heap:14.2f}  {chromium:12.0f}  {painted fps:9.2f}".format(**lines[-1]))
    return lines


def show(figures: dict[str, Any]) -> None:
    """A table."""
    for name, value in figures.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        told = (f"{part} {each if isinstance(each, str) else f'{round(each, 3):,}'}" for part, each in parts)
        print(f"{name:<24} {'  '.join(told)}", flush=True)


def quantiles(values: list[float]) -> dict[str, float]:
    """Median and 95 % quantile."""
    return {"p50": round(statistics.median(values), 1), "p95": round(float(np.quantile(values, 0.95)), 1)}


def chromium_of(clip: Path) -> int:
    """The browser's own process: the first of those that were started with this camera."""
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        words = (process / "cmdline").read_bytes().split(b"\0")
        if any(word.endswith(b"=" + os.fsencode(clip)) for word in words):
            return int(process.name)
    raise SystemExit("no process of Chromium's was found")


def family(process: int) -> list[int]:
    """The process and all that it started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:  # it has just ended
            continue
    found = [process]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def cpu_s(process: int) -> float:
    """CPU seconds of a process until now."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process: int) -> float:
    """MiB that a process holds in memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main(sys.argv[1:])
