"""How far a score would move had other faces been drawn: percentile bootstrap (Efron and Tibshirani 1993, ch. 13)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.labels import AFFECT
from ferlab.metrics import summary

Interval = tuple[float, float]


def intervals(confusion: npt.NDArray[Any], resamples: int, seed: int) -> dict[str, Interval]:
    """95 % percentile intervals of the scores that a confusion matrix determines.

    Drawing n faces with replacement and counting them is drawing a confusion matrix from the multinomial distribution
    with the observed cells' shares, so no face has to be drawn. The intervals say nothing of the spread over training
    seeds. A class that a resample lost is left out of its averages, as everywhere (see `ferlab.metrics`).

    Args:
        confusion: (k, k) counts of n faces.
        resamples: how many matrices are drawn.
        seed: of the draw.

    Returns:
        For accuracy, macro_f1, weighted_f1 and mean_recall the 2.5 % and 97.5 % percentiles.
    """
    k = len(confusion)
    n = int(confusion.sum())
    drawn = np.random.default_rng(seed).multinomial(n, confusion.ravel() / n, size=resamples).reshape(-1, k, k)
    return {name: _percentiles(values) for name, values in summary(drawn).items()}


def affect_intervals(
    predicted: npt.NDArray[Any], target: npt.NDArray[Any], resamples: int, seed: int
) -> dict[str, dict[str, Interval]]:
    """95 % percentile intervals of the CCC and RMSE of valence, of arousal, and of their means.

    Both scores follow from the sums of 1, x, y, x², y² and xy over the faces. A resample counts how often each face was
    drawn, so all its sums are one product of these counts with the faces' terms.

    Args:
        predicted: (n, 2) valence and arousal.
        target: (n, 2), NaN where unknown.
        resamples: how often n faces are drawn.
        seed: of the draw.

    Returns:
        "valence" and "arousal", where a face knows them, and "mean", each with the 2.5 % and 97.5 % percentiles of
        "ccc" and "rmse". A resample without a face that knows a dimension says nothing of it.
    """
    n = len(target)
    known = ~np.isnan(target)
    present = known.any(0)
    x, y = (np.where(known, values, 0).astype(np.float64)[:, present] for values in (predicted, target))
    terms = np.stack([known[:, present], x, y, x * x, y * y, x * y]).transpose(1, 0, 2)  # (n, 6, 1 or 2)
    rng = np.random.default_rng(seed)
    flat = terms.reshape(n, -1)
    sums = np.stack([np.bincount(rng.integers(n, size=n), minlength=n) @ flat for _ in range(resamples)])
    drawn = _affect_scores(sums.reshape(resamples, *terms.shape[1:]))
    names = [name for name, there in zip(AFFECT, present, strict=True) if there]
    result = {name: {key: _percentiles(values[:, i]) for key, values in drawn.items()} for i, name in enumerate(names)}
    return result | {"mean": {key: _percentiles(values.mean(1)) for key, values in drawn.items()}}


def _affect_scores(sums: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """CCC and RMSE (resamples, d) from sums (resamples, 6, d); NaN where no face was drawn."""
    with np.errstate(invalid="ignore"):
        x, y, xx, yy, xy = np.moveaxis(sums[:, 1:] / sums[:, :1], 1, 0)
    # s_x² + s_y² + (x̄ - ȳ)² is the mean of x² + y² less 2 x̄ ȳ; it is 0 only if every face has one and the same value.
    apart = xx + yy - 2 * x * y
    ccc = np.where(apart > 1e-12, 2 * (xy - x * y) / np.where(apart > 1e-12, apart, 1), 0 * apart)
    return {"ccc": ccc, "rmse": np.sqrt(np.maximum(xx + yy - 2 * xy, 0))}


def _percentiles(values: npt.NDArray[np.float64]) -> Interval:
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
