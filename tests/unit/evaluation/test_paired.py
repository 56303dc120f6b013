from math import comb

import numpy as np
import pytest

from ferlab.evaluation.paired import difference, holm, mcnemar, mean_interval, p_value


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 0, 1.0),  # nothing tells them apart
        (0, 5, 2 / 32),
        (5, 0, 2 / 32),
        (1, 5, 2 * (1 + 6) / 64),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (3, 3, 1.0),  # twice the tail is 84/64
        (0, 2000, 0.0),  # 2 / 2**2000 is below the least float
    ],
)
def test_mcnemar_by_hand(first, second, p):
    assert mcnemar(first, second) == pytest.approx(p, abs=0, rel=1e-15)


def test_mcnemar_of_many_faces_is_the_binomial_tail():
    tail = sum(comb(1200, i) for i in range(541)) / 2**1200
    assert mcnemar(660, 540) == mcnemar(540, 660) == pytest.approx(2 * tail, rel=1e-12)


def test_interval_agrees_with_drawing_faces_one_by_one():
    rng = np.random.default_rng(0)
    here, there = rng.random(400) < 0.7, rng.random(400) < 0.6
    values = here.astype(float) - there
    drawn = [values[rng.integers(0, 400, 400)].mean() for _ in range(4000)]
    assert mean_interval(values, 8000, 1) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.006)


def test_interval_of_means_over_seeds_agrees_with_drawing_faces_one_by_one():
    rng = np.random.default_rng(0)
    values = (rng.random((3, 300)) < 0.7).mean(0) - (rng.random((2, 300)) < 0.6).mean(0)
    drawn = [values[rng.integers(0, 300, 300)].mean() for _ in range(4000)]
    assert mean_interval(values, 8000, 1) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.005)


def test_interval_is_seeded_and_a_constant_has_none():
    values = np.arange(20) % 3
    assert mean_interval(values, 50, 4) == mean_interval(values, 50, 4) != mean_interval(values, 50, 5)
    assert mean_interval(np.full(7, 0.5), 50, 0) == (0.5, 0.5)


def test_pairing_sees_what_two_intervals_hide():
    right = np.arange(1000) < 700
    better = right | (np.arange(1000) >= 985)  # 15 faces more and none less: 70 % and 71.5 %
    found = difference(better.astype(float), right.astype(float), True, 2000, 0)
    assert (found.accuracy, found.only_here, found.only_reference) == (pytest.approx(0.015), 15, 0)
    assert found.p == 2 / 2**15
    assert found.words == "better"
    assert (
        0 < found.interval[0] < 0.015 < found.interval[1] < 0.025
    )  # the gain's own spread is 0.4 points, a model's 1.4
    assert mean_interval(better, 2000, 0)[0] < mean_interval(right, 2000, 0)[1]  # they overlap


def test_a_mean_over_seeds_has_the_p_of_the_paired_z_test():
    here, there = np.array([1, 0.5, 0, 1]), np.array([0, 0.5, 0, 1.0])
    found = difference(here, there, False, 100, 0)
    assert found.accuracy == 0.25
    assert (found.only_here, found.only_reference) == (None, None)
    # Mean 1/4 and deviation √3/4, over four faces: z = 2/√3, and 24.8 % of the normal distribution lie beyond ± that.
    assert found.p == pytest.approx(0.2482, abs=1e-4)
    assert p_value(here, here, False) == 1  # all differences are zero
    assert p_value(here + 0.5, here, False) == 0


def test_holm_by_hand():
    # The smallest is multiplied by 4, the next by 3, and none may be below one before it: 0.03, 0.03 (not 0.02), …
    assert holm([0.0075, 0.01, 0.5, 0.02]) == pytest.approx([0.03, 0.03, 0.5, 0.04])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])
    assert holm([0.03]) == [0.03]


@pytest.mark.parametrize(
    ("better", "worse", "p_holm", "words"),
    [
        (40, 5, None, "better"),
        (5, 40, None, "worse"),
        (40, 5, 0.06, "within noise"),  # plain it was better
        (40, 5, 0.04, "better"),
        (16, 5, None, "better"),
        (12, 5, None, "within noise"),
    ],
)
def test_words(better, worse, p_holm, words):
    here = np.arange(200) < better
    there = np.arange(200) >= 200 - worse
    assert difference(here.astype(float), there.astype(float), True, 2000, 0, p_holm).words == words


def test_eight_equal_models_are_hardly_ever_called_different():
    """The first row is the best of them on these very faces."""
    rng = np.random.default_rng(0)
    wrong = {"plain": 0, "corrected": 0}
    for _ in range(100):
        right = rng.random((8, 800)) < rng.beta(1.2, 0.6, 800)
        right = right[np.argsort(-right.mean(1))]
        pairs = [(i, j) for i in range(8) for j in range(i + 1, 8)]
        plain = [p_value(right[i].astype(float), right[j].astype(float), True) for i, j in pairs]
        for name, values in (("plain", plain), ("corrected", holm(plain))):
            wrong[name] += min(p for (i, _), p in zip(pairs, values, strict=True) if i == 0) < 0.05
    assert wrong["plain"] > 30
    assert wrong["corrected"] <= 8
