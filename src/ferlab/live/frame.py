"""What stages pass on: a picture with its time, and the faces in it as one struct of arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ferlab.errors import SpecError
from ferlab.spec import Image

Array = npt.NDArray[Any]
LANDMARKS = ("right eye", "left eye", "nose", "right mouth corner", "left mouth corner")  # the person's right


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Attributes:
        index: its number in the source, from 0; a live source that drops frames leaves numbers out.
        time: when it was captured, in s: for a camera from its first frame, for a file from its start.
        image: (h, w, 3) uint8 RGB.
    """

    index: int
    time: float
    image: Image


@dataclass(frozen=True)
class Faces:
    """The n faces of one frame, which may be none; row i of every array is face i.

    Attributes:
        boxes: (n, 4) float32, left, top, width and height in pixels; may reach out of the picture.
        scores: (n,) float32, the detector's, in [0, 1].
        landmarks: (n, 5, 2) float32, x and y of `LANDMARKS` in pixels, NaN where they are not known.
        ids: (n,) int64, the track of each face; -1 before tracking.
        answers: of the model by head, as `Runner.answers` gives them: "expression" (n, k), "affect" (n, 2); none
            before it is asked.

    Raises:
        SpecError: an array of another shape.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]
    ids: npt.NDArray[np.int64]
    answers: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.boxes)
        shapes = {"boxes": (n, 4), "scores": (n,), "landmarks": (n, len(LANDMARKS), 2), "ids": (n,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise SpecError(f"{name} of {n} faces must have the shape {shape}, got {getattr(self, name).shape}")
        for head, values in self.answers.items():
            if values.ndim != 2 or len(values) != n:
                raise SpecError(f"answers of {n} faces must have the shape ({n}, k), got {values.shape} for {head}")

    @classmethod
    def found(cls, boxes: Array, scores: Array | None = None, landmarks: Array | None = None) -> Self:
        """Faces as a detector finds them: no track, no answers, landmarks only if it has them."""
        n = len(boxes)
        points = np.full((n, len(LANDMARKS), 2), np.nan) if landmarks is None else landmarks
        return cls(
            np.asarray(boxes, np.float32).reshape(n, 4),
            np.ones(n, np.float32) if scores is None else np.asarray(scores, np.float32),
            np.asarray(points, np.float32),
            np.full(n, -1, np.int64),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: Array | slice) -> Self:
        """The faces in these rows: a mask (n,) bool, indices, or a slice."""
        answers = {head: values[rows] for head, values in self.answers.items()}
        return type(self)(self.boxes[rows], self.scores[rows], self.landmarks[rows], self.ids[rows], answers)

    @property
    def eyes(self) -> npt.NDArray[np.float32]:
        """(n, 2, 2): x and y of the right and the left eye, NaN where they are not known."""
        return self.landmarks[:, :2]
