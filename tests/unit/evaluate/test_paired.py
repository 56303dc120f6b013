from math import comb

import numpy as np
import pytest

from ferlab.evaluate.paired import Difference, difference, mcnemar, mean_interval


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
    assert (found.value, found.only_here, found.only_reference) == (pytest.approx(0.015), 15, 0)
    assert found.p == 2 / 2**15
    assert found.words == "better"
    assert 0 < found.low < 0.015 < found.high < 0.025  # the gain's own spread is 0.4 points, a model's 1.4
    assert mean_interval(better, 2000, 0)[0] < mean_interval(right, 2000, 0)[1]  # they overlap


def test_a_mean_over_seeds_has_no_p():
    here, there = np.array([1, 0.5, 0, 1]), np.array([0, 0.5, 0, 1.0])
    found = difference(here, there, False, 100, 0)
    assert found.value == 0.25
    assert (found.p, found.only_here, found.only_reference) == (None, None, None)


@pytest.mark.parametrize(
    ("value", "low", "high", "p", "words"),
    [
        (0.01, 0.005, 0.02, 0.001, "better"),
        (-0.01, -0.02, -0.005, None, "worse"),
        (0.01, -0.001, 0.02, 0.04, "within noise"),
        (0.01, 0.0, 0.02, 0.04, "within noise"),
        (-0.01, -0.02, -0.001, 0.06, "within noise"),  # either of the two is doubt enough
    ],
)
def test_words(value, low, high, p, words):
    assert Difference(value, low, high, p=p).words == words
