"""How well expressions were recognised: scores, intervals, baselines and calibration of the expression head."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ferlab.data.source import Source, Split
from ferlab.evaluate.baselines import baselines
from ferlab.evaluate.bootstrap import intervals
from ferlab.evaluate.calibration import FOLDS, Reliability, cross_fitted, fit_temperature, reliability
from ferlab.metrics import Classification, classification, confusion_counts, summary
from ferlab.runner import softmax

BEFORE, AFTER, OWN = "temperature 1", "cross-fitted temperature", "the bundle's temperature"


@dataclass(frozen=True)
class Predictions:
    """A bundle's answers for the labelled faces of a split.

    Attributes:
        names: k label names of the bundle.
        logits: (n, v, k) float32, of v views a face.
        labels: (n,) true classes, positions in `names`.
        rows: (n,) positions of the faces in the split.
        temperature: the bundle's.
    """

    names: tuple[str, ...]
    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    temperature: float

    def probabilities(self, temperature: float | None = None) -> npt.NDArray[np.float64]:
        """(n, k): softmax(logits / temperature) averaged over the views; by default the bundle's temperature."""
        result: npt.NDArray[np.float64] = softmax(self.logits / (temperature or self.temperature)).mean(1)
        return result

    def pooled_logits(self) -> npt.NDArray[np.float64]:
        """(n, k) logarithms of the probabilities at temperature 1: what a temperature can be fitted to."""
        return np.log(np.maximum(self.probabilities(1.0), np.finfo(np.float64).tiny))


@dataclass(frozen=True)
class Expression:
    """The score of the expression head on the labelled faces.

    Attributes:
        predictions: the answers.
        result: the scores at the bundle's own temperature.
        intervals: score -> 2.5 % and 97.5 % percentile.
        baselines: classifier -> score -> value, and `baseline_note`, where they have their frequencies from.
        curves: a reliability curve for temperature 1, for the cross-fitted one (unless there are too few faces) and, if
            it is not 1, for the bundle's own.
        temperature: fitted on all of these faces, to compare with the bundle's; no score here uses it.
        cautions: what a reader must know before believing the scores.
    """

    predictions: Predictions
    result: Classification
    intervals: Mapping[str, tuple[float, float]]
    baselines: Mapping[str, Mapping[str, float]]
    baseline_note: str
    curves: Mapping[str, Reliability]
    temperature: float
    cautions: tuple[str, ...]

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """(n,) positions of the labelled faces in the split."""
        return self.predictions.rows

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """(n, k) at the bundle's own temperature, as `ferlab predict` would state them."""
        return self.predictions.probabilities()

    def mistakes(self, limit: int) -> npt.NDArray[np.int64]:
        """Positions in `predictions` of the wrong answers, the most confident first, at most `limit`."""
        probabilities = self.probabilities
        wrong = np.flatnonzero(probabilities.argmax(1) != self.predictions.labels)
        return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")[:limit]]

    def subset(
        self, inside: npt.NDArray[np.bool_], resamples: int, seed: int
    ) -> dict[str, float | tuple[float, float]]:
        """Accuracy, its interval, mean_recall and macro_f1 of some of the faces.

        Args:
            inside: (n,) which of `rows`, one at least.
            resamples, seed: of the interval.
        """
        k = len(self.predictions.names)
        guesses = self.probabilities[inside].argmax(1)
        confusion = confusion_counts(self.predictions.labels[inside], guesses, k)
        scores = {name: float(value) for name, value in summary(confusion).items() if name != "weighted_f1"}
        return scores | {"accuracy_interval": intervals(confusion, resamples, seed)["accuracy"]}


def score_expression(predictions: Predictions, source: Source, split: Split, resamples: int, seed: int) -> Expression:
    """Score the answers for the labelled faces of `split`.

    Args:
        predictions: of one face at least.
        source, split: for the baselines.
        resamples: for the intervals.
        seed: of the bootstrap, the random baseline and the folds of the cross-fitting.
    """
    result = classification(predictions.probabilities(), predictions.labels, predictions.names)
    scores, note = baselines(source, split, seed)
    curves, too_few = _curves(predictions, seed)
    return Expression(
        predictions,
        result,
        intervals(result.confusion, resamples, seed),
        scores,
        note,
        curves,
        fit_temperature(predictions.pooled_logits(), predictions.labels),
        tuple(caution for caution in (_unlabelled(split), too_few) if caution),
    )


def _curves(predictions: Predictions, seed: int) -> tuple[dict[str, Reliability], str | None]:
    """Reliability before and after, and a caution if the faces are too few for the second."""
    labels, logits = predictions.labels, predictions.pooled_logits()
    curves = {BEFORE: reliability(softmax(logits), labels)}
    if predictions.temperature != 1:
        curves[OWN] = reliability(predictions.probabilities(), labels)
    if len(labels) < FOLDS:
        return curves, f"{len(labels)} faces are too few to fit a temperature on some and apply it to others"
    curves[AFTER] = reliability(cross_fitted(logits, labels, seed), labels)
    return curves, None


def _unlabelled(split: Split) -> str | None:
    missing = int((split.labels < 0).sum())
    return f"{missing:,} of {len(split):,} faces have no expression label and were left out" if missing else None
