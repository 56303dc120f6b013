from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ferlab.bundle import Bundle
from ferlab.data.hashes import face_hash
from ferlab.data.images import ArrayImages
from ferlab.data.source import Source, Split
from ferlab.errors import BundleError, DataError, LabelError
from ferlab.evaluation.checks import crop_caution, label_ids, seen_faces
from ferlab.evaluation.predictions import Predictions, predict, unseen
from ferlab.faces import FaceCrop
from ferlab.models import build
from ferlab.past import Past
from ferlab.runner import softmax
from ferlab.spec import ModelSpec

from .conftest import reported


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
        reported(made(), source([-1, -1]))


def test_unlabelled_faces_are_left_out_and_counted():
    data = source([0, -1, 1, 2, 0, 1])
    predictions = predict(made(), data, "validation", batch_size=2)
    assert predictions.rows.tolist() == [0, 2, 3, 4, 5]
    assert predictions.labels.tolist() == [1, 2, 0, 1, 2]  # the bundle's order
    result = reported(made(), data)
    assert result.expression.faces == result.dataset.images == 5
    assert "1 of 6 faces have no expression label and were left out" in result.cautions
    assert result.affect is None
    assert result.left_out == []


def test_each_face_is_hashed_as_it_is_stored():
    data = source([0, 1, -1, 2])
    read = [data.split("validation").read(i) for i in (0, 1, 3)]
    assert predict(made(), data, "validation", "flip", 2).faces.tolist() == [face_hash(face) for face in read]


def test_probabilities_are_averaged_over_views_at_the_bundles_temperature():
    bundle, data = made(temperature=2.0), source([0, 1, 2])
    split = data.split("validation")
    answers = predict(bundle, data, "validation", "flip", 1).take(np.array([2, 0]))
    prepared = np.stack([bundle.spec.prepare(split.read(i)) for i in (2, 0)])
    views = [bundle.logits(view)["expression"] for view in (prepared, prepared[..., ::-1])]
    assert answers.logits.shape == (2, 2, 3)
    np.testing.assert_allclose(answers.probabilities(), np.mean([softmax(v / 2) for v in views], 0), rtol=1e-5)
    np.testing.assert_allclose(softmax(answers.pooled_logits()), np.mean([softmax(v) for v in views], 0), rtol=1e-5)


# What is kept in a file


def kept():
    """Predictions with every field, of three faces."""
    return Predictions(
        faces=np.array([3, 2**64 - 1, 7], np.uint64),
        rows=np.array([0, 4, 5]),
        names=("anger", "fear"),
        labels=np.array([0, -1, 1]),
        target=np.array([[0.5, np.nan], [0.1, 0.2], [np.nan, np.nan]], np.float32),
        logits=np.arange(12, dtype=np.float32).reshape(3, 2, 2),
        affect=np.arange(12, dtype=np.float32).reshape(3, 2, 2),
        slices={"age": np.array(["70+", "", "4-19"]), "hair ä": np.array(["x", "x", "x"])},
        temperature=1.37,
    )


@pytest.mark.parametrize("fields", [{}, {"logits": None, "slices": {}}, {"affect": None, "temperature": 0.1}])
def test_predictions_come_back_from_their_file_as_they_were(tmp_path, fields):
    before = replace(kept(), **fields)
    before.save(tmp_path / "p.safetensors")
    after = Predictions.load(tmp_path / "p.safetensors")
    for name, value in vars(before).items():
        if name == "slices":
            assert {key: column.tolist() for key, column in after.slices.items()} == {
                key: column.tolist() for key, column in value.items()
            }
        elif isinstance(value, np.ndarray):
            assert getattr(after, name).dtype == value.dtype
            np.testing.assert_array_equal(getattr(after, name), value)
        else:
            assert getattr(after, name) == value


