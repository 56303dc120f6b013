"""What AffectNet says of each face, whichever release it is read from, and the checks that all releases share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.errors import DataError
from ferlab.labels import AFFECTNET

EXPRESSIONS = (*AFFECTNET, "none", "uncertain", "non-face")
MAPPING = {str(i): name for i, name in enumerate(EXPRESSIONS)}
UNKNOWN = -2.0  # stands for valence or arousal that nobody annotated
COORDINATES = 2 * 68  # x and y of each landmark, in the order of iBUG's 68 points (Sagonas et al. 2013)
EYES = (slice(36, 42), slice(42, 48))  # the points around each eye

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Annotations:
    """The faces of one part of AffectNet, by the name of their pictures.

    Attributes:
        folder: the folder that the names start from.
        names: (n,) bytes, each picture's path below `folder`.
        expression: (n,) int64, index in EXPRESSIONS.
        affect: (n, 2) float32 valence and arousal in [-1, 1], NaN where unknown.
        eyes: (n, 2, 2) float32 x and y of both eyes in the picture, NaN where there are no landmarks.
        boxes: (n, 4) float32 left, top, width and height of the face in its picture, NaN where it has none; None where
            the picture is the face.
        mapping: expression as found on disk -> its name.
    """

    folder: Path
    names: npt.NDArray[np.bytes_]
    expression: npt.NDArray[np.int64]
    affect: npt.NDArray[np.float32]
    eyes: npt.NDArray[np.float32]
    boxes: npt.NDArray[np.float32] | None = None
    mapping: Mapping[str, str] = field(default_factory=lambda: MAPPING)

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, folder: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> "Annotations":
        """From arrays by the names of the attributes."""
        names, expression, affect, eyes = (arrays[name] for name in ("names", "expression", "affect", "eyes"))
        return cls(folder, names, expression, affect, eyes, arrays.get("boxes"))

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "Annotations":
        """Only the faces at `rows`, positions or a mask."""
        return replace(
            self,
            names=self.names[rows],
            expression=self.expression[rows],
            affect=self.affect[rows],
            eyes=self.eyes[rows],
            boxes=None if self.boxes is None else self.boxes[rows],
        )


def checked(
    expression: Floats, affect: Floats, place: Callable[[int, str], str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Expressions and affect as `Annotations` has them.

    Args:
        expression: (n,) numbers as found.
        affect: (n, 2) valence and arousal as found, -2 where unknown.
        place: says where row i's "expression", "valence" or "arousal" stands, for errors.

    Raises:
        DataError: an expression that is not 0 to 10, or a valence or arousal that is neither -2 nor in [-1, 1].
    """
    wrong = np.flatnonzero(~np.isin(expression, range(len(EXPRESSIONS))))
    if len(wrong):
        i = int(wrong[0])
        raise DataError(f"{place(i, 'expression')}: expression must be 0 to 10, got {expression[i]:g}; correct it")
    unknown = affect == UNKNOWN
    rows, columns = np.nonzero(~(unknown | (np.abs(affect) <= 1)))  # written so that NaN is wrong too
    if len(rows):
        name, value = ("valence", "arousal")[columns[0]], affect[rows[0], columns[0]]
        raise DataError(f"{place(int(rows[0]), name)}: {name} must be -1 to 1, or -2, got {value:g}; correct it")
    return expression.astype(np.int64), np.where(unknown, np.nan, affect).astype(np.float32)


def eye_centres(landmarks: Floats) -> npt.NDArray[np.float32]:
    """The mean of the points around each eye.

    Args:
        landmarks: (n, 136), x and y of 68 points; all zeros where there are none.

    Returns:
        (n, 2, 2) float32, x and y of both eyes, NaN where there are no landmarks.
    """
    points = landmarks.reshape(-1, COORDINATES // 2, 2)
    eyes = np.stack([points[:, around].mean(1) for around in EYES], 1)
    eyes[(landmarks == 0).all(1)] = np.nan
    return eyes.astype(np.float32)
