"""Whether an exported file answers like its bundle, on real faces."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.data.source import Source
from ferlab.errors import DataError
from ferlab.evaluation.checks import common_heads, label_ids
from ferlab.evaluation.predictions import prepared
from ferlab.formats import Tolerance
from ferlab.metrics import affect_scores
from ferlab.runner import Outputs, Runner
from ferlab.spec import Image

FEWEST = 256  # faces of a verification: 95 % agreement is then known to about 3 points

CCC_ROUNDING = 0.01  # points: it moves with every answer's last digit, where accuracy stays as it is


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


def draw(runner: Runner, source: Source, split: str, number: int) -> Sample:
    """`number` labelled faces at even distances over a split, or all if there are fewer.

    Raises:
        DataError: no such split, fewer than FEWEST faces, or one that cannot be read.
        LabelError: faces with a label that the model cannot name.
        BundleError: the split has labels for no head of the model.
    """
    faces = source.split(split)
    heads, _ = common_heads(runner, source, faces)
    labels = label_ids(runner, source, faces) if "expression" in heads else np.full(len(faces), -1)
    affect = faces.affect if faces.affect is not None and "affect" in heads else np.full((len(faces), 2), np.nan)
    rows = np.flatnonzero((labels >= 0) | ~np.isnan(affect).all(1))
    if len(rows) < FEWEST:
        raise DataError(
            f"verification must have {FEWEST} labelled faces, got {len(rows)} in {source.name} {split}; set data=…"
        )
    rows = evenly(rows, number)
    return Sample(prepared(runner.spec, faces, rows), labels[rows], affect[rows].astype(np.float32))


def evenly(rows: npt.NDArray[np.int64], number: int) -> npt.NDArray[np.int64]:
    """`number` of the rows at even distances, or all if there are fewer."""
    return rows[np.linspace(0, len(rows) - 1, min(number, len(rows))).astype(np.int64)]


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
        """Plain values for JSON; None stands for NaN and infinity, which JSON lacks."""

        def plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
            return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in items}

        return asdict(self, dict_factory=plain)

    def faults(self, tolerance: Tolerance) -> list[str]:
        """A few words for each way in which the file is further from the bundle than it may be."""
        found = []
        if not self.worst <= tolerance.answer:  # so that NaN is a fault
            found.append(f"an answer differs by {self.worst:.2g}, at most {tolerance.answer:g} is allowed")
        if self.agreement is not None and self.agreement < tolerance.agreement:
            found.append(f"{100 * self.agreement:.2f} % of labels agree, {100 * tolerance.agreement:g} % must")
        for name, pair, rounding in (("accuracy", self.accuracy, 1e-9), ("CCC", self.ccc, CCC_ROUNDING)):
            if pair is not None and not pair.lost <= tolerance.loss + rounding:
                found.append(f"{name} lost {pair.lost:.2f} points, at most {tolerance.loss:g} may be lost")
        return found


def parity(reference: Outputs, candidate: Outputs, sample: Sample) -> Parity:
    """Compare the answers of a bundle and of a file exported from it to the same faces."""
    worst = float(np.max([np.abs(candidate[head] - values).max() for head, values in reference.items()]))
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
    if not np.isfinite(predicted).all():
        return math.nan
    scores = affect_scores(predicted, target)
    return float(np.mean([each["ccc"] for each in scores.values()]))
