"""Half an hour of `ferlab live` in which everything goes wrong: what is lost, and what grows.

    python benchmarks/soak.py detector_file=face_detection_yunet_2026may.onnx data=ferplus [minutes=30 bundle=…]

A made camera of 640×480 at 20 frames/s plays phases of ten seconds in turn: one face; twenty faces; nobody; black;
frozen; one face again; unplugged for a second, which it is in each round. Every 97th search for faces raises, three
times in a row every 20 seconds. The session is written all the while; at the end it is counted against what was seen.
Then another is written to a disk of 1 MB (Linux, as root) until that is full.
"""

import gc
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from ferlab.data.source import Split
    from ferlab.live.detect import Detector
    from ferlab.live.frame import Faces, Frame
    from ferlab.live.run import Live
    from ferlab.spec import Image

WIDTH, HEIGHT, FPS = 640, 480, 20
PHASES = ("one face", "twenty faces", "nobody", "black", "frozen", "one face", "unplugged")
PHASE_S = 10.0


class Camera:
    """What OpenCV's VideoCapture is to ferlab."""

    opened = time.monotonic()

    def __init__(self, split: "Split") -> None:
        rng = np.random.default_rng(0)
        self._ground = cv2.resize(rng.integers(40, 200, (12, 16, 3)).astype(np.uint8), (WIDTH, HEIGHT))
        self._faces = [split.read(int(i)) for i in rng.choice(len(split), 40, replace=False)]
        self._number = 0

    def read(self) -> tuple[bool, "Image"]:
        """The next frame, BGR, at FPS."""
        self._number += 1
        time.sleep(1 / FPS)
        passed = time.monotonic() - Camera.opened
        phase = PHASES[int(passed / PHASE_S) % len(PHASES)]
        if phase == "unplugged" and passed % PHASE_S < 1:
            return False, self._ground
        if phase == "black":
            return True, np.zeros_like(self._ground)
        people = {"twenty faces": 20, "nobody": 0}.get(phase, 1)
        moved = 0.0 if phase == "frozen" else passed
        image = self._ground.copy()
        for i in range(people):
            side = 200 if people == 1 else 90
            left = 60 + 90 * (i % 5) + round(30 * np.sin(moved + i))
            top = 15 + 115 * (i // 5) + round(8 * np.cos(1.3 * moved + i))
            face = self._faces[(i + int(passed / 2)) % len(self._faces) if phase != "frozen" else i]
            image[top : top + side, left : left + side] = cv2.resize(face, (side, side))
        return True, image[:, :, ::-1]

    def release(self) -> None:
        """Nothing is held."""


class Failing:
    """A detector that raises now and then."""

    def __init__(self, inner: "Detector") -> None:
        self._inner, self.name, self.raised, self._calls, self._burst = inner, inner.name, 0, 0, 0

    def __call__(self, frame: "Frame") -> "Faces":
        """Find faces, or fail."""
        self._calls += 1
        self._burst = 3 if self._calls % (20 * FPS) == 0 else self._burst - 1
        if self._burst > 0 or self._calls % 97 == 0:
            self.raised += 1
            raise RuntimeError("injected")
        return self._inner(frame)


def main(overrides: list[str]) -> None:
    """Watch, print a line every three minutes and the count at the end."""
    from ferlab import config
    from ferlab.live import run, sources
    from ferlab.live.settings import LiveConfig

    given = dict(override.split("=", 1) for override in overrides)
    passed = [word for word in overrides if word.startswith(("data=", "data."))]
    split = config.instantiate(config.compose("verify", [*passed, "file=none"]).data).split("validation")
    sources.open_capture = lambda source, backend: Camera(split)
    with TemporaryDirectory() as folder:
        settings = LiveConfig(
            given.get("bundle", "ferplus_int8"), "0", str(Path(folder) / "session"), detect="yunet",
            detector_file=given["detector_file"], side=320, seconds=60 * float(given.get("minutes", 30)),
        )  # fmt: skip
        said: list[str] = []
        live = run.Live(settings, said.append)
        failing = live.pipeline.detector = Failing(live.detector)
        print("minutes  frames  faces  tracks  left out  reopened  MiB  threads  open files", flush=True)
        beginning = time.monotonic()
        following = 0.0
        for _ in live:
            if (minutes := (time.monotonic() - beginning) / 60) >= following:
                print(line(minutes, live), flush=True)
                following += 1 if following < 3 else 3
        print(line((time.monotonic() - beginning) / 60, live))
        check(live, Path(folder) / "session", failing.raised)
        print("said:", *dict.fromkeys(each for each in said if not each.startswith("frame left out")), sep="\n  ")
        full_disk(settings, Path(folder))


def line(minutes: float, live: "Live") -> str:
    """What was seen, and what the process holds."""
    gc.collect()
    tally, counts = live.tally, live.camera.counts if live.camera else None
    held = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return (
        f"{minutes:7.1f}  {tally.frames:6}  {tally.faces:5}  {tally.tracks:6}  {tally.errors:8}  "
        f"{counts.reopened if counts else 0:8}  {held:5.0f}  {threading.active_count():7}  "
        f"{len(os.listdir('/proc/self/fd')):10}"
    )


def check(live: "Live", session: Path, raised: int) -> None:
    """Whether the session holds what was seen, line by line."""
    lines = [json.loads(each) for each in (session / "frames.jsonl").read_text().splitlines()]
    summary = json.loads((session / "session.json").read_text())
    numbers = [each["frame"] for each in lines]
    faces = sum(len(each["faces"]) for each in lines)
    table = len((session / "frames.csv").read_text().splitlines()) - 1
    whole = (
        len(lines) == live.tally.frames == summary["frames"]
        and faces == table == summary["faces"]
        and numbers == sorted(set(numbers))
        and summary["errors"] == live.tally.errors == raised
    )
    print(f"session: {len(lines):,} lines, {faces:,} faces, {raised:,} faults; {'whole' if whole else 'NOT WHOLE'}")


def full_disk(settings: "LiveConfig", folder: Path) -> None:  # noqa: F821 (imported where it is needed)
    """A session on a disk that fills up."""
    from dataclasses import replace

    from ferlab.errors import DataError
    from ferlab.live.run import Live

    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    try:
        live = Live(replace(settings, out=str(disk / "session"), seconds=600))
        try:
            for _ in live:
                pass
        except DataError as error:
            print("full disk:", error)
        lines = (disk / "session" / "frames.jsonl").read_text().splitlines(keepends=True)
        whole = all(each.endswith("}\n") for each in lines)
        print(f"  {live.tally.frames:,} frames seen, {len(lines):,} lines, {'all' if whole else 'NOT all'} whole")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
