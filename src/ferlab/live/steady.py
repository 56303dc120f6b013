"""Boxes that do not jitter: the One-Euro filter (Casiez, Roussel & Vogel, CHI 2012, doi:10.1145/2207676.2208639)."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ferlab.live.frame import Faces, Frame

SPEED_HZ = 1.0  # cut-off of the speed's own filter, as in the paper

Floats = npt.NDArray[np.float64]


@dataclass
class Trace:
    """The filtered box of one track: left, top, width and height in pixels, how fast each changes, and when."""

    box: Floats
    speed: Floats
    time: float


class Steady:
    """Smooths every track's box: strongly while it rests, where jitter shows, hardly while it moves, where lag does.

    The cut-off is `rest` + `follow` · speed, with the speed in longer sides of the box a second, so that the picture's
    size does not matter. The lag of a moving box is at most 1 / (2π · follow) of its longer side.

    Args:
        rest: cut-off of a box that rests, Hz; 0 leaves boxes as they are.
        follow: Hz by which it rises for a speed of one side a second.
        patience: seconds for which the box of an unseen track is remembered.
    """

    def __init__(self, rest: float = 1.5, follow: float = 8.0, patience: float = 1.0) -> None:
        self.rest, self.follow, self.patience = rest, follow, patience
        self._traces: dict[int, Trace] = {}

    def __call__(self, frame: Frame, faces: Faces) -> Faces:
        """The same faces, their boxes smoothed; they have ids."""
        if not self.rest:
            return faces
        traces = self._traces.items()
        self._traces = {number: each for number, each in traces if frame.time - each.time <= self.patience}
        boxes = [
            self._smooth(int(number), box, frame.time)
            for number, box in zip(faces.ids, faces.boxes.astype(np.float64), strict=True)
        ]
        return replace(faces, boxes=np.array(boxes, np.float32).reshape(-1, 4))

    def _smooth(self, number: int, box: Floats, time: float) -> Floats:
        trace = self._traces.get(number)
        if trace is None or time <= trace.time:
            trace = self._traces[number] = Trace(box, np.zeros(4), time)
            return trace.box
        passed, side = time - trace.time, max(box[2:].max(), 1.0)
        trace.speed = trace.speed + _weight(SPEED_HZ, passed) * ((box - trace.box) / passed - trace.speed)
        cutoff = self.rest + self.follow * np.abs(trace.speed) / side
        trace.box, trace.time = trace.box + _weight(cutoff, passed) * (box - trace.box), time
        return trace.box


def _weight(cutoff: Floats | float, passed: float) -> Floats:
    """Weight of a new value in an exponential mean with this cut-off in Hz, `passed` s after the last one."""
    turned = 2 * np.pi * np.asarray(cutoff) * passed
    result: Floats = turned / (turned + 1)
    return result
