"""The models in the box: there, small, named, and answering what they answered when they were put there."""

import json
from importlib import import_module
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import ferlab
from ferlab.box import BOX, beside, located
from ferlab.bundle import save_bundle
from ferlab.cli import main
from ferlab.data.synthetic import draw_split
from ferlab.errors import BundleError
from ferlab.formats import FORMATS, read
from ferlab.formats.seal import Seal

from .conftest import untrained

PHOTOGRAPH = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"  # 512×600; in the public domain
pytestmark = pytest.mark.usefixtures("in_tmp")
RECORDED = Path(__file__).with_name("box_answers.json")


def drawn_faces():
    """The twelve faces whose answers are recorded, and those answers: file -> (12, 8) probabilities."""
    split = draw_split("validation", 12, 64, seed=1)
    return [split.read(i) for i in range(len(split))], json.loads(RECORDED.read_text("utf-8"))


def probabilities(model, faces):
    return np.array([[answer.expression[name] for name in model.labels] for answer in model.predict(faces)])


@pytest.mark.parametrize(("name", "off"), [("ferplus", 1e-3), ("ferplus_int8", 0.02)])
def test_a_model_answers_as_it_did_when_it_was_put_there(name, off):
    faces, recorded = drawn_faces()
    model = ferlab.load(name)
    np.testing.assert_allclose(probabilities(model, faces), recorded[name], atol=off)
    assert len({int(row.argmax()) for row in np.array(recorded[name])}) >= 3  # the faces are told apart


@pytest.mark.parametrize("format", ["torchscript", "openvino", "torch_export", "tflite"])
def test_it_answers_alike_in_every_other_format(tmp_path, format):
    faces, recorded = drawn_faces()
    bundle, chosen = ferlab.load_bundle("ferplus"), FORMATS[format]
    seal = Seal(format, "probabilities", bundle.spec, bundle.model, bundle.provenance, (chosen.layouts or ("nchw",))[0])
    import_module(f"ferlab.formats.{chosen.module}").write(bundle, seal, tmp_path / chosen.file, [], chosen.ways[0])
    np.testing.assert_allclose(probabilities(read(tmp_path / chosen.file), faces), recorded["ferplus"], atol=1e-3)


def test_the_box_is_small_and_each_file_knows_what_it_has_seen():
    weights = BOX["ferplus"] / "weights.safetensors"
    assert weights.stat().st_size + BOX["ferplus_int8"].stat().st_size <= 10e6
    bundle, file = ferlab.load_bundle("ferplus"), read(BOX["ferplus_int8"])
    assert bundle.parameters <= 2_000_000
    assert file.spec == bundle.spec
    assert bundle.past.whole
    assert file.past.summary == bundle.past.summary
    assert bundle.card == file.card


def test_the_card_says_what_a_user_must_know():
    card = ferlab.load("ferplus").card
    commit = ferlab.load("ferplus").provenance["commit"]
    for said in ("research use", "as they are", "95 % interval", "| contempt |", "not what somebody feels", commit):
        assert said in card
    assert "ferlab train experiment=ferplus_camera" in card


def test_a_photograph_is_answered_by_it_unless_another_is_named(capsys):
    assert main(["predict", f"source={PHOTOGRAPH}", "detect=haar", "format=json"]) == 0
    out, err = capsys.readouterr()
    (face,) = json.loads(out)["faces"]
    assert json.loads(out)["bundle"] == ferlab.load("ferplus").spec.digest
    assert next(iter(face["expression"])) in ("neutral", "happiness")
    assert "model: ferplus of the box, neutral, happiness" in err
    assert "ferlab models show=ferplus" in err


def test_live_watches_with_it(tmp_path, capsys):
    assert (
        main(["live", f"source={PHOTOGRAPH.parent / '*hopper.jpg'}", "detect=haar", f"out={tmp_path / 'session'}"]) == 0
    )
    assert "model   ferplus_int8 of the box" in capsys.readouterr().out
    assert json.loads((tmp_path / "session" / "session.json").read_text())["settings"]["bundle"] == "ferplus_int8"


def test_a_name_is_the_box_also_where_a_folder_is_called_so(tmp_path):
    save_bundle(untrained(), tmp_path / "ferplus", {}, "a card")  # the working folder
    assert located("ferplus") == BOX["ferplus"]
    assert ferlab.load("ferplus").path == BOX["ferplus"]
    for other in ("./ferplus", Path("ferplus"), str(tmp_path / "ferplus")):
        assert ferlab.load(other).path == tmp_path / "ferplus"
        assert str(located(other)) not in BOX  # or it would be the box again where it is passed on as text


def test_nothing_is_written_into_the_installation(tmp_path):
    before = sorted(BOX["ferplus"].iterdir())
    words = ["bundle=ferplus", "data=synthetic", "data.validation=40", "data.train=8", "bootstrap=10"]
    assert main(["evaluate", *words]) == 0
    assert (tmp_path / "outputs" / "ferplus" / "evaluation" / "synthetic_validation_plain" / "report.html").exists()
    save_bundle(untrained(), tmp_path / "run" / "bundle", {}, "a card")
    assert main(["compare", "bundles=[ferplus,run]", *words[1:]]) == 0
    export = ["export", "bundle=ferplus", "data=synthetic", "data.train=8", "format=torchscript", "faces=256"]
    assert main([*export, "data.validation=256", "tracker=none"]) == 0
    assert (tmp_path / "outputs" / "ferplus" / "exports" / "model.torchscript").exists()
    assert sorted(BOX["ferplus"].iterdir()) == before
    assert beside(BOX["ferplus_int8"]) == beside(BOX["ferplus"]) == Path("outputs/ferplus")


@pytest.mark.parametrize("word", ["ferpluss", "FERPLUS", "ferplus_int"])
def test_a_mistyped_name_gets_the_nearest(word, capsys):
    with pytest.raises(BundleError, match="did you mean 'ferplus"):
        located(word)
    assert main(["predict", f"bundle={word}", f"source={PHOTOGRAPH}"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


# ferlab models


def test_models_are_those_in_the_box_and_on_disk(tmp_path, capsys):
    metrics = {"validation/accuracy": 0.8125, "validation/mean_recall": 0.5}
    save_bundle(
        untrained(provenance={"dataset": "fer2013"}), tmp_path / "outputs" / "day" / "run" / "bundle", metrics, "a"
    )
    broken = tmp_path / "outputs" / "day" / "worse" / "bundle"
    save_bundle(untrained(), broken, {}, "a card")
    (broken / "metrics.json").unlink()
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["bundle=", "ferplus", "ferplus_int8", "outputs/day/run/bundle"]
    assert "fer2013" in lines[3]
    assert "81.2%" in lines[3].replace(" %", "%")
    assert "left out: outputs/day/worse/bundle must hold metrics.json" in lines[4]


def test_a_card_is_printed_whole(tmp_path, capsys):
    assert main(["models", "show=ferplus_int8"]) == 0
    assert capsys.readouterr().out.strip() == ferlab.load("ferplus").card.strip()
    save_bundle(untrained(), tmp_path / "run" / "bundle", {}, "# mine\x1b[2J\n")
    assert main(["models", "show=run"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert main(["models", "show=day/none"]) == 1
    assert "show must name a model in the box" in capsys.readouterr().err
