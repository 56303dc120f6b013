"""How a face is cut out of a picture: pure geometry."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.errors import SpecError

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FaceCrop:
    """The crop convention of a dataset, which a camera or a detector has to reproduce.

    Attributes:
        margin: what is added to each side of the detected face box, as a fraction of the box's side.
        aligned: whether the eyes were rotated onto a horizontal line before cropping.
    """

    margin: float = 0.0
    aligned: bool = False

    def __post_init__(self) -> None:
        if not -0.5 < self.margin <= 2:
            raise SpecError(f"face margin must be a fraction in (-0.5, 2], got {self.margin}")


def cut(image: npt.NDArray[np.uint8], box: Floats, eyes: Floats | None, face: FaceCrop) -> npt.NDArray[np.uint8]:
    """Cut one face out of a picture, square, at the picture's own resolution.

    Where the square leaves the picture, the picture's edge is repeated.

    Args:
        image: (h, w, 3) uint8 RGB.
        box: (4,) left, top, width and height of the face in pixels; its longer side counts.
        eyes: (2, 2) x and y of the two eyes, in either order, or None; needed if `face` is aligned.
        face: the margin, and whether to turn the eyes onto a horizontal line.

    Returns:
        (s, s, 3) uint8 RGB, s = longer side × (1 + 2 margin), at least 1.

    Raises:
        SpecError: an empty box, or aligned without eyes.
    """
    left, top, width, height = (float(value) for value in box)
    if not (width > 0 and height > 0 and np.isfinite(box).all()):
        raise SpecError(f"a face box must have a positive width and height, got {box.tolist()}")
    side = max(1, round(max(width, height) * (1 + 2 * face.margin)))
    angle = 0.0
    if face.aligned:
        if eyes is None:
            raise SpecError("an aligned crop needs the eyes, got none; use face.aligned=False")
        (x0, y0), (x1, y1) = sorted(eyes.tolist())
        angle = float(np.degrees(np.arctan2(y1 - y0, x1 - x0)))
    # Pixel centres lie at whole numbers, so the middle of a box of n pixels lies at (n - 1) / 2.
    centre = (left + (width - 1) / 2, top + (height - 1) / 2)
    turn = np.asarray(cv2.getRotationMatrix2D(centre, angle, 1.0), np.float64)
    turn[:, 2] += (side - 1) / 2 - np.array(centre)
    if not angle:
        turn[:, 2] = np.round(turn[:, 2])  # whole pixels, so that nothing is interpolated
    return cv2.warpAffine(image, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]
