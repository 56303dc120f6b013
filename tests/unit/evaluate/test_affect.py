import numpy as np
import pytest

from ferlab.evaluate.affect import score_affect

from .conftest import LABELS, made_source, made_split

NAN = float("nan")
# By hand: valence has means 1/2 and 1/2, variances 1/6 and 1/6, covariance 1/12; arousal is 0.2 too low throughout.
TARGET = np.array([[0, 0.3], [1, 0.5], [0.5, 0.7]], np.float32)
PREDICTED = np.array([[0, 0.1], [0.5, 0.3], [1, 0.5]], np.float32)


def scored(predicted, split, train=None, rows=None):
    rows = np.arange(len(split)) if rows is None else np.array(rows)
    splits = (split,) if train is None else (train, split)
    answers = np.asarray(predicted, np.float32)[rows][:, None]
    return score_affect(answers, split.affect[rows], rows, made_source(*splits), split, 200, 0)


def test_scores_and_their_means_by_hand():
    result = scored(PREDICTED, made_split([0, 1, 1], TARGET))
    valence, arousal, mean = (result.scores[name] for name in ("valence", "arousal", "mean"))
    assert valence["ccc"] == pytest.approx(2 / 12 / (1 / 6 + 1 / 6))
    assert valence["rmse"] == pytest.approx((1 / 6) ** 0.5)
    assert arousal["ccc"] == pytest.approx((0.16 / 3) / (0.16 / 3 + 0.04))
    assert arousal["rmse"] == pytest.approx(0.2)
    assert arousal["pearson"] == pytest.approx(1)
    assert mean["ccc"] == pytest.approx((1 / 2 + 4 / 7) / 2)
    assert mean["rmse"] == pytest.approx(((1 / 6) ** 0.5 + 0.2) / 2)
    assert "faces" not in mean
    assert set(result.intervals) == {"valence", "arousal", "mean"}


def test_the_answers_of_the_views_are_averaged():
    split = made_split([0, 1, 1], TARGET)
    views = np.stack([PREDICTED - 0.25, PREDICTED + 0.25], axis=1)
    result = score_affect(views, split.affect, np.arange(3), made_source(split), split, 10, 0)
    np.testing.assert_allclose(result.predicted, PREDICTED, atol=1e-7)


def test_each_dimension_is_scored_where_it_is_known():
    target = TARGET.copy()
    target[2, 0] = NAN
    result = scored(PREDICTED, made_split([0, 1, 1], target))
    assert result.scores["valence"]["faces"] == 2
    assert result.scores["valence"]["rmse"] == pytest.approx((0.25 / 2) ** 0.5)
    assert result.scores["arousal"]["faces"] == 3
    assert result.cautions == ("1 of 3 faces have no valence and were left out of its scores",)
    assert result.classes["happiness"].faces == 1  # its other face has no valence


def test_a_dimension_that_nobody_annotated_has_no_score():
    target = TARGET.copy()
    target[:, 0] = NAN
    result = scored(PREDICTED, made_split([0, 1, 1], target))
    assert set(result.scores) == set(result.intervals) == set(result.baseline) == {"arousal", "mean"}
    assert result.scores["mean"]["rmse"] == result.scores["arousal"]["rmse"]
    assert result.classes == {}
    assert "3 of 3 faces have no valence" in result.cautions[0]
    assert "valence" not in result.baseline_note


def test_class_means_by_hand():
    result = scored(PREDICTED, made_split([0, 1, 1], TARGET))
    assert list(result.classes) == list(LABELS)
    happiness = result.classes["happiness"]
    assert happiness.faces == 2
    np.testing.assert_allclose(happiness.true, [0.75, 0.6], rtol=1e-6)
    np.testing.assert_allclose(happiness.predicted, [0.75, 0.4], rtol=1e-6)


def test_a_face_without_a_label_counts_but_has_no_class():
    result = scored(PREDICTED, made_split([-1, 1, 1], TARGET))
    assert result.scores["valence"]["faces"] == 3
    assert set(result.classes) == {"happiness"}


def test_some_faces_alone_have_their_own_scores():
    result = scored(PREDICTED, made_split([0, 1, 1], TARGET))
    subset = result.subset(np.array([True, True, False]), 50, 0)
    assert set(subset) == {f"{name}_ccc{end}" for name in ("valence", "arousal") for end in ("", "_interval")}
    # Valence 0 and 1, answered 0 and 0.5: covariance 1/8, variances 1/4 and 1/16, means 1/4 apart.
    assert subset["valence_ccc"] == pytest.approx(2 / 8 / (1 / 4 + 1 / 16 + 1 / 16))
