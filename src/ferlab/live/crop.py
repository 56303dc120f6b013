"""From a detector's box to the crop that a model was trained on: every dataset was cut in a way of its own."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ferlab.errors import SpecError
from ferlab.faces import FaceCrop, cut
from ferlab.live.frame import Faces
from ferlab.spec import Image


@dataclass(frozen=True)
class Fit:
    """Where a dataset's square lies about a detector's box, in shares of the box's longer side.

    Attributes:
        side: of the square.
        right, down: from the middle of the box to the middle of the square.
    """

    side: float
    right: float = 0.0
    down: float = 0.0


# Medians over 2,000 training faces of FER2013, one in fourteen, laid into a larger picture: benchmarks/crop.py prints
# them. What is not here is cut by the box as it is, with the margin of the specification.
_FER2013 = {"yunet": Fit(0.99, 0.01, -0.02)}
FITS: dict[tuple[str, str], Fit] = {
    (detector, dataset): fit for dataset in ("fer2013", "ferplus") for detector, fit in _FER2013.items()
}


def fitted(boxes: npt.NDArray[np.float32], fit: Fit) -> npt.NDArray[np.float32]:
    """The squares (n, 4) of a dataset about a detector's boxes (n, 4): left, top, width and height in pixels."""
    longer = boxes[:, 2:].max(1, keepdims=True, initial=0)
    middle = boxes[:, :2] + boxes[:, 2:] / 2 + longer * np.array([fit.right, fit.down], np.float32)
    side = np.repeat(longer * fit.side, 2, axis=1)
    return np.concatenate([middle - side / 2, side], 1).astype(np.float32)


def crops(image: Image, faces: Faces, face: FaceCrop, fit: Fit | None = None) -> list[Image]:
    """The faces of a picture, each (s, s, 3) uint8 RGB, cut as the model's dataset was.

    Args:
        image: (h, w, 3) uint8 RGB.
        faces: in it.
        face: the convention of the model, `ModelSpec.face`.
        fit: of the detector to the dataset, which then stands for the margin; None cuts by the box with the margin.

    Raises:
        SpecError: the model's faces have level eyes, and the detector found none.
    """
    if face.aligned and np.isnan(faces.eyes).any():
        raise SpecError("the model's faces have level eyes, which need landmarks, got none; use detect=yunet")
    boxes = faces.boxes if fit is None else fitted(faces.boxes, fit)
    how = face if fit is None else FaceCrop(0.0, face.aligned)
    return [cut(image, box, eyes if face.aligned else None, how) for box, eyes in zip(boxes, faces.eyes, strict=True)]
