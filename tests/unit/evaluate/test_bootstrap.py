import numpy as np
import pytest

from ferlab.evaluate.bootstrap import intervals
from ferlab.metrics import confusion_counts, summary


def test_interval_of_accuracy_is_the_binomial_one():
    confusion = np.array([[350, 150], [150, 350]])  # 70 % of 1000: standard error √(0.7·0.3/1000) = 1.449 points
    low, high = intervals(confusion, 4000, 0)["accuracy"]
    assert low == pytest.approx(0.7 - 1.96 * 0.01449, abs=0.002)
    assert high == pytest.approx(0.7 + 1.96 * 0.01449, abs=0.002)


def test_agrees_with_drawing_faces_one_by_one():
    rng = np.random.default_rng(1)
    labels = rng.choice(4, 300, p=[0.5, 0.3, 0.15, 0.05])
    predicted = np.where(rng.random(300) < 0.6, labels, rng.choice(4, 300))
    drawn = []
    for _ in range(1500):
        rows = rng.integers(0, 300, 300)
        drawn.append(summary(confusion_counts(labels[rows], predicted[rows], 4))["macro_f1"])
    got = intervals(confusion_counts(labels, predicted, 4), 4000, 0)["macro_f1"]
    assert got == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.012)


def test_is_seeded_and_holds_every_score():
    confusion = np.array([[40, 10, 0], [5, 30, 5], [1, 2, 7]])
    scores = summary(confusion)
    result = intervals(confusion, 500, 3)
    assert result == intervals(confusion, 500, 3)
    assert result != intervals(confusion, 500, 4)
    assert set(result) == set(scores)
    assert all(low < scores[name] < high for name, (low, high) in result.items())


def test_a_perfect_classifier_has_no_spread():
    assert intervals(np.diag([5, 3]), 100, 0)["macro_f1"] == (1.0, 1.0)
