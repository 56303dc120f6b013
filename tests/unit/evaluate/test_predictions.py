from pathlib import Path

import numpy as np
import pytest

from ferlab.bundle import Bundle, softmax
from ferlab.data.source import ArrayImages, Source, Split
from ferlab.errors import BundleError, DataError, LabelError
from ferlab.evaluate.checks import crop_caution, label_ids, selection
from ferlab.evaluate.evaluation import Settings, evaluate
from ferlab.evaluate.predictions import predict_split
from ferlab.faces import FaceCrop
from ferlab.models import build
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
    with pytest.raises(DataError, match="must have labelled faces, got 2 without"):
        ids_of(made(), source([-1, -1]))


def test_unlabelled_faces_are_left_out_and_counted():
    data = source([0, -1, 1, 2, 0, 1])
    result = evaluate(made(), data, Settings(bootstrap=10, batch_size=2))
    assert result.predictions.rows.tolist() == [0, 2, 3, 4, 5]
    assert result.result.support.sum() == 5
    assert "1 of 6 faces have no expression label and were left out" in result.cautions


def test_probabilities_are_averaged_over_views_at_the_bundles_temperature():
    bundle, data = made(temperature=2.0), source([0, 1, 2])
    split = data.split("validation")
    answers = predict_split(bundle, data, split, "flip", 2)
    prepared = np.stack([bundle.spec.prepare(split.read(i)) for i in range(3)])
    views = [bundle.logits(view)["expression"] for view in (prepared, prepared[..., ::-1])]
    assert answers.logits.shape == (3, 2, 3)
    np.testing.assert_allclose(answers.probabilities(), np.mean([softmax(v / 2) for v in views], 0), rtol=1e-5)
    np.testing.assert_allclose(softmax(answers.pooled_logits()), np.mean([softmax(v) for v in views], 0), rtol=1e-5)


def test_a_network_that_answers_nan_is_refused_with_the_face(monkeypatch):
    bundle, data = made(), source([0, 1, 2])
    logits = np.array([[0, 1, 2], [0, np.nan, 2], [0, 1, 2]], np.float32)
    monkeypatch.setattr(Bundle, "logits", lambda self, images: {"expression": logits})
    with pytest.raises(BundleError, match=r"NaN or infinity for faces\.csv:3"):
        predict_split(bundle, data, data.split("validation"), "plain", 8)


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
