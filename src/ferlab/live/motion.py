"""When to search a frame for faces again: a scene in which nothing moves has the faces that it had."""

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.live.detect import Detector
from ferlab.live.frame import Faces, Frame
from ferlab.spec import Image

GRID = (64, 36)  # cells, across and down, into which frames are averaged to be compared
LEVELS = 12  # grey levels by which a cell must differ to have moved: several times a camera's noise, after averaging
SHARE = 0.005  # of the cells that must have moved: about a dozen
LONGEST = 30  # frames for which faces are believed without a search
EDGE = 0.02  # of the frame's longer side: a face that is nearer to its edge is coming or leaving


class Sparing:
    """A detector that is asked only where its answer may be another; else the faces are those of its last search.

    It searches when a frame differs from the last one that was searched, so that slow movements count too; when there
    was no face, or one at an edge; and after LONGEST frames.

    Attributes:
        name: of the detector.
        searched: frames that were.
    """

    def __init__(self, detector: Detector) -> None:
        self.name, self.searched = detector.name, 0
        self._detector = detector
        self._cells: npt.NDArray[np.uint8] | None = None
        self._faces = Faces.found(np.zeros((0, 4)))
        self._since = 0

    def __call__(self, frame: Frame) -> Faces:
        """The faces in a frame."""
        cells = grid(frame.image)
        self._since += 1
        if self._cells is None or self._since > LONGEST or self._open(frame.image) or moved(cells, self._cells):
            self._faces, self._cells, self._since = self._detector(frame), cells, 0
            self.searched += 1
        return self._faces

    def _open(self, image: Image) -> bool:
        """Whether somebody may be coming or leaving."""
        height, width = image.shape[:2]
        near = EDGE * max(height, width)
        boxes = self._faces.boxes
        low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
        return not len(boxes) or bool((low < near).any() or (high > np.array([width, height]) - near).any())


def grid(image: Image) -> npt.NDArray[np.uint8]:
    """A picture in cells, (36, 64) uint8 grey."""
    small = cv2.resize(image, GRID, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))


def moved(cells: npt.NDArray[np.uint8], before: npt.NDArray[np.uint8]) -> bool:
    """Whether so many cells differ that something moved."""
    return bool((cv2.absdiff(cells, before) > LEVELS).mean() > SHARE)
