import numpy as np
import pytest

from ferlab.evaluation.bootstrap import affect_intervals, intervals
from ferlab.metrics import affect_scores, confusion_counts, summary


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


def drawn_affect(n=200, seed=2, unknown=0.0):
    rng = np.random.default_rng(seed)
    target = rng.uniform(-1, 1, (n, 2))
    predicted = np.clip(0.5 * target + rng.normal(0.1, 0.3, (n, 2)), -1, 1)
    target[rng.random((n, 2)) < unknown] = np.nan
    return predicted.astype(np.float32), target.astype(np.float32)


@pytest.mark.parametrize("unknown", [0.0, 0.3])
def test_sums_give_what_scoring_each_resample_gives(unknown):
    predicted, target = drawn_affect(unknown=unknown)
    rng = np.random.default_rng(7)
    brute = [affect_scores(predicted[rows], target[rows]) for rows in (rng.integers(200, size=200) for _ in range(300))]
    got = affect_intervals(predicted, target, 300, 7)
    for score in ("ccc", "rmse"):
        values = np.array([[scores[name][score] for name in ("valence", "arousal")] for scores in brute])
        expected = np.percentile(np.column_stack([values, values.mean(1)]), [2.5, 97.5], axis=0)
        pairs = [got[name][score] for name in ("valence", "arousal", "mean")]
        np.testing.assert_allclose(np.array(pairs).T, expected, rtol=1e-9)


def test_interval_of_rmse_is_the_normal_one_for_many_faces():
    rng = np.random.default_rng(0)
    error = rng.choice([0.1, 0.3], (2000, 2))  # mean square 0.05, its standard error 0.04 / √2000
    low, high = affect_intervals(error, np.zeros((2000, 2)), 2000, 0)["valence"]["rmse"]
    mse = (error[:, 0] ** 2).mean()
    spread = 1.96 * 0.04 / 2000**0.5
    assert (low, high) == pytest.approx(((mse - spread) ** 0.5, (mse + spread) ** 0.5), abs=0.0005)


def test_resamples_that_lost_a_dimension_say_nothing_of_it():
    predicted, target = drawn_affect(20)
    target[1:, 0] = np.nan  # a third of the resamples do not draw the only face with a valence
    result = affect_intervals(predicted, target, 200, 0)
    error = abs(float(predicted[0, 0]) - float(target[0, 0]))
    assert result["valence"]["rmse"] == pytest.approx((error, error))
    assert result["valence"]["ccc"] == (0, 0)
    assert np.isfinite(result["mean"]["ccc"]).all()
    assert set(affect_intervals(predicted[1:], target[1:], 10, 0)) == {"arousal", "mean"}


def test_affect_intervals_are_seeded_and_hold_the_score():
    predicted, target = drawn_affect()
    result = affect_intervals(predicted, target, 300, 3)
    assert result == affect_intervals(predicted, target, 300, 3)
    assert result != affect_intervals(predicted, target, 300, 4)
    for name, scores in affect_scores(predicted, target).items():
        assert all(result[name][score][0] < scores[score] < result[name][score][1] for score in ("ccc", "rmse"))
