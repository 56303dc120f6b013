import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sklearn.metrics import accuracy_score, f1_score, recall_score

import ferlab
from ferlab.bundle import load_bundle, save_bundle
from ferlab.cli import main
from ferlab.data.fer2013 import fer2013
from ferlab.data.hashes import face_hash
from ferlab.errors import ConfigError
from ferlab.evaluation.camera import dark as dark_face
from ferlab.past import Past
from ferlab.runner import softmax

from .conftest import LABELS, untrained


def run(tmp_path, root, *overrides):
    return main(["evaluate", f"bundle={tmp_path / 'run'}", "data=fer2013", f"data.root={root}", *overrides])


def report(tmp_path, name="fer2013_validation_plain"):
    return json.loads((tmp_path / "run" / "evaluation" / name / "report.json").read_text())


def direct(bundle, faces, mirrored=False, temperature=1.5):
    """Probabilities without any of the code under test but the network and `prepare`."""
    prepared = np.stack([bundle.spec.prepare(np.repeat(face[..., None], 3, 2)) for face in faces])
    views = [prepared, prepared[..., ::-1]] if mirrored else [prepared]
    return np.mean([softmax(bundle.logits(view)["expression"] / temperature) for view in views], axis=0)


@pytest.mark.parametrize("tta", ["plain", "flip"])
def test_the_report_states_what_a_direct_computation_gives(tmp_path, bundle, fer2013_root, validation_faces, tta):
    assert run(tmp_path, fer2013_root, f"tta={tta}", "bootstrap=50", "batch_size=7") == 0
    document = report(tmp_path, f"fer2013_validation_{tta}")
    faces, names = validation_faces
    probabilities = direct(bundle, faces, mirrored=tta == "flip")
    predicted = [LABELS[i] for i in probabilities.argmax(1)]
    present = sorted(set(names))
    assert document["expression"]["scores"]["accuracy"] == pytest.approx(accuracy_score(names, predicted))
    assert document["expression"]["scores"]["macro_f1"] == pytest.approx(
        f1_score(names, predicted, labels=present, average="macro")
    )
    recalls = recall_score(names, predicted, labels=present, average=None, zero_division=0)
    assert [document["expression"]["classes"][name]["recall"] for name in present] == pytest.approx(list(recalls))
    assert document["expression"]["scores"]["mean_recall"] == pytest.approx(recalls.mean())
    own = probabilities[range(len(names)), [LABELS.index(name) for name in names]]
    assert document["expression"]["scores"]["nll"] == pytest.approx(-np.log(own).mean(), rel=1e-5)
    assert document["expression"]["classes"]["contempt"]["support"] == 0
    assert document["expression"]["classes"]["contempt"]["recall"] is None
    assert document["expression"]["classes"]["contempt"]["predicted"] == predicted.count("contempt")
    assert np.sum(document["expression"]["confusion"]) == len(names) == document["dataset"]["images"]
    low, high = document["expression"]["intervals"]["accuracy"]
    assert low <= document["expression"]["scores"]["accuracy"] <= high
    assert document["expression"]["baselines"]["majority"]["accuracy"] == pytest.approx(
        names.count("happiness") / len(names)
    )


def test_python_scores_as_the_command_does(tmp_path, bundle, fer2013_root):
    assert run(tmp_path, fer2013_root, "bootstrap=10", "tta=flip") == 0
    source = ferlab.dataset("fer2013", root=str(fer2013_root))
    found = ferlab.evaluate(tmp_path / "run", source, bootstrap=10, tta="flip")
    said = report(tmp_path, "fer2013_validation_flip")
    assert json.loads(json.dumps(found.document() | {"created": said["created"]})) == said
    file = tmp_path / "run" / "evaluation" / "fer2013_validation_flip" / "predictions.csv"
    answers = found.predictions
    assert_frame_equal(pd.read_csv(file, dtype=answers.dtypes.to_dict()), answers)
    assert (answers["true"] == answers["predicted"]).mean() == pytest.approx(said["expression"]["scores"]["accuracy"])
    with pytest.raises(ConfigError, match=r"unknown key 'roots' of data=fer2013; did you mean 'root'\?"):
        ferlab.dataset("fer2013", roots="elsewhere")


