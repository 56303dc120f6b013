"""Cutting a part off a split to select on, for datasets that have none."""

import numpy as np
import numpy.typing as npt


def stratified_cut(labels: npt.NDArray[np.int64], share: float, seed: int) -> npt.NDArray[np.int64]:
    """The rows to hold out: the same share of every class, drawn at random.

    Of a class with n faces round(share · n) are held out, at least one and at most n - 1. What is drawn of a class
    depends on the seed and the order of its own faces alone, and a larger share holds out the same faces and more.

    Args:
        labels: (n,) class ids; -1, for no class, counts as one.
        share: above 0 and below 1.
        seed: of the draw.

    Returns:
        (m,) rows, rising.
    """
    held = [np.empty(0, np.int64)]
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        number = min(max(1, round(share * len(rows))), len(rows) - 1)
        rng = np.random.default_rng([seed, int(label) + 1])  # a seed takes no -1
        held.append(rng.permutation(rows)[:number])
    return np.sort(np.concatenate(held))
