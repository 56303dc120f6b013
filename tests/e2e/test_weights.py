"""Fine-tuning as a user runs it: a run that starts from another's bundle says so, and so does what it leaves."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

import ferlab
from ferlab import formats
from ferlab.cli import main
from ferlab.data.hashes import face_hashes
from ferlab.data.source import SPLITS
from ferlab.data.synthetic import synthetic
from ferlab.errors import BundleError

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
    started = run("second", f"model.weights={first}", "data.seed=1", "trainer.epochs=1", "scheduler=constant")
    origin = json.loads((started / "run.json").read_text())["weights"]
    past = ferlab.load_bundle(started).past.summary
    shutil.rmtree(first)
    config = started / "config.yaml"
    config.write_text(config.read_text().replace("epochs: 1", "epochs: 2"))
    assert main(["train", f"resume={started}"]) == 0
    assert json.loads((started / "run.json").read_text())["weights"] == origin
    assert ferlab.load_bundle(started).provenance["weights"] == origin
    assert ferlab.load_bundle(started).past.summary == past
    assert past["trained"] == 64


def test_its_bundle_and_its_exports_have_seen_the_faces_of_both(tmp_path, capsys):
    """Of the run and of the bundle that it started from; of a bare file nobody can tell."""
    first = run("first", "trainer.epochs=1")
    second = run("second", f"model.weights={first}", "data.seed=1", "trainer.epochs=1")
    assert "seen    64 faces to train on, 32 to select on\n" in capsys.readouterr().out
    past = ferlab.load_bundle(second).past
    for seed in (0, 1):
        source = synthetic(train=32, validation=16, test=8, size=24, seed=seed)
        counts = [[int(rows.sum()) for rows in past.seen(face_hashes(source.split(name)))] for name in SPLITS]
        assert counts == [[32, 0], [0, 16], [0, 0]]

    drawn = [*TINY[:5], "data.validation=256", "faces=256", "data.test=0"]
    assert main(["export", f"bundle={second}", "format=torchscript", *drawn]) == 0
    file = second / "exports" / "model.torchscript"
    assert formats.read(file).past.summary == past.summary
    alone = Path(shutil.copy(file, tmp_path / "alone.torchscript"))
    assert formats.read(alone).past is None
    assert formats.read(alone).provenance["past"] == past.summary
    shutil.copy(first / "bundle" / "past.bin", tmp_path)
    with pytest.raises(BundleError, match=r"past\.bin must be the one that its model names"):
        formats.read(alone)

    bare = Path(shutil.copy(first / "bundle" / "weights.safetensors", tmp_path / "bare.safetensors"))
    third = run("third", f"model.weights={bare}", "trainer.epochs=1")
    assert "32 faces to train on, 16 to select on; what its start weights or teacher saw is not known" in (
        capsys.readouterr().out
    )
    assert not ferlab.load_bundle(third).past.whole


def test_weights_that_do_not_fit_stop_the_run_with_one_line(capsys):
    first = run("first")
    capsys.readouterr()
    assert main(["train", *TINY, f"model.weights={first}", "model.options.width=8"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ferlab: model.weights=")
    assert error.count("\n") == 1
