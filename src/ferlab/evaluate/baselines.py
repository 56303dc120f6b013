"""What a score has to beat: guessing by class frequency, and always naming the commonest class."""

import numpy as np
import numpy.typing as npt

from ferlab.data.source import Source, Split
from ferlab.metrics import summary

DRAWS = 200  # of the random baseline, averaged: its spread is then a hundredth of a point


def baselines(source: Source, split: Split, seed: int) -> tuple[dict[str, dict[str, float]], str]:
    """Scores of two classifiers that look at no face.

    Both know the class frequencies of the training split. Where the source has none they use those of the evaluated
    split itself, which flatters them a little.

    Returns:
        "random" and "majority", each with accuracy, macro_f1, weighted_f1 and mean_recall; and a sentence that says
        whose frequencies they are and which class is the commonest.
    """
    k = len(source.labels)
    known = source.splits.get("train", split)
    counts = known.counts(k)
    support = split.counts(k)
    commonest = int(counts.argmax())
    majority = np.zeros((k, k), np.int64)
    majority[:, commonest] = support
    scores = {
        "random": {name: float(values.mean()) for name, values in summary(_guesses(support, counts, seed)).items()},
        "majority": {name: float(value) for name, value in summary(majority).items()},
    }
    whose = "the training split" if "train" in source.splits else "the evaluated split, for want of a training split"
    return scores, f"class frequencies of {whose}; the commonest class is {source.labels[commonest]}"


def _guesses(support: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Confusion matrices (DRAWS, k, k) of guesses drawn with the frequencies `counts`."""
    rng = np.random.default_rng(seed)
    rows = [rng.multinomial(n, counts / counts.sum(), size=DRAWS) for n in support]
    return np.stack(rows, axis=1)
