"""Whether an exported file answers like its bundle, on real faces."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.formats import Tolerance
from ferlab.metrics import affect_scores
from ferlab.runner import Outputs, Runner
from ferlab.spec import Image

FEWEST = 256  # faces of a verification


@dataclass(frozen=True)
class Sample:
    """Faces to verify on.

    Attributes:
        images: (n, c, s, s) uint8, prepared.
        labels: (n,) positions in the bundle's labels, -1 where unknown.
        affect: (n, 2) float32 valence and arousal, NaN where unknown.
    """

    images: Image
    labels: npt.NDArray[np.int64]
    affect: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """A score of the bundle and of the file, on the same faces."""

    bundle: float
    file: float

    @property
    def lost(self) -> float:
        """What the file lost, in points of 1/100."""
        return 100 * (self.bundle - self.file)


@dataclass(frozen=True)
class Parity:
    """How an exported file's answers compare with the bundle's.

    Attributes:
        faces: how many were answered.
        worst: largest difference of any probability, or of valence or arousal.
        agreement: share of faces with the same likeliest label; None without the expression head.
        accuracy: over the labelled faces; None if there are none.
        ccc: mean concordance of valence and arousal over the rated faces; None if there are none.
    """

    faces: int
    worst: float
    agreement: float | None
    accuracy: Pair | None
    ccc: Pair | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def faults(self, tolerance: Tolerance) -> list[str]:
        """A few words for each way in which the file is further from the bundle than it may be."""
        found = []
        if not self.worst <= tolerance.answer:  # so that NaN is a fault
            found.append(f"an answer differs by {self.worst:.2g}, at most {tolerance.answer:g} is allowed")
        if self.agreement is not None and self.agreement < tolerance.agreement:
            found.append(f"{100 * self.agreement:.2f} % of labels agree, {100 * tolerance.agreement:g} % must")
        for name, pair in (("accuracy", self.accuracy), ("CCC", self.ccc)):
            if pair is not None and not pair.lost <= tolerance.loss + 1e-9:
                found.append(f"{name} lost {pair.lost:.2f} points, at most {tolerance.loss:g} may be lost")
        return found


def compare(reference: Outputs, candidate: Outputs, sample: Sample) -> Parity:
    """Compare the answers of a bundle and of a file exported from it to the same faces."""
    worst = max(float(np.abs(values - reference[head]).max()) for head, values in candidate.items())
    agreement, accuracy, ccc = None, None, None
    if "expression" in reference:
        likeliest = [outputs["expression"].argmax(1) for outputs in (reference, candidate)]
        agreement = float((likeliest[0] == likeliest[1]).mean())
        if (labelled := sample.labels >= 0).any():
            accuracy = Pair(*(float((each == sample.labels)[labelled].mean()) for each in likeliest))
    if "affect" in reference and (~np.isnan(sample.affect)).any(0).all():
        ccc = Pair(*(_mean_ccc(outputs["affect"], sample.affect) for outputs in (reference, candidate)))
    return Parity(len(sample.images), worst, agreement, accuracy, ccc)


def answer_all(runner: Runner, images: Image, batch_size: int = 64) -> Outputs:
    """The answers to any number of prepared faces."""
    parts = [runner.answers(images[start : start + batch_size]) for start in range(0, len(images), batch_size)]
    return {head: np.concatenate([part[head] for part in parts]) for head in parts[0]}


def _mean_ccc(predicted: npt.NDArray[np.floating[Any]], target: npt.NDArray[np.float32]) -> float:
    scores = affect_scores(predicted, target)
    return float(np.mean([each["ccc"] for each in scores.values()]))