def test_the_protocol_is_complete(tmp_path, bundle, fer2013_root):
    assert run(tmp_path, fer2013_root, "tta=ten_crop", "bootstrap=10") == 0
    document = report(tmp_path, "fer2013_validation_ten_crop")
    for part in ("FER2013, 7 classes, official splits", "validation split", "41 images", "ten-crop (22 of 24 pixels"):
        assert part in document["protocol"]
    assert "commit" in document["protocol"]
    assert document["settings"]["views"] == 10
    assert document["bundle"]["digest"] == bundle.spec.digest
    assert document["dataset"]["digest"] == fer2013(str(fer2013_root)).digest()
    assert document["dataset"]["mapping"]["3"] == "happiness"
    assert "41 faces here and 3,589 as published" in " ".join(document["cautions"])


def test_mistakes_are_real_and_the_most_confident_first(tmp_path, bundle, fer2013_root, validation_faces):
    assert run(tmp_path, fer2013_root, "bootstrap=10") == 0
    mistakes = report(tmp_path)["expression"]["mistakes"]
    faces, names = validation_faces
    probabilities = direct(bundle, faces)
    assert len(mistakes) == min(24, sum(LABELS[g] != n for g, n in zip(probabilities.argmax(1), names, strict=True)))
    confidences = [mistake["confidence"] for mistake in mistakes]
    assert confidences == sorted(confidences, reverse=True)
    row = int(re.search(r"fer2013\.csv:(\d+)$", mistakes[0]["image"])[1]) - 2 - 32  # after the header and Training
    assert mistakes[0]["true"] == names[row]
    assert mistakes[0]["predicted"] == LABELS[probabilities[row].argmax()] != names[row]
    assert confidences[0] == pytest.approx(probabilities[row].max(), rel=1e-5)


class Addresses(HTMLParser):
    """Everything that a page could load, and the tags it uses."""

    def __init__(self):
        super().__init__()
        self.found, self.tags = [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.found += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]


def test_the_page_needs_no_other_file(tmp_path, bundle, fer2013_root):
    assert run(tmp_path, fer2013_root, "bootstrap=10") == 0
    page = (tmp_path / "run" / "evaluation" / "fer2013_validation_plain" / "report.html").read_text()
    addresses = Addresses()
    addresses.feed(page)
    assert len(addresses.found) > 5
    assert all(address.startswith("data:image/") for address in addresses.found)
    assert not addresses.tags & {"script", "link", "iframe", "object", "embed"}
    assert "http" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert "which the dataset does not label" in page
    assert "Expressions are not feelings" in page


