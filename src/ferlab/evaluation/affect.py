"""How near the answered valence and arousal are to the annotated ones: scores of the affect head."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ferlab.evaluation.bootstrap import Interval, affect_intervals
from ferlab.evaluation.predictions import Predictions
from ferlab.evaluation.settings import Settings
from ferlab.labels import AFFECT
from ferlab.metrics import AFFECT_SCORES, affect_scores

EDGES = np.linspace(-1, 1, 33)  # 32 bins a side: each a sixteenth wide, finer than annotators agree
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ClassMean:
    """Where a class lies on average: its faces with known valence and arousal, and both, annotated and answered."""

    faces: int
    true: dict[str, float]
    predicted: dict[str, float]


@dataclass(frozen=True)
class Density:
    """How many faces lie in the squares of a plane: the j-th square with any is x[j], y[j] of EDGES, with faces[j]."""

    x: list[int]
    y: list[int]
    faces: list[int]


@dataclass(frozen=True)
class Affect:
    """The score of the affect head on the faces with known valence or arousal.

    Attributes:
        faces: how many.
        scores: "valence" and "arousal" -> `faces` and metrics.AFFECT_SCORES; "mean" -> the means of these scores.
            A dimension that no face knows is left out.
        intervals: the same keys -> "ccc" and "rmse" -> 2.5 % and 97.5 % percentile.
        baseline: the same keys -> scores of one answer for all faces, and `baseline_note`, which answer.
        classes: label -> its mean, for the classes with a face whose valence and arousal are known.
        densities: "valence" and "arousal" -> faces by true (x) and answered (y) value; "true" and "predicted" -> faces
            by valence (x) and arousal (y); those that a face is in.
    """

    faces: int
    scores: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, Interval]]
    baseline: dict[str, dict[str, float]]
    baseline_note: str
    classes: dict[str, ClassMean]
    densities: dict[str, Density]


def score_affect(
    predictions: Predictions,
    labels: tuple[str, ...],
    baseline: tuple[dict[str, dict[str, float]], str],
    settings: Settings,
) -> Affect:
    """Score the answers.

    Args:
        predictions: of faces with known valence or arousal, one at least.
        labels: the dataset's, in whose order the classes are listed.
        baseline: as `ferlab.evaluation.baselines.affect_baseline` gives it.
        settings: resamples and seed.
    """
    predicted, target = answered(predictions), predictions.target
    return Affect(
        faces=len(target),
        scores=with_mean(affect_scores(predicted, target)),
        intervals=affect_intervals(predicted, target, settings.bootstrap, settings.seed),
        baseline=with_mean(baseline[0]),
        baseline_note=baseline[1],
        classes=_class_means(predictions, labels),
        densities=_densities(predicted, target),
    )


def answered(predictions: Predictions) -> Floats:
    """(n, 2) valence and arousal, the mean over the views."""
    assert predictions.affect is not None, "the model answers no affect"
    mean: Floats = predictions.affect.mean(1)
    return mean


def with_mean(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """`scores` and, as "mean", each of metrics.AFFECT_SCORES averaged over valence and arousal."""
    means = {key: float(np.mean([values[key] for values in scores.values()])) for key in AFFECT_SCORES}
    return {name: dict(values) for name, values in scores.items()} | {"mean": means}


def _class_means(predictions: Predictions, labels: tuple[str, ...]) -> dict[str, ClassMean]:
    known, result = ~np.isnan(predictions.target).any(1), {}
    for name in labels:
        inside = known & (predictions.labels == (predictions.names.index(name) if name in predictions.names else -2))
        if inside.any():
            true, given = (
                dict(zip(AFFECT, values[inside].mean(0, dtype=np.float64).tolist(), strict=True))
                for values in (predictions.target, answered(predictions))
            )
            result[name] = ClassMean(int(inside.sum()), true, given)
    return result


def _densities(predicted: Floats, target: Floats) -> dict[str, Density]:
    planes = {name: (target[:, i], predicted[:, i]) for i, name in enumerate(AFFECT)}
    known = ~np.isnan(target).any(1)
    planes |= {name: (v[known, 0], v[known, 1]) for name, v in (("true", target), ("predicted", predicted))}
    return {
        name: found for name, (x, y) in planes.items() if (found := _density(x[~np.isnan(x)], y[~np.isnan(x)])).faces
    }


def _density(x: Floats, y: Floats) -> Density:
    grid = np.histogram2d(x, y, [EDGES, EDGES])[0].astype(int)
    filled = np.nonzero(grid)
    return Density(filled[0].tolist(), filled[1].tolist(), grid[filled].tolist())
