"""How fast `ferlab live` is: a dataset's faces move over a picture of 640×480, and are found, followed and answered.

    python benchmarks/live.py bundle=…/model_int8.onnx detector_file=face_detection_yunet_2026may.onnx data=ferplus

For one face and for eight: frames a second of a file as fast as it can be read, and the latency from capture to answer,
which is told by playing the same file at its own 30 frames a second, as a camera. `data=` is the dataset of the
bundle; `seconds=` (20) the length of a clip, `data.root=` where the dataset lies.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ferlab.data.source import Split
    from ferlab.spec import Image

WIDTH, HEIGHT, FPS = 640, 480, 30
CHANGE = 2.0  # seconds for which a person shows one picture
REST = 1.0  # of these, for which nobody moves
SIDES = {1: 160, 8: 104}  # people -> pixels of a face
WAYS = {"every": 640, "adaptive": 640, "every, side=320": 320}


def main(overrides: list[str]) -> None:
    """Make the clips, watch each, and print a line for each way."""
    from ferlab import config
    from ferlab.live.run import Live
    from ferlab.live.settings import LiveConfig

    given = dict(override.split("=", 1) for override in overrides)
    passed = [word for word in overrides if word.startswith(("data=", "data."))]
    source = config.instantiate(config.compose("verify", [*passed, f"file={given['bundle']}"]).data)
    print("people  search           source         frames/s  detector ms  classifier ms  ms, p50 / p95  dropped  faces")
    with TemporaryDirectory() as folder:
        for people in SIDES:
            clip = Path(folder) / f"{people}.mp4"
            write(clip, source.split("validation"), people, float(given.get("seconds", 20)))
            for way, side in WAYS.items():
                for paced in (False, True):
                    settings = LiveConfig(
                        given["bundle"], str(clip), detect="yunet", detector_file=given["detector_file"],
                        search=way.split(",")[0], side=side, paced=paced,
                    )  # fmt: skip
                    live = Live(settings)
                    for _ in live:
                        pass
                    found, dropped = live.tally.summary(), live.camera.counts.dropped if live.camera else 0
                    ms = {name: f"{value['p50']:.1f}" for name, value in found["ms"].items()}
                    whole = f"{ms['end_to_end']} / {found['ms']['end_to_end']['p95']:.1f}"
                    print(f"{people:6}  {way:<15}  {'as a camera' if paced else 'as fast':<13}  {found['fps']:8.1f}  "
                          f"{ms['detector']:>11}  {ms['classifier']:>13}  {whole:>13}  {dropped:>7}  "
                          f"{found['faces'] / found['frames']:5.2f}", flush=True)  # fmt: skip


def write(path: Path, split: "Split", people: int, seconds: float) -> None:
    """A clip of `frames`."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    for image in frames(split, people, seconds):
        writer.write(image[:, :, ::-1])
    writer.release()


def frames(split: "Split", people: int, seconds: float, below: int = 0) -> "Iterator[Image]":
    """Frames in which so many people move on ellipses and rest, each with another face every CHANGE seconds.

    The lowest rows, `below` of them, nobody enters.
    """
    drawn, side = np.random.default_rng(0), SIDES[people]
    ground = cv2.resize(drawn.integers(40, 200, (12, 16, 3)).astype(np.uint8), (WIDTH, HEIGHT))
    across = min(people, 4)
    cells = np.array([WIDTH // across, (HEIGHT - below) // -(-people // across)])
    places = [(cells * (np.array([i % across, i // across]) + 0.5)) for i in range(people)]
    reach = (cells - side * 1.1) / 2
    shown = drawn.choice(len(split), (people, int(seconds / CHANGE) + 1), replace=False)
    for number in range(int(seconds * FPS)):
        time, image = number / FPS, ground.copy()
        for i, place in enumerate(places):
            moved = time // CHANGE * (CHANGE - REST) + min(time % CHANGE, CHANGE - REST)
            turned = moved * (1.0 + 0.13 * i) + i
            size = round(side * (1 + 0.08 * np.sin(1.7 * turned)))
            left, top = (place + reach * np.array([np.cos(turned), np.sin(turned)]) - size / 2).round().astype(int)
            face = split.read(int(shown[i, int(time / CHANGE)]))
            image[top : top + size, left : left + size] = cv2.resize(face, (size, size), interpolation=cv2.INTER_CUBIC)
        yield image


if __name__ == "__main__":
    main(sys.argv[1:])
