"""Classification metrics: scikit-learn's for a report, and in numpy those that every epoch and each resample needs.

A class without a single face has no recall and no F1: it is left out of every average over classes, as in
`sklearn.metrics.f1_score(labels=<classes that occur>)`. A face that is taken for such a class still counts as a miss
of its own class. A class that occurs and is never predicted has F1 0 and no precision.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.labels import AFFECT

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
# What a training loop logs of each head and can select by. All grow with quality but those of LOWER_IS_BETTER.
EPOCH_METRICS: dict[str, tuple[str, ...]] = {
    "expression": ("accuracy", "macro_f1", "mean_recall", "top2", "nll"),
    "affect": ("ccc", "rmse", "valence_ccc", "valence_rmse", "arousal_ccc", "arousal_rmse"),
}
LOWER_IS_BETTER = frozenset({"nll", "rmse", "valence_rmse", "arousal_rmse"})
AFFECT_SCORES = ("ccc", "pearson", "sign_agreement", "rmse", "mae", "mse")
FLOOR = 1e-12  # a probability of zero would make the log-likelihood infinite, which JSON and averages cannot hold


@dataclass(frozen=True)
class Classification:
    """What a classifier did on labelled faces.

    Attributes:
        names: k label names, the order of every array here.
        scores: accuracy, macro_f1, weighted_f1, mean_recall (balanced accuracy), top2 and nll (nats a face).
        confusion: (k, k) int64 counts; rows are the true class, columns the predicted one.
        precision, recall, f1: (k,) float64; NaN where undefined (see the module).
    """

    names: tuple[str, ...]
    scores: dict[str, float]
    confusion: npt.NDArray[np.int64]
    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    f1: npt.NDArray[np.float64]

    @property
    def support(self) -> npt.NDArray[np.int64]:
        """Faces of each class, (k,)."""
        result: npt.NDArray[np.int64] = self.confusion.sum(1)
        return result


def classification(probabilities: Floats, labels: Ints, names: Sequence[str]) -> Classification:
    """Every metric of a report.

    Args:
        probabilities: (n, k), rows summing to 1.
        labels: (n,) class ids, 0 to k - 1.
        names: k label names.

    Raises:
        ValueError: no faces, shapes that do not fit, an id that no column has, or a probability that is not finite.
    """
    from sklearn import metrics

    _check(probabilities, labels, len(names))
    predicted, every = probabilities.argmax(1), range(len(names))
    counts = metrics.confusion_matrix(labels, predicted, labels=every)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=np.nan
    )
    occurs = support > 0
    f1[~occurs] = np.nan  # scikit-learn gives 0 to a class that does not occur and is predicted
    scores = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "macro_f1": f1[occurs].mean(),
        "weighted_f1": np.average(f1[occurs], weights=support[occurs]),
        "mean_recall": recall[occurs].mean(),
        # Of two classes one is always among the two likeliest, which scikit-learn refuses to compute.
        "top2": metrics.top_k_accuracy_score(labels, probabilities, k=2, labels=every) if len(names) > 2 else 1.0,
        "nll": metrics.log_loss(labels, np.maximum(probabilities, FLOOR), labels=every),
    }
    numbers = {name: float(value) for name, value in scores.items()}
    return Classification(tuple(names), numbers, counts.astype(np.int64), precision, recall, f1)


def expression_epoch_metrics(probabilities: Floats, labels: Ints) -> dict[str, float]:
    """The numbers that a training loop logs: accuracy, macro_f1, mean_recall, top2 and nll.

    Args, raises: as `classification`.
    """
    _check(probabilities, labels, probabilities.shape[1])
    scores = summary(confusion_counts(labels, probabilities.argmax(1), probabilities.shape[1]))
    return {name: float(scores[name]) for name in ("accuracy", "macro_f1", "mean_recall")} | _likelihood(
        probabilities, labels
    )


def affect_scores(predicted: Floats, target: Floats) -> dict[str, dict[str, float]]:
    """Every metric of valence and of arousal, each over the faces where it is known.

    ccc is the concordance correlation 2 s_xy / (s_x² + s_y² + (x̄ - ȳ)²) (Lin 1989, eq. 1), with variances over n;
    sign_agreement the share of faces where both have the same sign (Nicolaou et al. 2011). ccc and pearson of a
    constant are 0: it says nothing of the face.

    Args:
        predicted: (n, 2) valence and arousal.
        target: (n, 2), NaN where unknown.

    Returns:
        "valence" and "arousal", each with `faces` and AFFECT_SCORES; one without a known face is left out.

    Raises:
        ValueError: shapes that do not fit, or a prediction that is not finite.
    """
    if predicted.shape != target.shape or predicted.ndim != 2 or predicted.shape[1] != len(AFFECT):
        raise ValueError(f"predicted and target must both be (n, 2), got {predicted.shape} and {target.shape}")
    if not np.isfinite(predicted).all():
        raise ValueError("predicted valence and arousal must be finite, got NaN or infinity")
    result = {}
    for column, name in enumerate(AFFECT):
        known = ~np.isnan(target[:, column])
        if known.any():
            x, y = (values[known, column].astype(np.float64) for values in (predicted, target))
            result[name] = {"faces": int(known.sum())} | _agreement(x, y)
    return result


def _agreement(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> dict[str, float]:
    """AFFECT_SCORES of (n,) predictions x for (n,) targets y."""
    error = x - y
    covariance = float(((x - x.mean()) * (y - y.mean())).mean())
    spread, distance = x.var() + y.var(), (x.mean() - y.mean()) ** 2
    mse = float((error**2).mean())
    values = (
        2 * covariance / (spread + distance) if spread > 0 else 0.0,
        covariance / float(np.sqrt(x.var() * y.var())) if x.var() > 0 and y.var() > 0 else 0.0,
        (np.sign(x) == np.sign(y)).mean(),
        mse**0.5,
        np.abs(error).mean(),
        mse,
    )
    return {name: float(value) for name, value in zip(AFFECT_SCORES, values, strict=True)}


def affect_epoch_metrics(predicted: Floats, target: Floats) -> dict[str, float]:
    """The numbers that a training loop logs: CCC and RMSE of valence, of arousal, and their means `ccc` and `rmse`.

    Args, raises: as `affect_scores`.
    """
    scores = affect_scores(predicted, target)
    kept = {kind: {name: values[kind] for name, values in scores.items()} for kind in ("ccc", "rmse")}
    means = {kind: sum(values.values()) / len(values) for kind, values in kept.items() if values}
    return means | {f"{name}_{kind}": v for kind, values in kept.items() for name, v in values.items()}


def confusion_counts(labels: Ints, predicted: Ints, classes: int) -> npt.NDArray[np.int64]:
    """(k, k) int64: how many faces of the row's class were taken for the column's."""
    cells = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes)


def summary(confusion: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float64]]:
    """Scores that a confusion matrix determines, for one matrix (k, k) or a stack of them (..., k, k).

    Returns:
        accuracy, macro_f1, weighted_f1 and mean_recall, each of shape (...).
    """
    hits, support, predicted = _margins(confusion)
    total = support.sum(-1)
    occurring = (support > 0).sum(-1)
    recall = hits / np.maximum(support, 1)  # 0 for a class that does not occur, which so adds nothing to the sums
    f1 = np.where(support > 0, 2 * hits / np.maximum(support + predicted, 1), 0)
    return {
        "accuracy": hits.sum(-1) / total,
        "macro_f1": f1.sum(-1) / occurring,
        "weighted_f1": (f1 * support).sum(-1) / total,
        "mean_recall": recall.sum(-1) / occurring,
    }


def _margins(confusion: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], ...]:
    """Hits, faces and predictions of each class, (..., k) float64."""
    counts = confusion.astype(np.float64)
    return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)


def _likelihood(probabilities: Floats, labels: Ints) -> dict[str, float]:
    """Share of faces whose label is among the two likeliest, and the mean negative log-likelihood."""
    own = probabilities[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]  # ties go to the first, as argmax has it
    rank = (probabilities > own).sum(1) + ((probabilities == own) & earlier).sum(1)
    nll = -np.log(np.maximum(own.astype(np.float64), FLOOR)).mean()
    return {"top2": float((rank < 2).mean()), "nll": float(nll)}


def _check(probabilities: Floats, labels: Ints, classes: int) -> None:
    if probabilities.shape != (len(labels), classes) or not len(labels):
        raise ValueError(f"probabilities must be ({len(labels)}, {classes}) for some faces, got {probabilities.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must be 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities must be finite, got NaN or infinity")
