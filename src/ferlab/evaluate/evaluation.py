"""Score a bundle on a split: everything that a report states, before it is written."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ferlab.bundle import Bundle, softmax
from ferlab.data.source import Source, Split
from ferlab.evaluate.baselines import baselines
from ferlab.evaluate.bootstrap import intervals
from ferlab.evaluate.calibration import FOLDS, Reliability, cross_fitted, fit_temperature, reliability
from ferlab.evaluate.checks import count_caution, crop_caution, selection
from ferlab.evaluate.predictions import Predictions, Watch, predict_split
from ferlab.metrics import Classification, classification


@dataclass(frozen=True)
class Settings:
    """How to evaluate.

    Attributes:
        split: which part of the dataset.
        tta: a name in `ferlab.evaluate.tta.VIEWS`.
        bootstrap: resamples for the intervals.
        seed: of the bootstrap, the random baseline and the folds of the cross-fitting.
        batch_size: faces at a time.
    """

    split: str = "validation"
    tta: str = "plain"
    bootstrap: int = 2000
    seed: int = 0
    batch_size: int = 256


@dataclass(frozen=True)
class Evaluation:
    """A bundle's score on a split.

    Attributes:
        bundle, source, split, settings: what was scored, on what, how.
        digest: the source's.
        predictions: the answers.
        result: the scores at the bundle's own temperature.
        intervals: score -> 2.5 % and 97.5 % percentile.
        baselines: classifier -> score -> value, and `baseline_note`, where they have their frequencies from.
        curves: a reliability curve for temperature 1, for the cross-fitted one (unless there are too few faces) and, if
            it is not 1, for the bundle's own.
        temperature: fitted on all of these faces, to compare with the bundle's; no score here uses it.
        selection: how training knew this split.
        cautions: what a reader must know before believing the score.
    """

    bundle: Bundle
    source: Source
    split: Split
    settings: Settings
    digest: str
    predictions: Predictions
    result: Classification
    intervals: Mapping[str, tuple[float, float]]
    baselines: Mapping[str, Mapping[str, float]]
    baseline_note: str
    curves: Mapping[str, Reliability]
    temperature: float
    selection: str
    cautions: tuple[str, ...]

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """(n, k) at the bundle's own temperature, as `ferlab predict` would state them."""
        return self.predictions.probabilities()

    def mistakes(self, limit: int) -> npt.NDArray[np.int64]:
        """Positions in `predictions` of the wrong answers, the most confident first, at most `limit`."""
        probabilities = self.probabilities
        wrong = np.flatnonzero(probabilities.argmax(1) != self.predictions.labels)
        return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")[:limit]]


BEFORE, AFTER, OWN = "temperature 1", "cross-fitted temperature", "the bundle's temperature"


def evaluate(bundle: Bundle, source: Source, settings: Settings, watch: Watch = iter) -> Evaluation:
    """Score `bundle` on a split of `source`.

    Args:
        watch: wraps the sequence of batch starts, for a progress bar.

    Raises:
        DataError: no such split, or a face that cannot be read.
        LabelError: faces with a label that the bundle cannot name.
        BundleError: no expression head.
        ConfigError: no such tta.
    """
    split = source.split(settings.split)
    predictions = predict_split(bundle, source, split, settings.tta, settings.batch_size, watch)
    result = classification(predictions.probabilities(), predictions.labels, predictions.names)
    scores, note = baselines(source, split, settings.seed)
    digest = source.digest()
    selected, optimistic = selection(bundle, source, split, digest)
    curves, too_few = _curves(predictions, settings.seed)
    cautions = [
        selected if optimistic else None,
        crop_caution(bundle, source),
        count_caution(source, split),
        _unlabelled(split),
        too_few,
    ]
    return Evaluation(
        bundle,
        source,
        split,
        settings,
        digest,
        predictions,
        result,
        intervals(result.confusion, settings.bootstrap, settings.seed),
        scores,
        note,
        curves,
        fit_temperature(predictions.pooled_logits(), predictions.labels),
        selected,
        tuple(caution for caution in cautions if caution),
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
