"""How well expressions were recognised: scores, intervals, baselines and calibration of the expression head."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ferlab.data.source import Split
from ferlab.evaluation.bootstrap import Interval, intervals
from ferlab.evaluation.calibration import Calibration, calibration
from ferlab.evaluation.predictions import Predictions
from ferlab.evaluation.settings import Settings
from ferlab.metrics import Classification, classification

MISTAKES = 24
CONFIDENCE_BINS = 20


@dataclass(frozen=True)
class ClassScore:
    """One class: its faces, those taken for it, and scores; None where undefined (see `ferlab.metrics`)."""

    support: int
    predicted: int
    recall: float | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True)
class Mistake:
    """A face that was taken for another class: its position in the split, where it is stored, and the answer."""

    row: int
    image: str
    true: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Expression:
    """The score of the expression head on the labelled faces, at the bundle's own temperature.

    Attributes:
        faces: how many.
        scores: those of metrics.classification.
        intervals: score -> 2.5 % and 97.5 % percentile.
        baselines: classifier -> score -> value, and `baseline_note`, where they have their frequencies from.
        classes: label -> its scores, in the order of the bundle's labels.
        confusion: (k, k) faces; rows are the true class, columns the predicted one.
        calibration: whether the probabilities can be believed.
        confidence: "correct" and "wrong" -> faces by their probability, in CONFIDENCE_BINS bins from 0 to 1.
        mistakes: the most confident ones first, MISTAKES at most.
    """

    faces: int
    scores: dict[str, float]
    intervals: dict[str, Interval]
    baselines: dict[str, dict[str, float]]
    baseline_note: str
    classes: dict[str, ClassScore]
    confusion: list[list[int]]
    calibration: Calibration
    confidence: dict[str, list[int]]
    mistakes: list[Mistake]


def score_expression(
    predictions: Predictions, split: Split, baselines: tuple[dict[str, dict[str, float]], str], settings: Settings
) -> Expression:
    """Score the answers.

    Args:
        predictions: of labelled faces, one at least.
        split: that they are of, which knows where each face is stored.
        baselines: as `ferlab.evaluation.baselines.baselines` gives them.
        settings: resamples and seed.
    """
    probabilities = predictions.probabilities()
    confidence, right = probabilities.max(1), probabilities.argmax(1) == predictions.labels
    found = classification(probabilities, predictions.labels, predictions.names)
    edges = np.linspace(0, 1, CONFIDENCE_BINS + 1)
    return Expression(
        faces=len(predictions),
        scores=found.scores,
        intervals=intervals(found.confusion, settings.bootstrap, settings.seed),
        baselines=baselines[0],
        baseline_note=baselines[1],
        classes=_classes(found),
        confusion=found.confusion.tolist(),
        calibration=calibration(predictions, settings.seed),
        confidence={
            name: np.histogram(confidence[chosen], edges)[0].tolist()
            for name, chosen in (("correct", right), ("wrong", ~right))
        },
        mistakes=_mistakes(predictions, probabilities, split),
    )


def _classes(found: Classification) -> dict[str, ClassScore]:
    predicted, defined = found.confusion.sum(0), np.isfinite
    return {
        name: ClassScore(
            int(found.support[i]),
            int(predicted[i]),
            *(float(each[i]) if defined(each[i]) else None for each in (found.recall, found.precision, found.f1)),
        )
        for i, name in enumerate(found.names)
    }


def _mistakes(predictions: Predictions, probabilities: npt.NDArray[np.float64], split: Split) -> list[Mistake]:
    names, guesses = predictions.names, probabilities.argmax(1)
    wrong = np.flatnonzero(guesses != predictions.labels)
    first = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")[:MISTAKES]]
    return [
        Mistake(
            row := int(predictions.rows[i]),
            split.images.name(row),
            names[predictions.labels[i]],
            names[guesses[i]],
            float(probabilities[i].max()),
        )
        for i in first
    ]
