"""OpenCV's Haar cascade (Viola & Jones 2001): boxes alone, of frontal faces. Comes with OpenCV."""

from pathlib import Path

import cv2
import numpy as np

from ferlab.live.frame import Faces, Frame

FILE = "haarcascade_frontalface_default.xml"
SIDE = 640  # longer side in pixels to which a larger picture is scaled


class Haar:
    """Finds frontal faces, about two in three of those that YuNet finds.

    Args:
        smallest: side of the smallest face to report, pixels of the picture.
    """

    name = "haar"

    def __init__(self, smallest: int = 40) -> None:
        self.smallest = smallest
        self._cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / FILE))

    def __call__(self, frame: Frame) -> Faces:
        """The faces in a frame, without landmarks; every score is 1."""
        scale = min(1.0, SIDE / max(frame.image.shape[:2]))
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
        side = max(1, round(self.smallest * scale))
        boxes = self._cascade.detectMultiScale(cv2.equalizeHist(grey), 1.1, 5, minSize=(side, side))
        return Faces.found(np.asarray(boxes, np.float32).reshape(-1, 4) / scale)
