"""Which heads are scored, on which faces, and what is said of the rest."""

from dataclasses import replace

import numpy as np
import pytest

from ferlab.errors import BundleError, LabelError
from ferlab.evaluation.report import trained

from .conftest import made_source, made_split, reported

NAN = float("nan")
LOGITS = [[2.0, 0.0], [0.0, 2.0], [0.0, 2.0], [2.0, 0.0]]
POINTS = [[0.1, 0.2], [0.3, 0.4], [-0.5, 0.6], [0.0, -0.1]]


def test_each_head_is_scored_on_the_faces_that_are_labelled_for_it(answering):
    split = made_split([0, -1, 1, -1], [[NAN, NAN], [0.3, 0.4], [0.5, NAN], [NAN, NAN]])
    result = reported(answering(LOGITS, POINTS), made_source(split), batch_size=2)
    assert result.expression.faces == 2
    assert result.expression.scores["accuracy"] == 1
    assert result.affect.faces == 2
    assert result.affect.scores["valence"]["mae"] == pytest.approx(0.5)  # 0 and 1
    assert result.affect.scores["arousal"]["faces"] == 1
    assert (result.dataset.images, result.dataset.left_out) == (3, 1)
    assert result.left_out == []
    assert "2 of 4 faces have no expression label and were left out" in result.cautions
    assert "3 of 4 faces have no arousal and were left out of its scores" in result.cautions


def test_faces_without_any_label_are_not_even_read(answering, monkeypatch):
    split = made_split([0, -1, 1], [[NAN, NAN]] * 3)
    read = []
    monkeypatch.setattr(type(split), "read", lambda self, i: read.append(i) or np.zeros((16, 16, 3), np.uint8))
    reported(answering(LOGITS, POINTS), made_source(split))
    assert read == [0, 2]


@pytest.mark.parametrize(
    ("answers", "labels", "affect", "scored", "said"),
    [
        ((LOGITS, POINTS), [0, 1], None, {"expression"}, "valence and arousal were not scored: drawn validation"),
        ((LOGITS, None), [0, 1], [[0.1, 0.2]] * 2, {"expression"}, "valence and arousal were not scored: the bundle"),
        ((LOGITS, POINTS), [-1, -1], [[0.1, 0.2]] * 2, {"affect"}, "expressions were not scored: drawn validation has"),
        ((None, POINTS), [0, 1], [[0.1, 0.2]] * 2, {"affect"}, "expressions were not scored: the bundle does not"),
    ],
)
def test_a_head_that_one_side_lacks_is_left_out_in_words(answering, answers, labels, affect, scored, said):
    result = reported(answering(*answers), made_source(made_split(labels, affect)))
    assert {head for head in ("expression", "affect") if getattr(result, head)} == scored
    assert len(result.left_out) == 1
    assert result.left_out[0].startswith(said)


@pytest.mark.parametrize(
    ("answers", "labels", "affect", "said"),
    [
        ((None, POINTS), [0, 1], None, "expressions, got one that answers valence and arousal"),
        ((None, POINTS), [0, 1], [[NAN, NAN]] * 2, "expressions, got one that answers valence and arousal"),
        ((LOGITS, None), [-1, -1], [[0.1, 0.2]] * 2, "valence and arousal, got one that answers expressions"),
        ((LOGITS, POINTS), [-1, -1], None, "nothing, got one that answers expressions and valence and arousal"),
    ],
)
def test_no_head_in_common_is_refused(answering, answers, labels, affect, said):
    with pytest.raises(BundleError, match=f"drawn validation is labelled with, {said}; give another bundle or other"):
        reported(answering(*answers), made_source(made_split(labels, affect)))


def test_a_dataset_without_any_expression_may_be_scored_for_affect(answering):
    source = made_source(made_split([-1, -1], POINTS[:2]), labels=())
    result = reported(answering(LOGITS, POINTS), source)
    assert result.affect.scores["mean"]["rmse"] == pytest.approx(0, abs=1e-7)
    assert result.affect.classes == {}


def test_a_label_that_the_bundle_cannot_name_is_refused_though_affect_could_be_scored(answering):
    split = made_split([0, 1], POINTS[:2])
    bundle = answering(LOGITS, POINTS, labels=("anger", "fear"))
    with pytest.raises(LabelError, match=r"happiness \(1 faces\)"):
        reported(bundle, made_source(split))


def test_the_protocol_is_that_of_the_scored_split_and_the_training_is_the_bundles(answering):
    source = made_source(made_split([0, 1], name="train"), made_split([0, 1, -1]))
    source = replace(source, protocols={"train": "drawn, votes", "validation": "drawn, majority rule"})
    provenance = {
        "dataset": "x",
        "protocol": "x by votes",
        "weights": {"path": "w.safetensors"},
        "teacher": {"path": "t"},
    }
    report = reported(replace(answering(LOGITS[:2]), provenance=provenance | {"commit": "c1"}), source)
    assert report.protocol.startswith(
        "drawn, majority rule; validation split, 2 images; one plain view a face; ferlab "
    )
    assert report.dataset.protocol == "drawn, majority rule"
    assert report.trained == "x by votes; from w.safetensors, taught by t; commit c1"


@pytest.mark.parametrize(
    ("provenance", "said"),
    [
        ({}, "how the model was trained is not known"),
        (
            {"dataset": "x"},
            "x; from something that is not known, taught by something that is not known; commit unknown",
        ),
        ({"dataset": "x", "weights": None, "teacher": None}, "x; from scratch, no teacher; commit unknown"),
    ],
)
def test_what_a_bundle_does_not_say_of_its_training_is_not_guessed(provenance, said):
    assert trained(provenance) == said
