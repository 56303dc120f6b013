"""Where faces are sought: nowhere if nothing moved, near the known ones if something did, everywhere now and then."""

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.live.detect import Detector
from ferlab.live.frame import Faces, Frame
from ferlab.live.track import overlaps
from ferlab.spec import Image

GRID = (64, 36)  # cells, across and down, into which frames are averaged to be compared
LEVELS = 12  # grey levels by which a cell must differ to have moved: several times a camera's noise, after averaging
SHARE = 0.005  # of the cells that must have moved: about a dozen
REST_S = 1.0  # seconds after which all of a frame is searched though nothing moves
MOVING_S = 1 / 3  # seconds after which all of it is searched while something moves: so long may a new face wait
EDGE = 0.02  # of the frame's longer side: a face that is nearer to its edge is coming or leaving
REACH = 2.0  # longer sides of a known face, about its middle, in which it is sought again
SIDE = 96  # pixels to which its longer side is scaled for that, if it is larger
SAME = 0.3  # intersection over union from which what is found there is that face
WORTH = 0.5  # of the frame's own search: more pixels than that in regions are not worth it

Floats = npt.NDArray[np.float64]


class Sparing:
    """A detector that is asked for as little of a frame as will do.

    All of a frame is searched where there was no face, or one at an edge; after MOVING_S, and where nothing moves after
    REST_S; and where a known face is not found near its place. Between, known faces are sought near their places, each
    in pixels of its own; or, where nothing moved since the last search, are where they were.

    Attributes:
        name: of the detector.
        searched: frames of which all was.

    Args:
        detector: is asked.
        side: longer side to which it scales frames, pixels.
    """

    def __init__(self, detector: Detector, side: int) -> None:
        self.name, self.searched, self.side = detector.name, 0, side
        self._detector = detector
        self._cells: npt.NDArray[np.uint8] | None = None
        self._faces = Faces.found(np.zeros((0, 4)))
        self._time = 0.0

    def __call__(self, frame: Frame) -> Faces:
        """The faces in a frame."""
        cells, since = grid(frame.image), frame.time - self._time
        if self._cells is None or since > REST_S or self._open(frame.image):
            return self._search(frame, cells)
        if not moved(cells, self._cells):
            return self._faces
        faces = None if since > MOVING_S else self._near(frame)
        if faces is None:
            return self._search(frame, cells)
        self._faces, self._cells = faces, cells
        return faces

    def _search(self, frame: Frame, cells: npt.NDArray[np.uint8]) -> Faces:
        """Search all of a frame."""
        self._faces, self._cells, self._time = self._detector(frame), cells, frame.time
        self.searched += 1
        return self._faces

    def _open(self, image: Image) -> bool:
        """Whether somebody may be coming or leaving."""
        height, width = image.shape[:2]
        near = EDGE * max(height, width)
        boxes = self._faces.boxes
        low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
        return not len(boxes) or bool((low < near).any() or (high > np.array([width, height]) - near).any())

    def _near(self, frame: Frame) -> Faces | None:
        """The known faces, each found near its place; None if one is not, two became one, or it is not worth it."""
        boxes = self._faces.boxes.astype(np.float64)
        longer = boxes[:, 2:].max(1)
        scales = np.minimum(1.0, SIDE / longer)
        height, width = frame.image.shape[:2]
        whole = height * width * min(1.0, self.side / max(height, width)) ** 2
        if ((REACH * longer * scales) ** 2).sum() > WORTH * whole:
            return None
        found = [self._one(frame, box, scale) for box, scale in zip(boxes, scales, strict=True)]
        faces = [each for each in found if each is not None]
        if len(faces) < len(boxes):
            return None
        parts = {
            name: np.concatenate([getattr(each, name) for each in faces]) for name in ("boxes", "scores", "landmarks")
        }
        shared = overlaps(parts["boxes"].astype(np.float64), parts["boxes"].astype(np.float64))
        return None if (shared > SAME).sum() > len(faces) else Faces.found(**parts)

    def _one(self, frame: Frame, box: Floats, scale: float) -> Faces | None:
        """A known face near its box (4,), in pixels of the frame; None if it is not there."""
        height, width = frame.image.shape[:2]
        middle, reach = box[:2] + box[2:] / 2, REACH / 2 * box[2:].max()
        left, top = np.maximum(middle - reach, 0).astype(int)
        right, bottom = np.minimum(middle + reach, [width, height]).astype(int)
        part = frame.image[top:bottom, left:right]
        size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
        small = part if scale == 1 else cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        found = self._detector(replace(frame, image=np.ascontiguousarray(small)))
        back = np.array([(right - left) / size[0], (bottom - top) / size[1]])
        corner = np.array([left, top])
        boxes = found.boxes * np.tile(back, 2) + np.concatenate([corner, [0, 0]])
        shared = overlaps(box[None], boxes.astype(np.float64))[0]
        if not len(found) or shared.max() < SAME:
            return None
        i = int(shared.argmax())
        return Faces.found(boxes[i : i + 1], found.scores[i : i + 1], found.landmarks[i : i + 1] * back + corner)


def grid(image: Image) -> npt.NDArray[np.uint8]:
    """A picture in cells, (36, 64) uint8: green, which is most of grey, in half of its time."""
    return np.asarray(cv2.resize(cv2.extractChannel(image, 1), GRID, interpolation=cv2.INTER_AREA), np.uint8)


def moved(cells: npt.NDArray[np.uint8], before: npt.NDArray[np.uint8]) -> bool:
    """Whether so many cells differ that something moved."""
    return bool((cv2.absdiff(cells, before) > LEVELS).mean() > SHARE)
