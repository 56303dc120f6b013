"""`ferlab evaluate` on bundles that answer valence and arousal, beside expressions or alone, and on slices."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ferlab.bundle import save_bundle
from ferlab.cli import main
from ferlab.data.synthetic import synthetic
from ferlab.evaluation.page import write_report
from ferlab.evaluation.predictions import predict
from ferlab.evaluation.report import score
from ferlab.evaluation.settings import Settings
from ferlab.labels import FERPLUS
from ferlab.metrics import affect_scores
from ferlab.runner import softmax
from ferlab.screen import Screen

from .conftest import untrained
from .test_evaluate import Addresses

DATA = {"train": 30, "validation": 40, "test": 0, "size": 24, "seed": 3}


def run(tmp_path, bundle, *overrides):
    save_bundle(bundle, tmp_path / "run" / "bundle", {}, "")
    data = [f"data.{key}={value}" for key, value in DATA.items()]
    return main(["evaluate", f"bundle={tmp_path / 'run'}", "data=synthetic", *data, "bootstrap=20", *overrides])


def written(tmp_path, name="synthetic_validation_plain"):
    folder = tmp_path / "run" / "evaluation" / name
    return json.loads((folder / "report.json").read_text()), (folder / "report.html").read_text()


def direct(bundle, split, mirrored=False):
    """Answers without any of the code under test but the network and `prepare`, (v, n, ·) by head."""
    prepared = np.stack([bundle.spec.prepare(split.read(i)) for i in range(len(split))])
    views = [bundle.logits(view) for view in ([prepared, prepared[..., ::-1]] if mirrored else [prepared])]
    return {head: np.stack([view[head] for view in views]) for head in views[0]}


def test_both_heads_are_scored_as_a_direct_computation_has_it(tmp_path):
    bundle = untrained(FERPLUS, affect=True)
    assert run(tmp_path, bundle, "tta=flip", "batch_size=7") == 0
    document, page = written(tmp_path, "synthetic_validation_flip")
    split = synthetic(**DATA).split("validation")
    answers = direct(bundle, split, mirrored=True)
    scores = affect_scores(answers["affect"].mean(0), split.affect)
    for name in ("valence", "arousal"):
        assert document["affect"]["scores"][name] == pytest.approx(scores[name], rel=1e-5)
    mean = (scores["valence"]["ccc"] + scores["arousal"]["ccc"]) / 2
    assert document["affect"]["scores"]["mean"]["ccc"] == pytest.approx(mean, rel=1e-5)
    guesses = softmax(answers["expression"]).mean(0).argmax(1)
    assert document["expression"]["scores"]["accuracy"] == pytest.approx((guesses == split.labels).mean())
    happy = split.labels == FERPLUS.index("happiness")
    row = document["affect"]["classes"]["happiness"]
    assert row["faces"] == happy.sum()
    assert row["true"]["valence"] == pytest.approx(split.affect[happy, 0].mean(), rel=1e-5)
    assert row["predicted"]["arousal"] == pytest.approx(answers["affect"].mean(0)[happy, 1].mean(), rel=1e-4)
    train = synthetic(**DATA).split("train").affect.mean(0)
    rmse = ((split.affect[:, 0] - train[0]) ** 2).mean() ** 0.5
    assert document["affect"]["baseline"]["valence"]["rmse"] == pytest.approx(rmse, rel=1e-5)
    assert document["left_out"] == []
    assert document["slices"] == {}
    assert "Groups of faces" not in page


def test_an_affect_only_bundle_has_a_whole_report(tmp_path, capsys):
    assert run(tmp_path, untrained((), affect=True)) == 0
    out = capsys.readouterr().out
    document, page = written(tmp_path)
    assert document["expression"] is None
    assert document["left_out"] == ["expressions were not scored: the bundle does not answer them"]
    assert document["left_out"][0] in out
    ccc = document["affect"]["scores"]["valence"]["ccc"]
    line = next(line for line in out.splitlines() if line.startswith("CCC, valence"))
    assert line.split()[2:4] == ["40", f"{ccc:.3f}"]
    assert "accuracy" not in out
    assert document["affect"]["baseline_note"] in out
    assert f"CCC {document['affect']['scores']['mean']['ccc']:.3f} · ferlab evaluation</title>" in page
    assert "Expressions were not scored: the bundle does not answer them." in page
    assert "Valence and arousal by class" in page
    assert "Confusion" not in page
    addresses = Addresses()
    addresses.feed(page)
    assert len(addresses.found) == 3  # agreement, circumplex, class means
    assert all(address.startswith("data:image/svg") for address in addresses.found)


def test_affect_that_the_bundle_does_not_answer_is_named(tmp_path, capsys):
    assert run(tmp_path, untrained(FERPLUS)) == 0
    said = "valence and arousal were not scored: the bundle does not answer them"
    document, page = written(tmp_path)
    assert document["affect"] is None
    assert document["left_out"] == [said]
    assert said in capsys.readouterr().out
    assert said[1:] in page
    assert "<h2>Valence and arousal" not in page


@pytest.fixture
def sliced():
    """The drawn data with the slices gender, of which one value must be escaped, and age, whose last has few faces."""
    source = synthetic(**DATA | {"validation": 80})
    split = source.split("validation")
    gender = np.array(["female", "<b>male", "", "female"] * 20)
    age = np.array(["4-19", "20-39", "20-39", "[70+]"] * 20)
    return replace(source, splits={"validation": replace(split, slices={"gender": gender, "age": age})})


@pytest.mark.parametrize("labels", [FERPLUS, ()])
def test_slices_are_in_the_report_and_on_the_terminal(tmp_path, sliced, labels, capsys):
    from ferlab.commands.evaluate import print_report

    bundle = untrained(labels, affect=True)
    report = score(predict(bundle, sliced, "validation"), bundle, sliced, Settings(bootstrap=20))
    write_report(report, tmp_path / "report")
    document = json.loads((tmp_path / "report" / "report.json").read_text())
    split = sliced.split("validation")
    female = split.slices["gender"] == "female"
    answers = direct(bundle, split)
    row = document["slices"]["gender"]["values"]["female"]
    expected = affect_scores(answers["affect"][0][female], split.affect[female])["arousal"]["ccc"]
    assert row["affect"]["arousal_ccc"] == pytest.approx(expected, rel=1e-4)
    assert ("expression" in row) == bool(labels)
    if labels:
        right = answers["expression"][0].argmax(1) == split.labels
        assert row["expression"]["accuracy"] == pytest.approx(right[female].mean())
        assert row["expression"]["faces"] == 40
    assert list(document["slices"]["age"]["values"]) == ["4-19", "20-39", "[70+]"]
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Groups of faces" in page
    assert "&lt;b&gt;male" in page
    assert "<b>male" not in page
    assert "20 scored faces have no value" in page
    print_report(report, Screen())
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith("[70+]")]
    assert len(lines) == 1 + bool(labels)
    assert all(line.split()[1] == "20" for line in lines)
    assert "fewer than 30 faces are 4-19, [70+]: scores and gaps there may be chance" in out
