"""Fine-tuning as a user runs it: a run that starts from another's bundle says so, and so does what it leaves."""

import hashlib
import json
from pathlib import Path

import pytest

import ferlab
from ferlab.cli import main

TINY = [
    "data=synthetic", "data.train=32", "data.validation=16", "data.test=8", "data.size=24", "model=small_resnet",
    "model.size=16", "model.options.width=4", "loss=cross_entropy", "optimizer=sgd", "augment=none",
    "trainer.batch_size=16", "trainer.epochs=2", "trainer.threads=1", "tracker=none",
]  # fmt: skip

pytestmark = pytest.mark.usefixtures("in_tmp")


def run(name, *arguments):
    assert main(["train", *TINY, f"name={name}", *arguments]) == 0
    return next(Path("outputs").glob(f"*/*_{name}"))


def test_a_run_says_what_it_started_from_and_its_bundle_and_card_too(capsys):
    first = run("first")
    assert json.loads((first / "run.json").read_text())["weights"] is None
    assert "trained from scratch" in (first / "bundle" / "README.md").read_text()
    capsys.readouterr()

    second = run("second", f"model.weights={first}")
    file = first / "bundle" / "weights.safetensors"
    origin = {"path": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert f"weights {file}: " in capsys.readouterr().out
    assert json.loads((second / "run.json").read_text())["weights"] == origin
    bundle = ferlab.load_bundle(second)
    assert bundle.provenance["weights"] == origin
    assert set(bundle.model) == {"name", "options"}
    assert f"fine-tuned from {file}" in (second / "bundle" / "README.md").read_text()


def test_a_resumed_run_remembers_though_the_weights_are_gone(capsys):
    first = run("first")
    started = run("second", f"model.weights={first}", "trainer.epochs=1", "scheduler=constant")
    origin = json.loads((started / "run.json").read_text())["weights"]
    (first / "bundle" / "weights.safetensors").unlink()
    config = started / "config.yaml"
    config.write_text(config.read_text().replace("epochs: 1", "epochs: 2"))
    assert main(["train", f"resume={started}"]) == 0
    assert json.loads((started / "run.json").read_text())["weights"] == origin
    assert ferlab.load_bundle(started).provenance["weights"] == origin


def test_weights_that_do_not_fit_stop_the_run_with_one_line(capsys):
    first = run("first")
    capsys.readouterr()
    assert main(["train", *TINY, f"model.weights={first}", "model.options.width=8"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ferlab: model.weights=")
    assert error.count("\n") == 1