def test_a_torn_or_foreign_file_of_predictions_is_refused_by_name(tmp_path):
    from safetensors.numpy import save_file

    file = tmp_path / "p.safetensors"
    kept().save(file)
    whole = file.read_bytes()
    broken = {"torn": whole[:-3], "empty": b"", "no safetensors": b"\x00" * 100}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "weights")
    replace(kept(), affect=np.full((3, 1, 2), np.nan, np.float32)).save(tmp_path / "nan")
    replace(kept(), temperature=np.nan).save(tmp_path / "temperature")
    deep = {"format": "1", "predictions": "[" * 100_000}
    save_file({"faces": kept().faces}, tmp_path / "deep", metadata=deep)
    for name in (*broken, "weights", "nan", "temperature", "deep"):
        with pytest.raises(DataError, match=rf"{name} must hold predictions: .*; make them again"):
            Predictions.load(tmp_path / name)
    with pytest.raises(DataError, match="which is none; check the path"):
        Predictions.load(tmp_path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"labels": np.array([0, 1])}, r"labels \(3,\), got \(2,\)"),
        ({"labels": np.array([0, 1, 2])}, "labels from -1 to 1, got 0 to 2"),
        ({"logits": np.zeros((3, 2), np.float32)}, r"logits \(3, 2, 2\), got \(3, 2\)"),
        ({"target": np.zeros(3, np.float32)}, r"target \(3, 2\), got \(3,\)"),
        ({"slices": {"age": np.array(["a"])}}, r"age \(3,\), got \(1,\)"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(fields, said):
    with pytest.raises(DataError, match=said):
        replace(kept(), **fields)


# What a model has seen of the faces


FACES = np.array([1, 2, 3, 4], np.uint64)


def knowing(trained=(), selected=(), whole=True, provenance=None):
    past = Past(np.array(trained, np.uint64), np.array(selected, np.uint64), whole)
    return replace(made(provenance=provenance), past=past)


@pytest.mark.parametrize(
    ("model", "counts", "said", "flatters"),
    [
        (knowing([9], [8]), (0, 0), "none of these 4 faces was trained or selected on", False),
        (knowing([9], [1, 2, 3, 4]), (0, 4), "the model was selected on all 4 of these faces, so its score", True),
        (knowing([1, 9], [2, 3, 8]), (1, 2), "was trained on 1 of 4 and selected on 2 of 4 of these faces", True),
        (
            knowing([3, 4], provenance={"teacher": {"path": "t"}}),
            (2, 0),
            "the model, or what it learnt from, was",
            True,
        ),
        (knowing([9], whole=False), (0, 0), "what its start weights or its teacher have seen is not known", True),
        (made(), (None, None), "what the model was trained and selected on is not known", True),
    ],
)
def test_seen_faces_are_counted_by_their_pixels_and_said(model, counts, said, flatters):
    found = seen_faces(model, FACES)
    assert (found.trained, found.selected) == counts
    assert said in found.text
    assert found.flatters is flatters


def test_a_caution_or_a_plain_sentence_says_what_was_seen():
    data = source([0, 1, 2, 0, 1])
    faces = predict(made(), data, "validation").faces.tolist()
    known = reported(knowing(faces[:1], sorted(faces)), data)
    assert (known.seen.trained, known.seen.selected) == (1, 5)
    assert known.seen.text in known.cautions
    clean = reported(knowing([5]), data)
    assert clean.seen.text == "none of these 5 faces was trained or selected on"
    assert clean.cautions == []


def test_unseen_faces_are_those_that_no_model_has_seen():
    data = source([0, 1, 2, 0, 1])
    predictions = predict(made(), data, "validation")
    a, b, c = predictions.faces.tolist()[:3]
    one, other = knowing([a], [a]), knowing(sorted([b]), [c])
    assert unseen(predictions, [one]).rows.tolist() == [1, 2, 3, 4]
    assert unseen(predictions, [one, other]).rows.tolist() == [3, 4]
    with pytest.raises(DataError, match="got 5 that were all seen; choose other data"):
        unseen(predictions, [knowing(sorted(predictions.faces.tolist()))])
    for model in (made(), knowing([a], whole=False)):
        with pytest.raises(BundleError, match="must say which faces it and its parents have seen"):
            unseen(predictions, [model])


def test_another_crop_is_a_caution():
    assert crop_caution(made(), source([0])) is None
    said = crop_caution(made(face=FaceCrop(0.2, True)), source([0]))
    assert "margin 0.2 and eyes aligned, imagefolder has margin 0 and eyes not aligned" in said


def test_predictions_that_cannot_be_written_are_one_line_and_leave_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way of a folder")
    with pytest.raises(DataError, match=r"^cannot write the predictions .*p\.safetensors: .*; free some space$"):
        kept().save(tmp_path / "file" / "p.safetensors")
    (tmp_path / "p.safetensors").mkdir()
    with pytest.raises(DataError, match=r"^cannot write the predictions "):
        kept().save(tmp_path / "p.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "p.safetensors"]
