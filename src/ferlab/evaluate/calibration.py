"""Does 80 % confidence mean 80 % correct? Guo et al. 2017, "On calibration of modern neural networks"."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.runner import softmax

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
BINS = 15  # as in the paper
FOLDS = 5
# Faces that are all classified right want temperature 0, and all wrong infinity; no trained network is out here.
COLDEST, HOTTEST = 0.05, 20.0


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy over equal-width bins ((m - 1) / M, m / M].

    Attributes:
        confidence: (M,) mean probability of the predicted class; NaN in an empty bin.
        accuracy: (M,) share of correct predictions; NaN in an empty bin.
        count: (M,) faces.
    """

    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    count: npt.NDArray[np.int64]

    @property
    def ece(self) -> float:
        """Expected calibration error (eq. 3): the gap of each bin, weighted by its faces; 0 is perfect, 1 the worst."""
        full = self.count > 0
        gaps = np.abs(self.accuracy[full] - self.confidence[full])
        return float((gaps * self.count[full]).sum() / self.count.sum())


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
    with np.errstate(invalid="ignore"):  # an empty bin is NaN
        return Reliability(
            np.bincount(place, confidence, bins) / count, np.bincount(place, correct, bins) / count, count
        )


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
    n = len(labels)
    if n < folds:
        raise ValueError(f"cross-fitting needs at least {folds} faces, got {n}")
    fold = np.random.default_rng(seed).permutation(n) % folds
    result = np.empty(logits.shape, np.float64)
    for part in range(folds):
        inside = fold == part
        result[inside] = softmax(logits[inside] / fit_temperature(logits[~inside], labels[~inside]))
    return result
