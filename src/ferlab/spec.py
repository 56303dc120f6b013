"""The one specification of what goes into a model and what comes out, and the one function that prepares its input."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.errors import FerlabError, SpecError, suggest
from ferlab.faces import FaceCrop
from ferlab.labels import AFFECT, check_labels

Image = npt.NDArray[np.uint8]
Colour = Literal["gray", "rgb"]
Interpolation = Literal["area", "linear", "cubic"]
SMALLEST, LARGEST = 8, 1024  # pixels
CHANNELS: dict[str, int] = {"gray": 1, "rgb": 3}
_FLAGS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


@dataclass(frozen=True)
class ModelSpec:
    """All that changes the meaning of a model's input or output. It travels with the weights.

    Attributes:
        expression: canonical label names, or names of one's own, in the order of the logits; at least two, or none
            with `affect`.
        affect: whether the model also answers valence and arousal, each in [-1, 1].
        size: input height and width, in pixels.
        colour: "gray" (one channel) or "rgb" (three).
        interpolation: how crops are resized; "area" averages when shrinking and is linear when enlarging.
        mean, std: one value a channel, for pixels scaled to 0-1; applied inside the network.
        face: how the faces were cropped.
        temperature: the logits are divided by it before the softmax (Guo et al. 2017); 1 changes nothing.
    """

    expression: tuple[str, ...]
    affect: bool = False
    size: int = 48
    colour: Colour = "gray"
    interpolation: Interpolation = "area"
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)
    face: FaceCrop = field(default_factory=FaceCrop)
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_labels(self.expression)
        if len(self.expression) == 1 or not (self.expression or self.affect):
            raise SpecError(f"spec must have two expression labels or more, or affect, got {list(self.expression)}")
        _require_choice("colour", self.colour, get_args(Colour))
        _require_choice("interpolation", self.interpolation, get_args(Interpolation))
        if not isinstance(self.affect, bool) or not isinstance(self.size, int):
            raise TypeError(f"affect must be true or false and size an integer, got {self.affect!r}, {self.size!r}")
        if not SMALLEST <= self.size <= LARGEST:
            raise SpecError(f"spec size must be {SMALLEST} to {LARGEST} pixels, got {self.size}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise SpecError(f"spec {name} must have {self.channels} values for {self.colour}, got {list(values)}")
        if not all(np.isfinite(self.mean)) or not all(0 < s < float("inf") for s in self.std):
            raise SpecError(f"spec mean must be finite and std positive, got {list(self.mean)} and {list(self.std)}")
        if not 0 < self.temperature < float("inf"):
            raise SpecError(f"spec temperature must be positive, got {self.temperature}")

    def __repr__(self) -> str:
        return f"ModelSpec({self.summary}; digest {self.digest})"

    @property
    def summary(self) -> str:
        """What it answers, and for which pictures, in a few words."""
        answers = [", ".join(self.expression)] * bool(self.expression) + ["valence and arousal"] * self.affect
        return f"{', '.join(answers)}; {self.size} px {self.colour}"

    @property
    def heads(self) -> tuple[str, ...]:
        """What the model answers: "expression", "affect" or both."""
        return ("expression",) * bool(self.expression) + ("affect",) * self.affect

    @property
    def widths(self) -> dict[str, int]:
        """Head -> numbers a face that it answers, in the order of `heads`."""
        known = {"expression": len(self.expression), "affect": len(AFFECT)}
        return {head: known[head] for head in self.heads}

    @property
    def channels(self) -> int:
        """Input channels: 1 for gray, 3 for rgb."""
        return CHANNELS[self.colour]

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change with anything in the specification."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelSpec":
        """The specification that `to_dict` wrote; SpecError for unknown, missing or ill-typed fields."""
        known = {f.name for f in fields(cls)}
        for key in values:
            if key not in known:
                raise SpecError(f"unknown field '{key}' in the specification; {suggest(key, known)}")
        plain = dict(values)
        try:
            for key in ("expression", "mean", "std"):
                if key in plain:
                    plain[key] = tuple(plain[key])
            if "face" in plain:
                plain["face"] = FaceCrop(**plain["face"])
            return cls(**plain)
        except FerlabError:
            raise
        except (TypeError, ValueError) as error:
            raise SpecError(f"the specification must have the fields {sorted(known)} well typed: {error}") from error

    def prepare(self, crop: Image) -> Image:
        """Turn a face crop into the model's input: colour, then size. The only place in ferlab that does either.

        Args:
            crop: (h, w, 3) uint8 RGB, any size.

        Returns:
            (channels, size, size) uint8, contiguous; normalisation happens inside the network.

        Raises:
            SpecError: the crop is not an (h, w, 3) uint8 array.
        """
        if crop.dtype != np.uint8 or crop.ndim != 3 or crop.shape[2] != 3 or 0 in crop.shape:
            raise SpecError(f"a face crop must be (h, w, 3) uint8 RGB, got {crop.shape} {crop.dtype}")
        # On equal channels cv2's weights sum to exactly 1: grey pictures come through unchanged.
        image: Any = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) if self.colour == "gray" else crop
        height, width = image.shape[:2]
        if (height, width) != (self.size, self.size):
            shrinks = height >= self.size and width >= self.size
            area = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = cv2.resize(image, (self.size, self.size), interpolation=_FLAGS.get(self.interpolation, area))
        channels_first = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        return np.ascontiguousarray(channels_first)


def _require_choice(name: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        raise SpecError(f"unknown {name} '{value}' in the specification; {suggest(str(value), options)}")
