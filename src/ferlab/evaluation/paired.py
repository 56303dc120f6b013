"""Two models on the same faces: how far apart are they, and is it more than noise?

Only the faces that one gets right and the other wrong tell them apart, which is far less noisy than two intervals side
by side (Dietterich 1998, "Approximate statistical tests for comparing supervised classification learning algorithms").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
ALPHA = 0.05


@dataclass(frozen=True)
class Difference:
    """The accuracy of a model less that of the reference.

    Attributes:
        accuracy, interval: as shares of the faces, with the 95 % paired bootstrap interval.
        only_here, only_reference: faces that one gets right and the other wrong; None if either is a mean over seeds,
            for then there is no single answer to count.
        p: see `p_value`.
        p_holm: corrected for how many models were compared, or None.
        words: "better", "worse", or "within noise": the interval holds 0, or p (p_holm if there is one) is above ALPHA.
    """

    accuracy: float
    interval: tuple[float, float]
    only_here: int | None
    only_reference: int | None
    p: float
    p_holm: float | None
    words: str


def difference(
    here: Floats, reference: Floats, single: bool, resamples: int, seed: int, p_holm: float | None = None
) -> Difference:
    """Compare two models face by face.

    Args:
        here, reference: (n,) for each face 1 if it is answered right and 0 if not, or the mean of that over seeds.
        single: both are one model, so that McNemar's test applies.
        resamples, seed: of the bootstrap.
        p_holm: the corrected p, if several models were compared and no reference was chosen beforehand.
    """
    accuracy = float((here - reference).mean())
    low, high = mean_interval(here - reference, resamples, seed)
    only_here, only_reference = (int((a > b).sum()) for a, b in ((here, reference), (reference, here)))
    p = p_value(here, reference, single)
    doubt = low <= 0 <= high or (p if p_holm is None else p_holm) > ALPHA
    words = "within noise" if doubt else "better" if accuracy > 0 else "worse"
    counted = (only_here, only_reference) if single else (None, None)
    return Difference(accuracy, (low, high), counted[0], counted[1], p, p_holm, words)


def p_value(here: Floats, reference: Floats, single: bool) -> float:
    """McNemar's exact p-value; for means over seeds, of which none has one answer a face, that of the paired z-test."""
    if single:
        return mcnemar(int((here > reference).sum()), int((reference > here).sum()))
    apart = here - reference
    mean, error = float(apart.mean()), float(apart.std()) / sqrt(len(apart))
    return erfc(abs(mean) / error / sqrt(2)) if error > 0 else float(mean == 0)


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected so that none of all is called significant by chance more often than ALPHA (Holm 1979)."""
    order, corrected, largest = np.argsort(p), [1.0] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = largest
    return corrected


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
