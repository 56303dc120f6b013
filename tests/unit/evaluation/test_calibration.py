import numpy as np
import pytest

from ferlab.evaluation.calibration import cross_fitted, fit_temperature, reliability
from ferlab.runner import softmax


def two(confidence):
    """Two-class probabilities with the first class at `confidence`."""
    return np.stack([confidence, 1 - np.asarray(confidence)], 1)


def sampled(n, temperature, seed=0, k=7):
    """Logits whose labels were drawn from softmax(logits / temperature): the best temperature is known."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n, k))
    labels = (rng.random((n, 1)) > softmax(logits / temperature).cumsum(1)).sum(1)
    return logits, labels


def test_ece_matches_values_computed_by_hand():
    # Five bins of 0.2. Bin (0.6, 0.8]: 0.7 right, 0.7 wrong, 0.8 right: accuracy 2/3, confidence 2.2/3.
    # Bin (0.8, 1]: 0.9 right, 1.0 right, 0.95 wrong: accuracy 2/3, confidence 2.85/3. Bin (0.4, 0.6]: 0.6 wrong.
    probabilities = two([0.7, 0.7, 0.8, 0.9, 1.0, 0.95, 0.6])
    labels = np.array([0, 1, 0, 0, 0, 1, 1])
    curve = reliability(probabilities, labels, bins=5)
    assert curve.count == [0, 0, 1, 3, 3]
    np.testing.assert_allclose(curve.accuracy[2:], [0, 2 / 3, 2 / 3])
    np.testing.assert_allclose(curve.confidence[2:], [0.6, 2.2 / 3, 0.95])
    assert curve.accuracy[:2] == curve.confidence[:2] == [None, None]
    assert curve.ece == pytest.approx((1 * 0.6 + 3 * abs(2 - 2.2) / 3 + 3 * abs(2 - 2.85) / 3) / 7)


def test_ece_is_zero_when_confidence_is_accuracy_and_uses_fifteen_bins():
    assert reliability(two([0.75] * 4), np.array([0, 0, 0, 1])).ece == pytest.approx(0)
    # 0.61 and 0.69 share a bin of a tenth, but not one of a fifteenth: the gaps do not cancel.
    fine = reliability(two([0.61, 0.69]), np.array([0, 1]))
    assert len(fine.count) == 15
    assert fine.ece == pytest.approx((0.39 + 0.69) / 2)


@pytest.mark.parametrize("factor", [0.5, 1.7, 4.0])
def test_temperature_follows_a_known_scale_exactly(factor):
    logits, labels = sampled(2000, 1.0)
    assert fit_temperature(logits * factor, labels) == pytest.approx(factor * fit_temperature(logits, labels), rel=1e-9)


def test_temperature_recovers_the_one_that_labels_were_drawn_with():
    assert fit_temperature(*sampled(20_000, 2.0)) == pytest.approx(2.0, rel=0.03)


def test_no_other_temperature_is_likelier():
    logits, labels = sampled(500, 1.3, seed=4)
    best = fit_temperature(logits, labels)

    def nll(temperature):
        return -np.log(softmax(logits / temperature)[np.arange(500), labels]).mean()

    assert all(nll(best) < nll(best * step) for step in (0.9, 0.999, 1.001, 1.1))


def test_temperature_does_not_care_for_a_constant_added_to_a_row():
    logits, labels = sampled(300, 1.5)
    assert fit_temperature(logits + np.arange(300)[:, None], labels) == pytest.approx(fit_temperature(logits, labels))


def test_perfect_and_hopeless_networks_get_the_limits():
    logits = np.eye(3) * 5
    assert fit_temperature(logits, np.array([0, 1, 2])) == pytest.approx(0.05)
    assert fit_temperature(logits, np.array([1, 2, 0])) == pytest.approx(20.0)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="finite"):
        fit_temperature(np.array([[np.nan, 0.0]]), np.array([0]))
    with pytest.raises(ValueError, match="2 labels"):
        fit_temperature(np.zeros((3, 2)), np.array([0, 1]))


def test_cross_fitting_calibrates_and_is_deterministic():
    logits, labels = sampled(3000, 3.0)
    before, after = reliability(softmax(logits), labels), reliability(cross_fitted(logits, labels, 0), labels)
    assert before.ece > 0.2
    assert after.ece < 0.04
    np.testing.assert_array_equal(cross_fitted(logits, labels, 0), cross_fitted(logits, labels, 0))
    assert (cross_fitted(logits, labels, 0) != cross_fitted(logits, labels, 1)).any()


def test_no_face_is_scored_with_a_temperature_that_it_helped_to_fit():
    logits, labels = sampled(40, 1.0, seed=2)
    normal = cross_fitted(logits, labels, seed=0)
    changed = labels.copy()
    changed[7] = (labels[7] + 1) % 7
    with_other_label = cross_fitted(logits, changed, seed=0)
    np.testing.assert_array_equal(normal[7], with_other_label[7])
    moved = (normal != with_other_label).any(1)
    assert moved.sum() == 40 - 8  # the other four folds' faces all feel it


def test_too_few_faces_to_cross_fit():
    with pytest.raises(ValueError, match="at least 5"):
        cross_fitted(np.zeros((4, 2)), np.zeros(4, int), 0)
