"""How near the answered valence and arousal are to the annotated ones: scores of the affect head."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ferlab.data.source import Source, Split
from ferlab.evaluate.baselines import affect_baseline
from ferlab.evaluate.bootstrap import affect_intervals
from ferlab.labels import AFFECT
from ferlab.metrics import AFFECT_SCORES, affect_scores

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ClassMean:
    """Where a class lies on average.

    Attributes:
        faces: with this label, and with valence and arousal known.
        true, predicted: (2,) mean valence and arousal.
    """

    faces: int
    true: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Affect:
    """The score of the affect head on the faces with known valence or arousal.

    Attributes:
        predicted: (n, 2) valence and arousal, the mean over the views.
        target: (n, 2) the annotated ones, NaN where unknown; one of both is known.
        rows: (n,) positions of the faces in the split.
        scores: "valence" and "arousal" -> `faces` and metrics.AFFECT_SCORES; "mean" -> the means of these scores.
            A dimension that no face knows is left out.
        intervals: the same keys -> "ccc" and "rmse" -> 2.5 % and 97.5 % percentile.
        baseline: the same keys -> scores of one answer for all faces, and `baseline_note`, which answer.
        classes: label -> its mean, for the classes with a face whose valence and arousal are known.
        cautions: what a reader must know before believing the scores.
    """

    predicted: Floats
    target: Floats
    rows: npt.NDArray[np.int64]
    scores: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, Mapping[str, tuple[float, float]]]
    baseline: Mapping[str, Mapping[str, float]]
    baseline_note: str
    classes: Mapping[str, ClassMean]
    cautions: tuple[str, ...]

    def subset(
        self, inside: npt.NDArray[np.bool_], resamples: int, seed: int
    ) -> dict[str, float | tuple[float, float]]:
        """CCC of valence and of arousal with its interval, for some of the faces.

        Args:
            inside: (n,) which of `rows`, one at least.
            resamples, seed: of the interval.
        """
        predicted, target = self.predicted[inside], self.target[inside]
        drawn = affect_intervals(predicted, target, resamples, seed)
        result: dict[str, float | tuple[float, float]] = {}
        for name, values in affect_scores(predicted, target).items():
            result |= {f"{name}_ccc": values["ccc"], f"{name}_ccc_interval": drawn[name]["ccc"]}
        return result


def score_affect(
    answers: Floats,
    target: Floats,
    rows: npt.NDArray[np.int64],
    source: Source,
    split: Split,
    resamples: int,
    seed: int,
) -> Affect:
    """Score the answers for the faces of `split` whose valence or arousal is known.

    Args:
        answers: (n, v, 2) of v views a face, n at least 1.
        target: (n, 2), NaN where unknown.
        rows: (n,) positions of the faces in the split.
        source, split: for the baseline and the classes.
        resamples, seed: of the intervals.
    """
    predicted = answers.mean(1)
    baseline, note = affect_baseline(source, split, target)
    return Affect(
        predicted,
        target,
        rows,
        with_mean(affect_scores(predicted, target)),
        affect_intervals(predicted, target, resamples, seed),
        with_mean(baseline),
        note,
        _class_means(predicted, target, split.labels[rows], source.labels),
        _incomplete(split, target),
    )


def with_mean(scores: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    """`scores` and, as "mean", each of metrics.AFFECT_SCORES averaged over valence and arousal."""
    means = {key: float(np.mean([values[key] for values in scores.values()])) for key in AFFECT_SCORES}
    return {**scores, "mean": means}


def _class_means(
    predicted: Floats, target: Floats, labels: npt.NDArray[np.int64], names: tuple[str, ...]
) -> dict[str, ClassMean]:
    known = ~np.isnan(target).any(1)
    result = {}
    for i, name in enumerate(names):
        inside = known & (labels == i)
        if inside.any():
            true, answered = (values[inside].mean(0, dtype=np.float64) for values in (target, predicted))
            result[name] = ClassMean(int(inside.sum()), true, answered)
    return result


def _incomplete(split: Split, target: Floats) -> tuple[str, ...]:
    """A sentence for each dimension that some faces lack."""
    known = (~np.isnan(target)).sum(0)
    return tuple(
        f"{len(split) - n:,} of {len(split):,} faces have no {name} and were left out of its scores"
        for name, n in zip(AFFECT, known, strict=True)
        if n < len(split)
    )
