"""What `ferlab export` writes answers like the bundle, and what does not never appears under its name."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ferlab import formats
from ferlab.bundle import load_bundle, save_bundle
from ferlab.cli import main
from ferlab.data.synthetic import synthetic
from ferlab.errors import ExportError
from ferlab.formats import exported as exported_module
from ferlab.formats import onnx
from ferlab.formats.seal import Seal

from .conftest import untrained

DRAWN = ["data.train=40", "data.validation=256", "data.test=0", "data.size=24", "calibration=40"]
BESIDE = {"spec.json", "label_map.json", "labels.txt", "README.md"}
FILES = {"model.onnx", "model_int8.onnx", "parity.json", *BESIDE}
NOBODYS_PROVENANCE = {"dataset": "synthetic", "licence": "none"}


def export(run, *overrides):
    return main(["export", f"bundle={run}", *DRAWN, *overrides])


def files(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def read_parity(folder):
    return json.loads((folder / "parity.json").read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run's folder with an untrained bundle, once exported as float32 and in 8 bit; the answers that it gives."""
    run = tmp_path_factory.mktemp("made") / "run"
    save_bundle(untrained(provenance=NOBODYS_PROVENANCE, temperature=1.5), run / "bundle", {}, "a card")
    assert export(run, "format=onnx") == 0
    assert export(run, "format=[onnx_int8]") == 0
    return run


@pytest.fixture
def run(made, tmp_path):
    """A copy of `made`, to change."""
    return Path(shutil.copytree(made, tmp_path / "run"))


@pytest.fixture
def copying(made, monkeypatch):
    """Exporting to ONNX copies what was exported before, for tests of what stands around it."""
    data = (made / "exports" / "model.onnx").read_bytes()
    monkeypatch.setattr(onnx, "write", lambda bundle, seal, path, calibration, way: path.write_bytes(data))


@pytest.fixture
def faces():
    """The validation faces of DRAWN as they are, and their label names."""
    source = synthetic(train=40, validation=256, test=0, size=24)
    split = source.split("validation")
    return [split.read(i) for i in range(len(split))], [source.labels[i] for i in split.labels]


def test_every_file_is_there_and_the_report_is_true(made, faces):
    folder = made / "exports"
    assert files(folder) == FILES
    bundle = load_bundle(made)
    crops, names = faces
    images = np.stack([bundle.spec.prepare(crop) for crop in crops])
    own, truth = bundle.answers(images)["expression"], np.array([bundle.spec.expression.index(n) for n in names])
    document = read_parity(folder)
    assert document["digest"] == bundle.spec.digest
    assert {name: entry.get("calibration") for name, entry in document["files"].items()} == {
        "model.onnx": None, "model_int8.onnx": 40,
    }  # fmt: skip
    for name, entry in document["files"].items():
        data = (folder / name).read_bytes()
        assert entry["bytes"] == len(data)
        answers = formats.read(folder / name).answers(images)["expression"]
        parity = entry["parity"]
        assert parity["faces"] == 256
        assert parity["worst"] == pytest.approx(np.abs(answers - own).max(), rel=1e-3, abs=1e-7)
        assert parity["agreement"] == (answers.argmax(1) == own.argmax(1)).mean()
        assert parity["accuracy"] == {
            "bundle": (own.argmax(1) == truth).mean(), "file": (answers.argmax(1) == truth).mean(),
        }  # fmt: skip
        assert entry["verdict"] == "verified"
        assert entry["protocol"] == synthetic(train=40, validation=256, test=0, size=24).protocol
    assert document["files"]["model.onnx"]["parity"]["worst"] < 1e-4
    said = json.loads((folder / "spec.json").read_text())
    assert said.pop("files").keys() == document["files"].keys()
    assert said == json.loads((made / "bundle" / "spec.json").read_text())
    assert (folder / "labels.txt").read_text().splitlines() == list(bundle.spec.expression)
    labels = json.loads((folder / "label_map.json").read_text())["expression"]
    assert [labels[str(i)] for i in range(8)] == list(bundle.spec.expression)


@pytest.mark.usefixtures("copying")
def test_a_second_export_keeps_the_other_files_entry(run, capsys):
    before = read_parity(run / "exports")["files"]
    for left in (".model.onnx.a1b2c3.onnx", ".past.bin.a1b2c3.bin"):
        (run / "exports" / left).write_text("half of what an export that was killed had written")
    assert export(run, "format=onnx", "faces=256") == 0
    after = read_parity(run / "exports")["files"]
    assert after["model_int8.onnx"] == before["model_int8.onnx"]
    assert files(run / "exports") == FILES
    out = capsys.readouterr().out
    assert "256 validation faces of " in out
    row = next(line for line in out.splitlines() if line.startswith("model.onnx"))
    assert row.split()[-1] == "verified"
    assert "100.00" in row
    assert "\x1b" not in out