def test_words_of_bundle_and_dataset_are_escaped(tmp_path, fer2013_root):
    evil = "<script>alert(1)</script>"
    save_bundle(untrained(provenance={"dataset": evil, "data_digest": "x"}), tmp_path / "run" / "bundle", {}, "")
    assert run(tmp_path, fer2013_root, "bootstrap=10") == 0
    page = (tmp_path / "run" / "evaluation" / "fer2013_validation_plain" / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_terminal_says_the_same_without_colours(tmp_path, bundle, fer2013_root, capsys):
    assert run(tmp_path, fer2013_root, "bootstrap=10") == 0
    out = capsys.readouterr().out
    document = report(tmp_path)
    assert "\x1b" not in out
    accuracy = next(line for line in out.splitlines() if line.startswith("accuracy"))
    assert accuracy.split()[1] == f"{100 * document['expression']['scores']['accuracy']:.1f}"
    assert document["protocol"] in out
    assert str(tmp_path / "run" / "evaluation" / "fer2013_validation_plain" / "report.html") in out
    assert [line.split()[0] for line in out.splitlines() if line.split()[0] in LABELS] == list(LABELS)
    assert "at the bundle's temperature 1.500" in out


@pytest.fixture
def selected_on_some(tmp_path, validation_faces):
    """A bundle at `run/bundle` whose epoch was chosen on the first ten validation faces, whatever they are called."""
    faces = [np.repeat(face[..., None], 3, 2) for face in validation_faces[0][:10]]
    past = Past.of(np.array([7], np.uint64), np.array([face_hash(face) for face in faces], np.uint64))
    provenance = {"dataset": "elsewhere", "protocol": "faces of elsewhere", "weights": None, "teacher": None}
    made = replace(untrained(provenance=provenance | {"selected": "best validation accuracy", "seed": 3}), past=past)
    save_bundle(made, tmp_path / "run" / "bundle", {}, "")
    return made


def test_faces_that_selected_the_model_are_counted_in_all_three_views(tmp_path, selected_on_some, fer2013_root, capsys):
    assert run(tmp_path, fer2013_root, "bootstrap=10") == 0
    said = "the model was selected on 10 of 41 of these faces, so its score here is optimistic"
    assert f"caution: {said}" in capsys.readouterr().out
    document = report(tmp_path)
    assert said in document["cautions"]
    assert (document["seen"]["trained"], document["seen"]["selected"]) == (0, 10)
    page = (tmp_path / "run" / "evaluation" / "fer2013_validation_plain" / "report.html").read_text()
    assert said[1:] in page


def test_how_it_was_trained_comes_from_the_bundle(tmp_path, selected_on_some, fer2013_root, capsys):
    assert run(tmp_path, fer2013_root, "bootstrap=10") == 0
    said = "faces of elsewhere; from scratch, no teacher; selected by best validation accuracy; seed 3; commit unknown"
    assert report(tmp_path)["trained"] == said
    assert "elsewhere" not in report(tmp_path)["protocol"]
    assert f"trained: {said}\n" in capsys.readouterr().out
    page = (tmp_path / "run" / "evaluation" / "fer2013_validation_plain" / "report.html").read_text()
    assert f"F{said[1:]}" in page
    assert "not known" not in page


def test_unseen_faces_alone_can_be_scored(tmp_path, selected_on_some, fer2013_root, validation_faces, capsys):
    assert run(tmp_path, fer2013_root, "bootstrap=10", "unseen=true") == 0
    out = capsys.readouterr().out
    document = report(tmp_path, "fer2013_validation_plain_unseen")
    faces, names = (each[10:] for each in validation_faces)
    predicted = [LABELS[i] for i in direct(selected_on_some, faces, temperature=1).argmax(1)]
    assert document["expression"]["scores"]["accuracy"] == pytest.approx(accuracy_score(names, predicted))
    majority = names.count("happiness") / len(names)
    assert document["expression"]["baselines"]["majority"]["accuracy"] == pytest.approx(majority)
    assert "31 images never trained or selected on (10 others left out)" in document["protocol"]
    assert "none of these 31 faces was trained or selected on" in out
    assert document["seen"]["left_out"] == 10
    assert document["seen"]["text"] not in document["cautions"]


def test_a_bundle_that_says_nothing_of_its_past_has_no_unseen_faces(tmp_path, bundle, fer2013_root, capsys):
    assert run(tmp_path, fer2013_root, "bootstrap=10", "unseen=true") == 1
    error = capsys.readouterr().err
    assert "must say which faces it and its parents have seen, got no such record" in error
    assert error.count("\n") == 1


def test_a_second_run_replaces_the_first_and_a_seed_gives_one_report(tmp_path, bundle, fer2013_root):
    documents = []
    for seed in (1, 2, 2):
        assert run(tmp_path, fer2013_root, "bootstrap=10", f"seed={seed}") == 0
        documents.append({key: value for key, value in report(tmp_path).items() if key != "created"})
    assert documents[0]["expression"]["intervals"] != documents[1]["expression"]["intervals"]
    assert documents[1] == documents[2]
    folder = tmp_path / "run" / "evaluation"
    assert [path.name for path in folder.iterdir()] == ["fer2013_validation_plain"]
    files = {path.name for path in (folder / "fer2013_validation_plain").iterdir()}
    assert files == {"report.json", "report.html", "predictions.csv"}


def test_out_is_where_the_report_goes_but_nothing_else_is_ever_deleted(tmp_path, bundle, fer2013_root, capsys):
    assert run(tmp_path, fer2013_root, "bootstrap=10", f"out={tmp_path / 'berichte ä' / 'x'}") == 0
    assert (tmp_path / "berichte ä" / "x" / "report.json").is_file()
    assert run(tmp_path, fer2013_root, "bootstrap=10", f"out={fer2013_root}") == 2
    assert "out must be a new folder or an older report's" in capsys.readouterr().err
    assert (fer2013_root / "fer2013.csv").is_file()


@pytest.fixture
def contempt_root(tmp_path, crops):
    """An image folder with two faces of contempt."""
    picture = (crops / "a ü.png").read_bytes()
    for name, count in (("happy", 1), ("contempt", 2)):
        folder = tmp_path / "pictures" / "validation" / name
        folder.mkdir(parents=True)
        for i in range(count):
            (folder / f"{i}.png").write_bytes(picture)
    return tmp_path / "pictures"


def test_faces_that_the_bundle_cannot_name_are_refused_by_name(tmp_path, contempt_root, capsys):
    save_bundle(untrained(LABELS[:7]), tmp_path / "run" / "bundle", {}, "")
    arguments = [f"bundle={tmp_path / 'run'}", "data=imagefolder", f"data.root={contempt_root}"]
    assert main(["evaluate", *arguments]) == 1
    error = capsys.readouterr().err
    assert "contempt (2 faces)" in error
    assert "train a model with them" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run" / "evaluation").exists()


def test_three_faces_are_scored_but_not_cross_fitted(tmp_path, bundle, contempt_root, capsys):
    arguments = [f"bundle={tmp_path / 'run'}", "data=imagefolder", f"data.root={contempt_root}", "bootstrap=10"]
    assert main(["evaluate", *arguments]) == 0
    assert "3 faces are too few to fit a temperature" in capsys.readouterr().out
    document = report(tmp_path, "imagefolder_validation_plain")
    assert document["expression"]["calibration"]["ece_after"] is None
    assert document["expression"]["baseline_note"].startswith("class frequencies of the evaluated split")


def test_a_damaged_picture_stops_the_score_by_name(tmp_path, bundle, contempt_root, capsys):
    (contempt_root / "validation" / "contempt" / "1.png").write_bytes(b"\x89PNG not really")
    assert main(["evaluate", f"bundle={tmp_path / 'run'}", "data=imagefolder", f"data.root={contempt_root}"]) == 1
    assert str(contempt_root / "validation" / "contempt" / "1.png") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "code", "said"),
    [
        ("tta=flp", 2, "did you mean 'flip'"),
        ("split=test", 1, "has no PrivateTest rows"),
        ("split=dev", 2, "unknown split 'dev'; one of: train, validation, test"),
        ("bootstraps=10", 2, "did you mean 'bootstrap'"),
        ("bootstrap=0", 2, "at least 1"),
        ("bootstrap=many", 2, "bootstrap"),
        ("device=cpuu", 2, "did you mean 'cpu'"),
        ("bundle=/nowhere", 1, "spec.json, got none in /nowhere"),
    ],
)
def test_a_wrong_option_is_one_line_and_an_exit_code(tmp_path, bundle, fer2013_root, capsys, override, code, said):
    assert run(tmp_path, fer2013_root, override) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("ferlab: ")
    assert error.count("\n") == 1


