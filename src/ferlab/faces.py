"""How a face is cut out of a picture."""

from dataclasses import dataclass

from ferlab.errors import SpecError


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