@pytest.mark.usefixtures("copying")
@pytest.mark.parametrize("change", ["specification", "provenance"])
def test_exports_of_another_bundle_are_not_mixed_in(run, tmp_path, capsys, change):
    """Two trainings may share a specification: those with affect alone have no temperature that would differ."""
    other = untrained(provenance=NOBODYS_PROVENANCE, temperature=1.5)
    if change == "specification":
        other = replace(other, spec=replace(other.spec, temperature=1.25))
    else:
        other = replace(other, provenance={**NOBODYS_PROVENANCE, "seed": 1})
    save_bundle(other, tmp_path / "other" / "bundle", {}, "")
    before = {path: path.read_bytes() for path in (run / "exports").iterdir()}
    assert export(tmp_path / "other", "format=onnx", f"out={run / 'exports'}") == 2
    error = capsys.readouterr().err
    assert "got those of model" in error
    assert "set out=" in error
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in (run / "exports").iterdir()} == before


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("format=[onnx,onx_int8]", "unknown format 'onx_int8'; did you mean 'onnx_int8'?"),
        ("format=[]", "format must name one format or more"),
        ("graph=logit", "unknown graph 'logit'; did you mean 'logits'?"),
        ("faces=100", "faces must be at least 256, got 100"),
        ("calibration=0", "calibration must be at least 1"),
        ("threads=0", "threads must be at least 1"),
        ("formats=onnx", "did you mean 'format'?"),
        ("format=null", "format must name one format or more"),
    ],
)
def test_a_wrong_option_is_one_line_and_writes_nothing(run, tmp_path, capsys, override, said):
    assert (
        export(
            run, *(["format=onnx"] if not override.startswith("format") else []), override, f"out={tmp_path / 'out'}"
        )
        == 2
    )
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert files(tmp_path / "out") == set()


def test_a_missing_extra_is_named_before_anything_is_done(run, capsys, monkeypatch):
    found = formats.find_spec
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxscript" else found(name))
    assert export(run, "format=onnx") == 1
    assert capsys.readouterr().err == "ferlab: onnx needs onnxscript; install it by pip install 'ferlab[onnx]'\n"
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    assert main(["predict", f"bundle={run / 'exports' / 'model.onnx'}", f"source={run}"]) == 1


def test_a_dataset_that_nobody_names_must_be_given(run, tmp_path, capsys):
    save_bundle(untrained(provenance={"dataset": "mine"}), tmp_path / "other" / "bundle", {}, "")
    assert export(tmp_path / "other", "format=onnx") == 2
    assert "data must be given: the model was trained on mine" in capsys.readouterr().err


def test_too_few_faces_are_no_verification(run, capsys):
    assert export(run, "format=onnx", "data.validation=255") == 1
    assert "must have 256 labelled faces, got 255" in capsys.readouterr().err


def other_weights(bundle):
    """The same network, but that happiness and anger have changed places: 41 % of the faces get another label."""
    net = untrained(temperature=1.5).net
    with torch.no_grad():
        head = net.heads["expression"]
        head.weight[[1, 4]], head.bias[[1, 4]] = head.weight[[4, 1]], head.bias[[4, 1]]
    return replace(bundle, net=net)


def test_a_file_with_other_weights_never_appears(run, tmp_path, capsys, monkeypatch):
    write, before = onnx.write, {path.name: path.read_bytes() for path in (run / "exports").iterdir()}
    monkeypatch.setattr(
        onnx, "write", lambda bundle, seal, path, *rest: write(other_weights(bundle), seal, path, *rest)
    )
    assert export(run, "format=onnx") == 1
    out = capsys.readouterr().out
    assert "not written" in out
    assert "files:" not in out
    faults = [line for line in out.splitlines() if line.startswith("onnx: ")]
    assert "an answer differs by " in faults[0]
    assert "at most 0.0001 is allowed" in faults[0]
    assert "% of labels agree, 100 % must" in faults[1]
    assert {path.name: path.read_bytes() for path in (run / "exports").iterdir()} == before  # the old file stays
    assert export(run, "format=onnx", f"out={tmp_path / 'new'}") == 1
    assert files(tmp_path / "new") == set()


def test_a_format_that_cannot_be_written_does_not_stop_the_others(run, tmp_path, capsys, monkeypatch):
    def refuse(*arguments):
        raise ExportError("no such operator; use another")

    monkeypatch.setattr("ferlab.formats.onnx_int8.write", refuse)
    out = tmp_path / "out"
    assert export(run, "format=[onnx_int8,onnx]", f"out={out}") == 1
    assert files(out) == FILES - {"model_int8.onnx"}
    said = capsys.readouterr()
    assert "model.onnx" in said.out
    assert said.err == "ferlab: onnx_int8: no such operator; use another\n"


