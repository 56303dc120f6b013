from pathlib import Path

import numpy as np
import pytest

from ferlab.bundle import Bundle
from ferlab.data.images import ArrayImages
from ferlab.data.source import Source, Split
from ferlab.errors import BundleError, LabelError
from ferlab.evaluate.checks import crop_caution, label_ids, selection
from ferlab.evaluate.evaluation import Settings, evaluate
from ferlab.evaluate.expression import Predictions
from ferlab.evaluate.predictions import predict_rows
from ferlab.faces import FaceCrop
from ferlab.models import build
from ferlab.runner import softmax
from ferlab.spec import ModelSpec


def made(labels=("neutral", "anger", "happiness"), provenance=None, **fields):
    spec = ModelSpec(labels, size=16, **fields)
    net = build(spec, "custom_cnn", {"widths": [4], "hidden": 8}).eval()
    return Bundle(spec, {"name": "custom_cnn", "options": {}}, net, provenance or {}, Path("run/bundle"))


def source(ids, labels=("anger", "happiness", "neutral"), name="imagefolder", split="validation", **fields):
    pixels = np.random.default_rng(0).integers(0, 256, (len(ids), 20, 20), dtype=np.uint8)
    images = ArrayImages(pixels, np.arange(len(ids)), Path("faces.csv"), np.arange(len(ids)) + 2)
    splits = {split: Split(split, images, np.array(ids, dtype=np.int64))}
    return Source(name, labels, splits, "drawn faces", "none", **fields)


def ids_of(bundle, data, split="validation"):
    return label_ids(bundle, data, data.split(split)).tolist()


def test_labels_are_mapped_by_name_and_unlabelled_faces_stay_so():
    assert ids_of(made(), source([0, 1, 2, -1])) == [1, 2, 0, -1]


def test_a_label_without_a_face_may_be_unknown_to_the_bundle():
    assert ids_of(made(("anger", "happiness")), source([0, 1, 1])) == [0, 1, 1]


def test_a_face_that_the_bundle_cannot_name_is_refused():
    with pytest.raises(LabelError, match=r"got none for neutral \(2 faces\); it knows anger, happiness; .*other data"):
        ids_of(made(("anger", "happiness")), source([0, 2, 2]))


def test_ferplus_with_contempt_names_the_option():
    labels = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
    with pytest.raises(LabelError, match=r"contempt \(1 faces\).*\(data\.classes=7\)"):
        ids_of(made(labels[:7]), source([0, 7], labels, "ferplus"))


def test_faces_without_any_label_cannot_be_scored():
    with pytest.raises(BundleError, match="labelled with, nothing, got one that answers expressions; give another"):
        evaluate(made(), source([-1, -1]), Settings())


def test_unlabelled_faces_are_left_out_and_counted():
    data = source([0, -1, 1, 2, 0, 1])
    result = evaluate(made(), data, Settings(bootstrap=10, batch_size=2))
    assert result.expression.rows.tolist() == [0, 2, 3, 4, 5]
    assert result.expression.result.support.sum() == result.faces == 5
    assert "1 of 6 faces have no expression label and were left out" in result.cautions
    assert result.affect is None
    assert result.left_out == ()


def test_probabilities_are_averaged_over_views_at_the_bundles_temperature():
    bundle, data = made(temperature=2.0), source([0, 1, 2])
    split = data.split("validation")
    logits = predict_rows(bundle, split, np.array([2, 0]), "flip", 1)["expression"]
    answers = Predictions(bundle.spec.expression, logits, np.array([0, 1]), np.array([2, 0]), 2.0)
    prepared = np.stack([bundle.spec.prepare(split.read(i)) for i in (2, 0)])
    views = [bundle.logits(view)["expression"] for view in (prepared, prepared[..., ::-1])]
    assert logits.shape == (2, 2, 3)
    np.testing.assert_allclose(answers.probabilities(), np.mean([softmax(v / 2) for v in views], 0), rtol=1e-5)
    np.testing.assert_allclose(softmax(answers.pooled_logits()), np.mean([softmax(v) for v in views], 0), rtol=1e-5)


@pytest.mark.parametrize("head", ["expression", "affect"])
def test_a_network_that_answers_nan_is_refused_with_the_face(monkeypatch, head):
    bundle, data = made(), source([0, 1, 2, 0])
    answers = np.array([[0, 1], [0, np.nan], [0, 1]], np.float32)
    monkeypatch.setattr(Bundle, "logits", lambda self, images: {head: answers})
    with pytest.raises(BundleError, match=rf"NaN or infinity as {head} of faces\.csv:4"):
        predict_rows(bundle, data.split("validation"), np.array([0, 2, 3]), "plain", 8)


@pytest.mark.parametrize(
    ("provenance", "name", "split", "said", "optimistic"),
    [
        ({}, "ferplus", "validation", "does not say", True),
        ({"dataset": "ferplus", "data_digest": "d"}, "ferplus", "validation", "selected on this split", True),
        ({"dataset": "ferplus", "data_digest": "d"}, "ferplus", "train", "trained on this split", True),
        ({"dataset": "ferplus", "data_digest": "e"}, "fer2013", "train", "trained on ferplus's train split", True),
        ({"dataset": "ferplus", "data_digest": "d"}, "ferplus", "test", "not selected on a test split", False),
        ({"dataset": "ferplus", "data_digest": "e"}, "rafdb", "validation", "not on this data", False),
    ],
)
def test_selection(provenance, name, split, said, optimistic):
    data = source([0], name=name, split=split)
    sentence, flag = selection(made(provenance=provenance), data, data.split(split), "d")
    assert said in sentence
    assert flag is optimistic


def test_another_crop_is_a_caution():
    assert crop_caution(made(), source([0])) is None
    said = crop_caution(made(face=FaceCrop(0.2, True)), source([0]))
    assert "margin 0.2 and eyes aligned, imagefolder has margin 0 and eyes not aligned" in said
