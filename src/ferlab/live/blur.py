"""Faces made unrecognisable in what is stored: each is left a few numbers."""

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.live.frame import Faces
from ferlab.live.pipeline import Seen
from ferlab.live.track import Tracker
from ferlab.spec import Image

SCORE, SMALLEST = 0.3, 10  # what is blurred: also what is too doubtful or too small to be answered for
MARGIN = 0.3  # of the longer side, on each side: hair, chin and ears lie beyond a detector's box
CELLS = 4  # a side, each the mean of its pixels; with many more, faces can be told again (McPherson et al. 2016)


class Blur:
    """Blurs every face that was found, and for a while where one was that is not found any more.

    Attributes:
        memory: seconds for which a lost face's last place is blurred; as long as the tracker remembers it.
    """

    def __init__(self) -> None:
        self._track = Tracker()
        self.memory = self._track.memory
        self._last: dict[int, tuple[float, npt.NDArray[np.float32]]] = {}
        self._now: npt.NDArray[np.float32] = np.zeros((0, 4), np.float32)

    def note(self, seen: Seen) -> None:
        """Take in where the faces of the next frame are."""
        faces, now = self._track(seen.frame, Faces.found(seen.found)), seen.frame.time
        self._last |= {int(number): (now, box) for number, box in zip(faces.ids, faces.boxes, strict=True)}
        self._last = {number: each for number, each in self._last.items() if now - each[0] <= self.memory}
        self._now = seen.faces.boxes  # steadied, and so not quite where the detector has them

    def __call__(self, image: Image) -> Image:
        """A copy of the noted frame's picture, (h, w, 3) uint8 RGB, without its faces."""
        blurred = image.copy()
        for box in [*self._now, *(box for _, box in self._last.values())]:
            margin = MARGIN * box[2:].max()
            low = np.floor(box[:2] - margin).astype(int).clip(0)
            high = np.ceil(box[:2] + box[2:] + margin).astype(int).clip(0)
            part = image[low[1] : high[1], low[0] : high[0]]  # of the original: twice blurred is no edge of a face
            if part.size:
                few = cv2.resize(part, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
                blurred[low[1] : high[1], low[0] : high[0]] = cv2.resize(
                    few, part.shape[1::-1], interpolation=cv2.INTER_NEAREST
                )
        return blurred