def test_float_formats_need_no_faces_of_the_train_split(run, tmp_path, capsys):
    assert export(run, "data.train=0", "format=onnx", f"out={tmp_path / 'out'}") == 0
    assert files(tmp_path / "out") == FILES - {"model_int8.onnx"}
    assert capsys.readouterr().out.endswith(f"files: {tmp_path / 'out'}\n")


@pytest.fixture
def spoilt(monkeypatch):
    """A function after which the graph of every file that is read answers what another function makes of its answers.

    That is below all that ferlab itself checks of answers.
    """
    init = exported_module.Exported.__init__

    def spoil(change):
        monkeypatch.setattr(
            exported_module.Exported,
            "__init__",
            lambda self, path, seal, call: init(self, path, seal, lambda images: change(dict(call(images)))),
        )

    return spoil


NAN = "must answer finite numbers, got NaN or infinity as expression of"


def test_nan_answers_are_a_fault(run, tmp_path, capsys, spoilt):
    def nowhere(answers):
        answers["expression"][-1] = np.nan
        return answers

    spoilt(nowhere)
    assert export(run, "format=onnx", f"out={tmp_path / 'new'}") == 1
    out = capsys.readouterr().out
    assert f"onnx: {NAN} 1 faces" in out
    assert "not written" in out
    assert files(tmp_path / "new") == set()


@pytest.mark.parametrize("good", [0, 1, 2, None])
def test_ways_are_tried_in_order_until_one_is_good(made, run, tmp_path, capsys, monkeypatch, spoilt, good):
    """That a way answers NaN is written down, too."""
    from ferlab.formats import onnx_int8

    ways, tried = formats.FORMATS["onnx_int8"].ways, []
    data = (made / "exports" / "model_int8.onnx").read_bytes()

    def write(bundle, seal, path, calibration, way):
        assert len(calibration) == 40
        tried.append(way)
        path.write_bytes(data)

    def answers(found):
        return found if good is not None and len(tried) == good + 1 else {"expression": found["expression"] * np.nan}

    monkeypatch.setattr(onnx_int8, "write", write)
    spoilt(answers)
    out = tmp_path / "new"
    assert export(run, "format=onnx_int8", f"out={out}") == int(good is None)
    said = capsys.readouterr().out
    if good is None:
        assert tried == list(ways)
        assert files(out) == set()
    else:
        assert tried == list(ways[: good + 1])
        entry = read_parity(out)["files"]["model_int8.onnx"]
        assert entry["way"] == ways[good]
        assert [attempt["way"] for attempt in entry["tried"]] == tried
        assert [attempt["parity"]["worst"] is None for attempt in entry["tried"]] == [True] * good + [False]
    assert [f"onnx_int8, {way}: {NAN}" in said for way in ways] == [good is None or i < good for i in range(len(ways))]


STOPPED = """
import os, signal, sys, time
from ferlab.formats import onnx
def half(bundle, seal, path, calibration, way):
    path.write_bytes(b"half of a file")
    {act}
onnx.write = half
from ferlab.cli import main
sys.exit(main(sys.argv[1:]))
"""


