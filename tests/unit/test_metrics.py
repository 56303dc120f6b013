import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from ferlab.metrics import classification, confusion_counts, expression_epoch_metrics, summary

NAMES = ("anger", "fear", "happiness")
# Five faces: anger right, anger taken for fear, fear right, fear right, happiness taken for anger.
LABELS = np.array([0, 0, 1, 1, 2])
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.5, 0.3], [0.1, 0.9, 0.0], [0.7, 0.2, 0.1]])


def drawn(n=400, k=7, seed=0, classes=None):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(k), n)
    return probabilities, rng.choice(k if classes is None else classes, n)


def test_scores_match_values_computed_by_hand():
    result = classification(PROBABILITIES, LABELS, NAMES)
    assert result.confusion.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert result.support.tolist() == [2, 2, 1]
    np.testing.assert_allclose(result.recall, [1 / 2, 1, 0])
    np.testing.assert_allclose(result.precision, [1 / 2, 2 / 3, np.nan])
    np.testing.assert_allclose(result.f1, [1 / 2, 4 / 5, 0])
    expected = {
        "accuracy": 3 / 5,
        "macro_f1": (0.5 + 0.8 + 0) / 3,
        "weighted_f1": (2 * 0.5 + 2 * 0.8) / 5,
        "mean_recall": 0.5,
        "top2": 4 / 5,  # the last face's happiness is third
        "nll": -np.log([0.8, 0.3, 0.5, 0.9, 0.1]).mean(),
    }
    assert result.scores == pytest.approx(expected)


@pytest.mark.parametrize("classes", [None, [0, 2, 5]])
def test_scores_equal_scikit_learn_over_the_classes_that_occur(classes):
    probabilities, labels = drawn(classes=classes)
    predicted, present = probabilities.argmax(1), np.unique(labels)
    result = classification(probabilities, labels, list("abcdefg"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of predicted classes that do not occur
        balanced = balanced_accuracy_score(labels, predicted)
    assert result.scores == pytest.approx(
        {
            "accuracy": accuracy_score(labels, predicted),
            "macro_f1": f1_score(labels, predicted, labels=present, average="macro"),
            "weighted_f1": f1_score(labels, predicted, labels=present, average="weighted"),
            "mean_recall": balanced,
            "top2": top_k_accuracy_score(labels, probabilities, k=2, labels=range(7)),
            "nll": log_loss(labels, probabilities, labels=range(7)),
        }
    )
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=range(7), zero_division=0
    )
    np.testing.assert_array_equal(result.confusion, confusion_matrix(labels, predicted, labels=range(7)))
    np.testing.assert_array_equal(result.support, support)
    np.testing.assert_allclose(np.nan_to_num(result.precision), precision)
    np.testing.assert_allclose(result.recall[present], recall[present])
    np.testing.assert_allclose(result.f1[present], f1[present])


def test_expression_epoch_metrics_are_the_same_numbers():
    probabilities, labels = drawn(seed=3)
    scores = classification(probabilities, labels, list("abcdefg")).scores
    epoch = expression_epoch_metrics(probabilities, labels)
    assert set(epoch) == {"accuracy", "macro_f1", "mean_recall", "top2", "nll"}
    assert epoch == pytest.approx({name: scores[name] for name in epoch}, abs=0)
    assert all(type(value) is float for value in epoch.values())


def test_absent_class_has_no_recall_and_stays_out_of_averages_but_its_predictions_cost():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.1, 0.2, 0.7]])
    result = classification(probabilities, np.array([0, 1]), NAMES)
    assert np.isnan(result.recall[2])
    assert np.isnan(result.f1[2])
    assert result.precision[2] == 0
    assert result.scores["mean_recall"] == pytest.approx(0.5)
    assert result.scores["macro_f1"] == pytest.approx(0.5)


def test_ties_go_to_the_first_class_as_argmax_has_it():
    tied = np.full((3, 3), 1 / 3)
    scores = expression_epoch_metrics(tied, np.array([0, 1, 2]))
    assert scores["accuracy"] == pytest.approx(1 / 3)
    assert scores["top2"] == pytest.approx(2 / 3)


def test_certain_and_wrong_has_a_finite_likelihood():
    assert expression_epoch_metrics(np.array([[1.0, 0.0]]), np.array([1]))["nll"] == pytest.approx(-np.log(1e-12))


def test_summary_of_a_stack_is_the_stack_of_summaries():
    matrices = [confusion_counts(labels, p.argmax(1), 7) for p, labels in (drawn(seed=s) for s in range(3))]
    stacked = summary(np.stack(matrices))
    for i, matrix in enumerate(matrices):
        assert {name: values[i] for name, values in stacked.items()} == pytest.approx(summary(matrix))


@pytest.mark.parametrize(
    ("probabilities", "labels", "said"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "some faces"),
        (PROBABILITIES, LABELS[:4], r"\(4, 3\)"),
        (PROBABILITIES, LABELS - 1, "0 to 2, got -1"),
        (PROBABILITIES, LABELS + 1, "got 1 to 3"),
        (np.where(PROBABILITIES == 0.9, np.nan, PROBABILITIES), LABELS, "finite"),
    ],
)
def test_nonsense_is_refused(probabilities, labels, said):
    with pytest.raises(ValueError, match=said):
        expression_epoch_metrics(probabilities, labels)
