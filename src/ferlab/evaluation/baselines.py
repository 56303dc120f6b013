"""What a score has to beat: guessing by class frequency, naming the commonest class, answering the mean affect."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.data.source import Source, Split
from ferlab.labels import AFFECT
from ferlab.metrics import affect_scores, summary

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
    train = source.splits.get("train")
    known = train if train is not None and train.counts(k).any() else split
    counts = known.counts(k)
    support = split.counts(k)
    commonest = int(counts.argmax())
    majority = np.zeros((k, k), np.int64)
    majority[:, commonest] = support
    scores = {
        "random": {name: float(values.mean()) for name, values in summary(_guesses(support, counts, seed)).items()},
        "majority": {name: float(value) for name, value in summary(majority).items()},
    }
    return scores, f"class frequencies of {_whose(known, train)}; the commonest class is {source.labels[commonest]}"


def affect_baseline(source: Source, split: Split, target: npt.NDArray[Any]) -> tuple[dict[str, dict[str, float]], str]:
    """Scores of one answer for every face: the mean valence and arousal of the training split.

    Where the source has none it is the mean of the evaluated split itself, which flatters it: no constant has a smaller
    RMSE.

    Args:
        source, split: the data.
        target: (n, 2) affect of the scored faces, NaN where unknown.

    Returns:
        "valence" and "arousal", where known, each with metrics.AFFECT_SCORES; and a sentence that says which answer.
    """
    train = source.splits.get("train")
    needed = ~np.isnan(target).all(0)
    known = train if train is not None and _rated(train)[needed].all() else split
    assert known.affect is not None
    answer = np.zeros(2)
    answer[needed] = np.nanmean(known.affect[:, needed], axis=0, dtype=np.float64)
    scores = affect_scores(np.broadcast_to(answer, target.shape), target)
    for values in scores.values():
        values.update(ccc=0.0, pearson=0.0)  # a constant's, exactly: rounding may leave them at -1e-17
    said = " and ".join(f"{name} {answer[AFFECT.index(name)]:+.2f}" for name in scores)
    return scores, f"the mean of {_whose(known, train)} for every face, {said}"


def _whose(known: Split, train: Split | None) -> str:
    return "the training split" if known is train else "the evaluated split, for want of a training split"


def _rated(split: Split) -> npt.NDArray[np.bool_]:
    """Whether some face knows valence, and whether some face knows arousal."""
    known = np.zeros((0, 2)) if split.affect is None else ~np.isnan(split.affect)
    return np.asarray(known.any(0))


def _guesses(support: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Confusion matrices (DRAWS, k, k) of guesses drawn with the frequencies `counts`."""
    rng = np.random.default_rng(seed)
    rows = [rng.multinomial(n, counts / counts.sum(), size=DRAWS) for n in support]
    return np.stack(rows, axis=1)