def stopped(run, act):
    code = STOPPED.format(act=act)
    arguments = ["export", f"bundle={run}", *DRAWN, "format=onnx"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_ctrl_c_leaves_the_old_file_and_nothing_else(run):
    before = {path: path.read_bytes() for path in (run / "exports").iterdir()}
    # A shell starts what runs behind it with SIGINT off, and its children inherit that.
    code, error = stopped(run, "signal.signal(2, signal.default_int_handler); os.kill(os.getpid(), 2); time.sleep(60)")
    assert (code, error.splitlines()[-1]) == (130, "ferlab: stopped")
    assert {path: path.read_bytes() for path in (run / "exports").iterdir()} == before


@pytest.mark.usefixtures("copying")
def test_a_kill_leaves_the_old_file_and_is_in_nobodys_way(run):
    before = {path: path.read_bytes() for path in (run / "exports").iterdir()}
    code, _ = stopped(run, "os.kill(os.getpid(), 9)")
    assert code == -signal.SIGKILL
    folder = run / "exports"
    left = {path: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}
    assert left == before
    assert len(list(folder.iterdir())) == len(before) + 1
    assert export(run, "format=onnx") == 0
    assert {path.name for path in folder.iterdir()} == {path.name for path in before}  # what it left went with this one


@pytest.mark.usefixtures("copying")
def test_a_kill_before_the_report_leaves_a_file_that_says_whose_it_is(run, tmp_path, monkeypatch, capsys):
    """The documents come before the file, so that the next export knows the folder for this bundle's."""
    out = tmp_path / "new"
    rename = os.replace

    def until_the_file(source, target):
        rename(source, target)
        if str(target).endswith(".onnx"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", until_the_file)
        assert export(run, "format=onnx", f"out={out}") == 130
    assert files(out) == {"model.onnx", *BESIDE}
    other = untrained(provenance=NOBODYS_PROVENANCE, temperature=1.25)
    save_bundle(other, tmp_path / "other" / "bundle", {}, "")
    assert export(tmp_path / "other", "format=onnx", f"out={out}") == 2
    assert "got those of model" in capsys.readouterr().err


def fill(path):
    """Write until the disk is full."""
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


@pytest.mark.usefixtures("copying")
def test_a_full_disk_is_one_line_and_the_old_file_stays(run, tmp_path, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a small disk: {mounted.stderr.decode().strip()}")
    try:
        shutil.copytree(run / "exports", disk / "exports")
        before = {path: path.read_bytes() for path in (disk / "exports").iterdir()}
        fill(disk / "filler")
        assert export(run, "format=onnx", f"out={disk / 'exports'}") == 1
        error = capsys.readouterr().err
        assert "no space left on the disk" in error
        assert str(disk / "exports" / "model.onnx") in error
        assert error.count("\n") == 1
        assert {path: path.read_bytes() for path in (disk / "exports").iterdir()} == before
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_damaged_report_is_written_anew(run, copying):
    (run / "exports" / "parity.json").write_text("[]")
    assert export(run, "format=onnx") == 0
    assert set(read_parity(run / "exports")["files"]) == {"model.onnx"}


def predictions(capsys, model, source):
    assert main(["predict", f"bundle={model}", f"source={source}", "format=json", "top=8"]) == 0
    document = json.loads(capsys.readouterr().out)
    return document["bundle"], document["faces"]


def same(found, wanted):
    """Two faces' answers are equal but for the last digits of float32."""
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert found[name] == (value if name == "source" else pytest.approx(value, abs=1e-5))


@pytest.mark.parametrize("kind", ["probabilities", "logits", "multitask", "affect"])
def test_predict_answers_alike_by_the_files_path_alone(made, tmp_path, crops, capsys, kind):
    run = made
    if kind != "probabilities":
        fields = {"logits": {}, "multitask": {"affect": True}, "affect": {"labels": (), "affect": True}}[kind]
        bundle = untrained(provenance=NOBODYS_PROVENANCE, temperature=1.0 if kind == "affect" else 2.0, **fields)
        save_bundle(bundle, (run := tmp_path / "run") / "bundle", {}, "")
        assert export(run, "format=onnx", f"graph={'logits' if kind == 'logits' else 'probabilities'}") == 0
        capsys.readouterr()
    digest, wanted = predictions(capsys, run, crops)
    moved = tmp_path / "moved.onnx"  # needs nothing beside it
    shutil.copy(run / "exports" / "model.onnx", moved)
    for path in (run / "exports" / "model.onnx", moved):
        again, found = predictions(capsys, path, crops)
        assert again == digest
        for one, other in zip(found, wanted, strict=True):
            same(one, other)


def test_evaluate_scores_alike_by_the_files_path_alone(run, fer2013_root, capsys):
    documents = []
    for model in (run, run / "exports" / "model.onnx"):
        arguments = ["data=fer2013", f"data.root={fer2013_root}", "bootstrap=10"]
        assert main(["evaluate", f"bundle={model}", *arguments]) == 0
        folder = (run if model == run else model.parent) / "evaluation" / "fer2013_validation_plain"
        documents.append(json.loads((folder / "report.json").read_text()))
    own, file = (document["expression"] for document in documents)
    assert file["confusion"] == own["confusion"]
    assert file["scores"] == pytest.approx(own["scores"], rel=1e-3)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("spec.json", '"neutral"', '"fear"', "labels must differ"),
        ("spec.json", '"temperature": 1.5', '"temperature": 1.0', "it was edited"),
        ("label_map.json", '"neutral"', '"calm"', "as in spec.json"),
    ],
)
def test_an_edited_document_beside_the_file_is_refused(run, crops, capsys, name, old, new, said):
    file = run / "exports" / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    assert main(["predict", f"bundle={run / 'exports' / 'model.onnx'}", f"source={crops}"]) == 1
    captured = capsys.readouterr()
    assert said in captured.err
    assert str(file) in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_seal_is_what_the_file_was_exported_from(made):
    bundle = load_bundle(made)
    for kind, name in (("onnx", "model.onnx"), ("onnx_int8", "model_int8.onnx")):
        expected = Seal(kind, "probabilities", bundle.spec, bundle.model, bundle.provenance)
        assert formats.read(made / "exports" / name).seal == expected
