"""What answers for prepared faces: a bundle, or a file exported from one. Needs no torch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ferlab.errors import FerlabError
from ferlab.spec import Image, ModelSpec

if TYPE_CHECKING:
    from ferlab.past import Past

Outputs = dict[str, npt.NDArray[np.floating[Any]]]


@dataclass(frozen=True)
class Prediction:
    """What the model says of one face.

    Attributes:
        expression: probability of each label, largest first; empty for a model without that head.
        valence, arousal: in [-1, 1], or None for a model without that head.
    """

    expression: dict[str, float]
    valence: float | None = None
    arousal: float | None = None


class Runner(ABC):
    """A model that can be asked, whatever computes it.

    Attributes:
        spec: what goes in and comes out.
        model: `name` and `options` of the architecture, plain values.
        provenance: dataset (a Source's name), data_digest (its digest), protocol, licence, commit and the like, plain
            values.
        path: where it was read from, or None.
        past: the faces that it was trained and selected on; None if that is not known.
    """

    spec: ModelSpec
    model: Mapping[str, Any]
    provenance: Mapping[str, Any]
    path: Path | None
    past: "Past | None" = None

    @property
    def parameters(self) -> int | None:
        """Number of weights, where it can be told."""
        return None

    @abstractmethod
    def logits(self, images: Image) -> dict[str, npt.NDArray[np.float32]]:
        """Run prepared images (n, c, s, s) uint8: "expression" (n, k) logits and "affect" (n, 2), where it has them."""

    def answers(self, images: Image) -> Outputs:
        """As `logits`, but "expression" are probabilities (n, k) at the specification's temperature."""
        outputs: Outputs = {**self.logits(images)}
        if "expression" in outputs:
            outputs["expression"] = softmax(outputs["expression"] / self.spec.temperature)
        return outputs

    def predict(self, image: Image) -> Prediction:
        """Answer for one face crop, (h, w, 3) uint8 RGB of any size, cut as `spec.face` says."""
        outputs = self.answers(self.spec.prepare(image)[None])
        expression: dict[str, float] = {}
        if "expression" in outputs:
            shares = outputs["expression"][0]
            expression = {self.spec.expression[i]: float(shares[i]) for i in np.argsort(-shares, kind="stable")}
        if "affect" not in outputs:
            return Prediction(expression)
        return Prediction(expression, *(float(v) for v in outputs["affect"][0]))


def check_finite(outputs: Mapping[str, npt.NDArray[np.floating[Any]]], name: str, kind: type[FerlabError]) -> None:
    """Raise an error of this kind if the model `name` answered NaN or infinity, which no face is a reason for."""
    for head, values in outputs.items():
        bad = len(values) - int(np.isfinite(values).all(-1).sum())
        if bad:
            raise kind(f"{name} must answer finite numbers, got NaN or infinity as {head} of {bad} faces; make it anew")


def softmax(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Softmax over the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    result: npt.NDArray[np.float64] = shifted / shifted.sum(-1, keepdims=True)
    return result