def test_a_split_with_no_head_in_common_is_refused(tmp_path, fer2013_root, capsys):
    save_bundle(untrained((), affect=True), tmp_path / "run" / "bundle", {}, "")
    assert run(tmp_path, fer2013_root) == 1
    error = capsys.readouterr().err
    assert "what fer2013 validation is labelled with, expressions, got one that answers valence and arousal" in error
    assert error.count("\n") == 1


def test_what_evaluation_feeds_is_what_prepare_returns(tmp_path, bundle, fer2013_root, monkeypatch):
    fed = []

    def recorded(self, images):
        fed.append(np.array(images))
        return {"expression": np.zeros((len(images), 8), np.float32)}

    monkeypatch.setattr("ferlab.bundle.Bundle.logits", recorded)
    assert run(tmp_path, fer2013_root, "bootstrap=10", "batch_size=16") == 0
    split = fer2013(str(fer2013_root)).split("validation")
    spec = load_bundle(tmp_path / "run").spec
    expected = [spec.prepare(split.read(i)).tobytes() for i in range(len(split))]
    assert [face.tobytes() for batch in fed for face in batch] == expected
    assert [len(batch) for batch in fed] == [16, 16, 9]


def test_camera_scores_are_those_of_changed_faces_in_all_three_views(
    tmp_path, bundle, fer2013_root, validation_faces, capsys
):
    assert run(tmp_path, fer2013_root, "bootstrap=5", "camera=true") == 0
    camera = report(tmp_path)["camera"]
    faces, names = validation_faces
    labels = np.array([LABELS.index(name) for name in names])
    dark = [dark_face(np.repeat(face[..., None], 3, 2), None) for face in faces]
    logits = bundle.logits(np.stack([bundle.spec.prepare(face) for face in dark]))["expression"]
    assert camera["faces"] == len(faces)
    assert camera["changed"]["dark"]["accuracy"] == pytest.approx((logits.argmax(1) == labels).mean())
    assert camera["clean"]["accuracy"] == report(tmp_path)["expression"]["scores"]["accuracy"]
    printed, page = (
        capsys.readouterr().out,
        (tmp_path / "run/evaluation/fer2013_validation_plain/report.html").read_text(),
    )
    for shown in (printed, page):
        assert "badly cut" in shown.lower()
        assert f"{100 * camera['mean_accuracy']:.1f}" in shown
