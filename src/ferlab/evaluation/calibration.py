"""Does 80 % confidence mean 80 % correct? Guo et al. 2017, "On calibration of modern neural networks"."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ferlab.runner import softmax

if TYPE_CHECKING:
    from ferlab.evaluation.predictions import Predictions

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
BINS = 15  # as in the paper
FOLDS = 5
# Faces that are all classified right want temperature 0, and all wrong infinity; no trained network is out here.
COLDEST, HOTTEST = 0.05, 20.0
BEFORE, AFTER, OWN = "temperature 1", "cross-fitted temperature", "the bundle's temperature"


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy over M equal-width bins ((m - 1) / M, m / M].

    Attributes:
        confidence: mean probability of the predicted class in each bin; None in an empty one.
        accuracy: share of correct predictions in each bin; None in an empty one.
        count: faces in each bin.
        ece: expected calibration error (eq. 3): the gap of each bin, weighted by its faces; 0 is perfect, 1 the worst.
    """

    confidence: list[float | None]
    accuracy: list[float | None]
    count: list[int]
    ece: float


@dataclass(frozen=True)
class Calibration:
    """Whether confidences can be believed.

    Attributes:
        ece_before, ece_after, ece_bundle: at temperature 1, at a temperature fitted on other faces (None if there are
            too few), and at the bundle's own (None if that is 1).
        bins, folds: of the reliability curves, and of the cross-fitting.
        bundle_temperature: that of the bundle.
        fitted_temperature: fitted on all of these faces, to compare; no score uses it.
        curves: BEFORE, OWN and AFTER, those that there are -> reliability.
    """

    ece_before: float
    ece_after: float | None
    ece_bundle: float | None
    bins: int
    folds: int
    bundle_temperature: float
    fitted_temperature: float
    curves: dict[str, Reliability]


def calibration(predictions: "Predictions", seed: int) -> Calibration:
    """How well calibrated the expression head is.

    Args:
        predictions: of labelled faces, one at least.
        seed: of the folds of the cross-fitting.
    """
    labels, logits = predictions.labels, predictions.pooled_logits()
    curves = {BEFORE: reliability(softmax(logits), labels)}
    if predictions.temperature != 1:
        curves[OWN] = reliability(predictions.probabilities(), labels)
    if len(labels) >= FOLDS:
        curves[AFTER] = reliability(cross_fitted(logits, labels, seed), labels)
    ece = {name: curve.ece for name, curve in curves.items()}
    fitted = fit_temperature(logits, labels)
    return Calibration(ece[BEFORE], ece.get(AFTER), ece.get(OWN), BINS, FOLDS, predictions.temperature, fitted, curves)


def reliability(probabilities: Floats, labels: Ints, bins: int = BINS) -> Reliability:
    """The reliability curve of predictions.

    Args:
        probabilities: (n, k), n at least 1.
        labels: (n,) class ids.
        bins: number of bins.
    """
    confidence = probabilities.max(1).astype(np.float64)
    correct = probabilities.argmax(1) == labels
    place = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    count = np.bincount(place, minlength=bins)
    sure, right = (np.bincount(place, values, bins) / np.maximum(count, 1) for values in (confidence, correct))

    def listed(means: npt.NDArray[np.float64]) -> list[float | None]:
        return [float(mean) if n else None for mean, n in zip(means, count, strict=True)]

    ece = float((np.abs(right - sure) * count).sum() / count.sum())
    return Reliability(listed(sure), listed(right), count.tolist(), ece)


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """The temperature that makes the labels likeliest: softmax(logits / T) with the least negative log-likelihood.

    In b = 1 / T the loss is convex with the slope mean(sum_j p_j z_j - z_label), so bisection finds its only root, to
    twelve digits. Fit it on faces that the network was not trained on.

    Args:
        logits: (n, k), n at least 1.
        labels: (n,) class ids.

    Returns:
        T, from 0.05 to 20.

    Raises:
        ValueError: shapes that do not fit, or a logit that is not finite.
    """
    if logits.ndim != 2 or len(logits) != len(labels) or not len(labels) or not np.isfinite(logits).all():
        raise ValueError(f"logits must be finite, (n, k) for {len(labels)} labels, got {logits.shape}")
    centred = logits.astype(np.float64)
    centred = centred - centred.max(1, keepdims=True)
    own = centred[np.arange(len(labels)), labels].mean()
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(48):
        middle = (low * high) ** 0.5
        slope = (softmax(middle * centred) * centred).sum(1).mean() - own
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(1 / (low * high) ** 0.5)


def cross_fitted(logits: Floats, labels: Ints, seed: int, folds: int = FOLDS) -> npt.NDArray[np.float64]:
    """Calibrated probabilities (n, k): each face is scored with the temperature fitted on the other folds' faces.

    Raises:
        ValueError: fewer faces than folds.
    """
    from sklearn.model_selection import KFold

    if len(labels) < folds:
        raise ValueError(f"cross-fitting needs at least {folds} faces, got {len(labels)}")
    result = np.empty(logits.shape, np.float64)
    for rest, inside in KFold(folds, shuffle=True, random_state=seed).split(logits):
        result[inside] = softmax(logits[inside] / fit_temperature(logits[rest], labels[rest]))
    return result
