"""How far a score would move had other faces been drawn: percentile bootstrap (Efron and Tibshirani 1993, ch. 13)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.metrics import summary


def intervals(confusion: npt.NDArray[Any], resamples: int, seed: int) -> dict[str, tuple[float, float]]:
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
    result = {}
    for name, values in summary(drawn).items():
        low, high = np.percentile(values, [2.5, 97.5])
        result[name] = (float(low), float(high))
    return result
