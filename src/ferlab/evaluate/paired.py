"""Two models on the same faces: how far apart are they, and is it more than noise?

Only the faces that one gets right and the other wrong tell them apart, which is far less noisy than two intervals side
by side (Dietterich 1998, "Approximate statistical tests for comparing supervised classification learning algorithms").
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
ALPHA = 0.05


@dataclass(frozen=True)
class Difference:
    """The accuracy of a model less that of the reference.

    Attributes:
        value, low, high: as shares of the faces, with the 95 % paired bootstrap interval.
        only_here, only_reference: faces that one gets right and the other wrong; None if either is a mean over seeds,
            for then there is no single answer to count.
        p: McNemar's exact p-value of these two, or None.
    """

    value: float
    low: float
    high: float
    only_here: int | None = None
    only_reference: int | None = None
    p: float | None = None

    @property
    def words(self) -> str:
        """Better, worse, or within noise: the interval holds 0, or p is above 0.05."""
        if self.low <= 0 <= self.high or (self.p is not None and self.p > ALPHA):
            return "within noise"
        return "better" if self.value > 0 else "worse"


def difference(here: Floats, reference: Floats, single: bool, resamples: int, seed: int) -> Difference:
    """Compare two models face by face.

    Args:
        here, reference: (n,) for each face 1 if it is answered right and 0 if not, or the mean of that over seeds.
        single: both are one model, so that McNemar's test applies.
        resamples, seed: of the bootstrap.
    """
    value = float((here - reference).mean())
    low, high = mean_interval(here - reference, resamples, seed)
    if not single:
        return Difference(value, low, high)
    counts = int((here > reference).sum()), int((reference > here).sum())
    return Difference(value, low, high, *counts, mcnemar(*counts))


def mean_interval(values: Floats, resamples: int, seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean (Efron and Tibshirani 1993, ch. 13).

    Drawing n faces with replacement is drawing from the multinomial distribution how often each distinct value occurs,
    so no face has to be drawn.

    Args:
        values: (n,), one a face.
        resamples: how many times n faces are drawn.
        seed: of the draws.
    """
    distinct, counts = np.unique(values, return_counts=True)
    n = len(values)
    means = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples) @ distinct / n
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def mcnemar(first: int, second: int) -> float:
    """McNemar's exact two-sided p-value: how often a fair coin falls at least as unevenly.

    Args:
        first, second: faces that only the first, and only the second, model gets right.

    Returns:
        min(1, 2 P(X <= min(first, second))) for X ~ Binomial(first + second, 1/2); integers until the last division.
    """
    n = first + second
    ways, tail = 1, 0  # of choosing i of n, and the sum so far
    for i in range(min(first, second) + 1):
        tail += ways
        ways = ways * (n - i) // (i + 1)
    return float(min(1.0, 2 * tail / 2**n))
