import numpy as np
import pytest

from ferlab.evaluation.affect import EDGES

from .conftest import LABELS, made_source, made_split, reported

NAN = float("nan")
# By hand: valence has means 1/2 and 1/2, variances 1/6 and 1/6, covariance 1/12; arousal is 0.2 too low throughout.
TARGET = np.array([[0, 0.3], [1, 0.5], [0.5, 0.7]], np.float32)
PREDICTED = np.array([[0, 0.1], [0.5, 0.3], [1, 0.5]], np.float32)


@pytest.fixture
def scored(answering):
    """A function that scores answers to a split by an affect-only bundle."""

    def score(predicted, split, **settings):
        return reported(answering(affect=predicted), made_source(split), bootstrap=200, **settings)

    return score


def test_scores_and_their_means_by_hand(scored):
    result = scored(PREDICTED, made_split([0, 1, 1], TARGET)).affect
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


def test_each_dimension_is_scored_where_it_is_known(scored):
    target = TARGET.copy()
    target[2, 0] = NAN
    report = scored(PREDICTED, made_split([0, 1, 1], target))
    result = report.affect
    assert result.scores["valence"]["faces"] == 2
    assert result.scores["valence"]["rmse"] == pytest.approx((0.25 / 2) ** 0.5)
    assert result.scores["arousal"]["faces"] == 3
    assert "1 of 3 faces have no valence and were left out of its scores" in report.cautions
    assert result.classes["happiness"].faces == 1  # its other face has no valence


def test_a_dimension_that_nobody_annotated_has_no_score(scored):
    target = TARGET.copy()
    target[:, 0] = NAN
    report = scored(PREDICTED, made_split([0, 1, 1], target))
    result = report.affect
    assert set(result.scores) == set(result.intervals) == set(result.baseline) == {"arousal", "mean"}
    assert result.scores["mean"]["rmse"] == result.scores["arousal"]["rmse"]
    assert result.classes == {}
    assert "3 of 3 faces have no valence and were left out of its scores" in report.cautions
    assert "valence" not in result.baseline_note


def test_class_means_by_hand(scored):
    result = scored(PREDICTED, made_split([0, 1, 1], TARGET)).affect
    assert list(result.classes) == list(LABELS)
    happiness = result.classes["happiness"]
    assert happiness.faces == 2
    assert happiness.true == pytest.approx({"valence": 0.75, "arousal": 0.6})
    assert happiness.predicted == pytest.approx({"valence": 0.75, "arousal": 0.4})


def test_a_face_without_a_label_counts_but_has_no_class(scored):
    result = scored(PREDICTED, made_split([-1, 1, 1], TARGET)).affect
    assert result.scores["valence"]["faces"] == 3
    assert set(result.classes) == {"happiness"}


def test_densities_count_faces_by_true_and_answered_value_and_leave_out_what_is_unknown(scored):
    target = np.array([[0.9, 0.9], [0.9, 0.9], [-0.9, NAN], [-0.1, -0.5]], np.float32)
    predicted = np.array([[0.4, 0.1], [0.4, 0.1], [0.1, 0.2], [-0.1, -0.5]], np.float32)
    found = scored(predicted, made_split([0, 0, 0, 1], target)).affect.densities
    middles = (EDGES[:-1] + EDGES[1:]) / 2

    def filled(name):
        plane = found[name]
        places = [(round(middles[x], 2), round(middles[y], 2)) for x, y in zip(plane.x, plane.y, strict=True)]
        return dict(zip(places, plane.faces, strict=True))

    assert filled("valence") == {(0.91, 0.41): 2, (-0.91, 0.09): 1, (-0.09, -0.09): 1}
    assert sum(found["arousal"].faces) == 3  # one face's arousal is not known
    assert filled("true") == {(0.91, 0.91): 2, (-0.09, -0.47): 1}
    assert filled("predicted") == {(0.41, 0.09): 2, (-0.09, -0.47): 1}
