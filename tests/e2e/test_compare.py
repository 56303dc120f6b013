"""`ferlab compare` as a user runs it, on three bundles: two seeds that were trained here, and one made by hand."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ferlab.bundle import load_bundle, save_bundle
from ferlab.cli import main
from ferlab.data.hashes import face_hashes
from ferlab.data.synthetic import synthetic
from ferlab.evaluation import comparison
from ferlab.labels import FERPLUS
from ferlab.past import Past

from .conftest import untrained
from .test_evaluate import Addresses

DATA = ["data=synthetic", "data.train=72", "data.validation=24", "data.test=8", "data.size=24"]
TINY = [
    *DATA, "model=small_resnet", "model.size=16", "model.options.width=4", "loss=cross_entropy", "optimizer=sgd",
    "trainer.batch_size=16", "trainer.epochs=1", "trainer.threads=1", "tracker=none", "augment=none",
]  # fmt: skip


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """A run of each seed in a folder of its own, and hand/bundle, which has an affect head too; never written to."""
    folder = tmp_path_factory.mktemp("compare") / "outputs"
    for seed in (0, 1):
        assert main(["train", *TINY, f"seed={seed}", "name=small", f"outputs={folder}/seed{seed}", "--debug"]) == 0
    torch.use_deterministic_algorithms(False)
    save_bundle(untrained(FERPLUS, affect=True), folder / "hand" / "bundle", {"time/epoch_s": 2.5}, "a card")
    return folder


pytestmark = pytest.mark.usefixtures("in_tmp")


def run(*overrides):
    return main(["compare", *DATA, "bootstrap=50", "device=cpu", *overrides])


def every(outputs):
    return f"bundles=[{outputs}/seed*/*/*_small,{outputs}/hand]"


def written(folder="outputs/compare/synthetic_validation_plain"):
    return json.loads((Path(folder) / "compare.json").read_text())


def test_the_table_says_what_evaluate_says_of_each_bundle(outputs, capsys):
    assert run(every(outputs)) == 0
    out = capsys.readouterr().out
    document = written()
    models = {model["name"]: model for model in document["models"]}
    assert set(models) == {"small", "hand"}
    reports = {}
    for model in models.values():
        for member in model["members"]:
            arguments = [f"bundle={member['path']}", *DATA, "bootstrap=50", "device=cpu", "out=report"]
            assert main(["evaluate", *arguments]) == 0
            report = json.loads(Path("report/report.json").read_text())
            expression = reports[member["path"]] = report["expression"]
            for name in ("accuracy", "macro_f1", "mean_recall", "nll"):
                assert member["scores"][name] == expression["scores"][name]
            own = expression["calibration"]["ece_bundle"]
            assert member["scores"]["ece"] == (expression["calibration"]["ece_before"] if own is None else own)
            assert report["dataset"]["digest"] == document["dataset"]["digest"]
            assert expression["baselines"] == document["baselines"]
    (hand,) = models["hand"]["members"]
    assert models["hand"]["interval"] == reports[hand["path"]]["intervals"]["accuracy"]
    assert models["hand"]["epoch_s"] == 2.5
    seeds = [reports[member["path"]]["scores"]["accuracy"] for member in models["small"]["members"]]
    assert models["small"]["scores"]["accuracy"] == pytest.approx(np.mean(seeds))
    assert models["small"]["spread"]["accuracy"] == pytest.approx(np.std(seeds, ddof=1))
    for name, recall in models["hand"]["recall"].items():
        assert recall == reports[hand["path"]]["classes"][name]["recall"]
    best, other = document["models"]
    assert best["name"] == document["reference"]
    assert best["difference"] is None
    assert other["difference"]["accuracy"] == pytest.approx(other["scores"]["accuracy"] - best["scores"]["accuracy"])
    assert "valence_ccc" in models["hand"]["scores"].keys() - models["small"]["scores"].keys()
    for words in (
        "small_resnet",
        "2 seeds",
        "majority",
        "random",
        "valence",
        document["summary"],
        document["protocol"],
    ):
        assert words in out


def test_cautions_are_those_of_evaluate_in_all_three_views(outputs, capsys):
    assert run(every(outputs)) == 0
    out = capsys.readouterr().out
    said = {caution["text"]: caution["models"] for caution in written()["cautions"]}
    selected = "the model was selected on all 24 of these faces, so its score here is optimistic"
    assert said[selected] == ["small"]
    assert said["what the model was trained and selected on is not known"] == ["hand"]
    assert f"caution: {selected} (small)" in out
    assert selected[1:] in Path("outputs/compare/synthetic_validation_plain/compare.html").read_text()


def test_faces_that_any_model_has_seen_are_left_out_for_all(outputs, capsys):
    bundles = [load_bundle(path) for path in sorted(outputs.glob("seed*/*/*_small"))]
    faces = face_hashes(synthetic(train=72, validation=24, test=8, size=24).split("validation"))
    for bundle, kept in zip(bundles, (faces[:4], faces[2:9]), strict=True):
        known = replace(bundle, past=Past.of(kept, kept), provenance=dict(bundle.provenance, recipe=str(kept[0])))
        save_bundle(known, Path(f"known{kept[0]}") / "bundle", {}, "")
    assert run("bundles=known*", "unseen=true", "out=x") == 0
    document = written("x")
    assert document["dataset"]["images"] == 15
    assert "15 images never trained or selected on (9 others left out), the same for every" in document["protocol"]
    assert not any("seen" in caution["text"] or "selected on" in caution["text"] for caution in document["cautions"])
    assert run(every(outputs), "unseen=true", "out=y") == 1
    assert f"{outputs}/hand/bundle must say which faces" in capsys.readouterr().err


def test_seeds_are_told_by_what_training_wrote_down(outputs):
    assert run(every(outputs)) == 0
    small = next(model for model in written()["models"] if model["name"] == "small")
    assert small["seeds"] == 2
    assert sorted(member["seed"] for member in small["members"]) == [0, 1]
    assert len({member["provenance"]["recipe"] for member in small["members"]}) == 1
    assert small["epoch_s"] > 0
    assert small["difference"] is None or small["difference"]["only_here"] is None


def test_the_tables_fit_120_columns_and_have_no_colours_in_a_pipe(outputs, capsys):
    assert run(every(outputs)) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("model "))
    end = next(i for i, line in enumerate(lines) if line.startswith("Against "))
    table = [line for line in lines[start:end] if not line.startswith("baselines")]
    assert all(len(line) <= 120 for line in table)
    assert not any("…" in line for line in table)
    assert "\x1b" not in "".join(lines)


def test_the_page_needs_no_other_file_and_names_are_told_as_they_are(outputs, tmp_path, capsys):
    evil = tmp_path / "<b>[red]x"
    save_bundle(untrained(FERPLUS, {"dataset": "<script>", "data_digest": "e"}), evil / "bundle", {}, "")
    assert run(f"bundles=[{outputs}/seed*/*/*_small,'{evil}']", "out=page", "reference=<b>[red]x") == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("<b>[red]x ") for line in lines) == 2  # among the scores, and above the differences
    page = Path("page/compare.html").read_text()
    addresses = Addresses()
    addresses.feed(page)
    assert len(addresses.found) == 1
    assert all(address.startswith("data:image/") for address in addresses.found)
    assert not addresses.tags & {"script", "link", "iframe", "object", "embed", "b"}
    assert "http" not in page
    assert "&lt;b&gt;[red]x" in page
    assert "McNemar" in page


def test_two_seeds_alone_are_one_row_without_a_difference(outputs, capsys):
    assert run(f"bundles={outputs}/seed*/*/*_small") == 0
    assert [model["seeds"] for model in written()["models"]] == [2]
    assert "against" not in capsys.readouterr().out
    assert "Is the difference" not in Path("outputs/compare/synthetic_validation_plain/compare.html").read_text()


def test_a_run_its_bundle_and_a_glob_of_it_are_one(outputs):
    one = next(outputs.glob("seed*/*/*_small"))
    relative = os.path.relpath(one)
    assert run(f"bundles=[{one},{relative}/bundle,{outputs}/**/bundle]", "out=x") == 0
    assert sum(model["seeds"] for model in written("x")["models"]) == 3


def test_a_reference_by_its_folder(outputs):
    assert run(every(outputs), f"reference={outputs}/hand", "sort=nll") == 0
    document = written()
    assert document["reference"] == "hand"
    nll = [model["scores"]["nll"] for model in document["models"]]
    assert nll == sorted(nll)


def test_a_second_comparison_replaces_the_first_and_is_the_same(outputs):
    documents = []
    for _ in range(2):
        assert run(every(outputs)) == 0
        documents.append({key: value for key, value in written().items() if key != "created"})
    assert documents[0] == documents[1]
    assert documents[0]["format"] == comparison.FORMAT
    assert {path.name for path in Path("outputs/compare/synthetic_validation_plain").iterdir()} == {
        "compare.json",
        "compare.html",
    }


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_comparison_that_fails_leaves_the_older_one(outputs, monkeypatch, error):
    assert run(every(outputs), "out=kept") == 0
    before = {path.name: path.read_bytes() for path in Path("kept").iterdir()}

    def fail(*arguments):
        raise error

    monkeypatch.setattr("ferlab.evaluation.page.write_text", fail)  # compare.json is written by then
    assert run(every(outputs), "out=kept", "seed=1") in (2, 130)
    assert {path.name: path.read_bytes() for path in Path("kept").iterdir()} == before
    assert [path.name for path in Path().iterdir()] == ["kept"]


def test_a_comparison_that_is_stopped_while_scoring_leaves_nothing(outputs, monkeypatch):
    calls = []

    def stop(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt

        return {"expression": np.zeros((len(arguments[1]), 8), np.float32)}

    monkeypatch.setattr("ferlab.bundle.Bundle.logits", stop)
    assert run(every(outputs)) == 130
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("override", "code", "said"),
    [
        ("bundles={0}/*/*_none", 1, "got nothing at '{0}/*/*_none'"),
        ("bundles={0}/hand,{0}/hand", 1, "put brackets around a list"),
        ("bundles={0}/seed*", 1, "got 2 without a bundle at '{0}/seed*'"),
        ("bundles=[{0}/hand,{0}/seed0]", 1, "spec.json, got none in {0}/seed0"),
        ("bundles=[]", 2, "bundles must be folders or globs"),
        ("bundles=[3]", 2, "bundles must be folders or globs"),
        ("bundles={0}/hand", 2, "must be two or more, got only {0}/hand/bundle"),
        ("bundle={0}/hand", 2, "did you mean 'bundles'"),
        ("sort=macrof1", 2, "did you mean 'macro_f1'"),
        ("reference=smal", 2, "did you mean 'small'"),
        ("tta=flp", 2, "did you mean 'flip'"),
        ("split=dev", 2, "unknown split 'dev'; one of: train,"),
        ("bootstrap=0", 2, "at least 1"),
        ("out={0}", 2, "out must be a new folder or an older report's"),
        ("device=cpuu", 2, "did you mean 'cpu'"),
    ],
)
def test_a_wrong_option_is_one_line_and_writes_nothing(outputs, capsys, override, code, said):
    assert run(every(outputs), override.format(outputs)) == code
    error = capsys.readouterr().err
    assert said.format(outputs) in error
    assert error.startswith("ferlab: ")
    assert error.count("\n") == 1
    assert not list(Path().iterdir())


def test_a_bundle_that_cannot_name_a_label_is_named(outputs, tmp_path, capsys):
    save_bundle(untrained(FERPLUS[:6]), tmp_path / "six", {}, "")
    assert run(f"bundles=[{outputs}/hand,{tmp_path}/six]") == 1
    error = capsys.readouterr().err
    assert f"the bundle {tmp_path}/six must know every label" in error
    assert "fear (" in error


def test_a_bundle_that_answers_no_expressions_is_named(outputs, tmp_path, capsys):
    save_bundle(untrained((), affect=True), tmp_path / "affect", {}, "")
    assert run(f"bundles=[{outputs}/hand,{tmp_path}/affect]") == 1
    error = capsys.readouterr().err
    assert f"{tmp_path}/affect" in error
    assert "expressions" in error


def test_damaged_metrics_are_named(outputs, tmp_path, capsys):
    save_bundle(untrained(FERPLUS), tmp_path / "torn", {}, "")
    (tmp_path / "torn" / "metrics.json").write_text('{"time/epo')
    assert run(f"bundles=[{outputs}/hand,{tmp_path}/torn]", "out=x") == 1
    assert f"{tmp_path}/torn/metrics.json must hold" in capsys.readouterr().err
    assert not Path("x").exists()
