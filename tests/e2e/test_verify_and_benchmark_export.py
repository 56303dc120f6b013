"""`ferlab verify` and `ferlab benchmark export` on an exported file, from the command line."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ferlab import formats
from ferlab.benchmark import export
from ferlab.bundle import Bundle, save_bundle
from ferlab.cli import main
from ferlab.formats.seal import Seal
from ferlab.labels import FERPLUS
from ferlab.models import build

from .conftest import MODEL, untrained

pytest.importorskip("onnxscript")
pytestmark = pytest.mark.usefixtures("in_tmp")

DATA = ["data=synthetic", "data.train=0", "data.validation=300", "data.test=260", "data.size=24"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with a bundle and its exported file, and beside it a bundle of the same specification, other weights."""
    from ferlab.documents import write_documents
    from ferlab.formats.onnx import write

    folder = tmp_path_factory.mktemp("made")
    bundle = untrained(FERPLUS, {"dataset": "synthetic"})
    other = Bundle(bundle.spec, MODEL, build(bundle.spec, MODEL["name"], MODEL["options"]).eval(), {})
    save_bundle(bundle, folder / "run" / "bundle", {}, "")
    save_bundle(other, folder / "other" / "bundle", {}, "")
    exports = folder / "run" / "exports"
    exports.mkdir()
    seal = Seal("onnx", "probabilities", bundle.spec, bundle.model, bundle.provenance)
    write(bundle, seal, exports / "model.onnx", None, "")
    write_documents(exports, bundle.spec, bundle.model, bundle.provenance)
    return folder


@pytest.fixture
def file(made):
    return made / "run" / "exports" / "model.onnx"


def one_line(capsys, *words):
    """The exit code and the only line that a command says."""
    code = main(list(words))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return code, captured.err


# verify


def test_a_file_that_answers_like_its_bundle(file, capsys):
    assert main(["verify", f"file={file}", *DATA, "faces=256"]) == 0
    first, _, row = capsys.readouterr().out.splitlines()
    assert first.startswith("256 validation faces of ")
    assert row.split()[0] == "model.onnx"
    assert "100.00" in row
    assert row.endswith("verified")


def test_a_folder_gives_every_file_and_the_dataset_is_the_bundles(file, capsys, tmp_path):
    exports = tmp_path / "run" / "exports"
    shutil.copytree(file.parent.parent, tmp_path / "run")
    shutil.copy(file, exports / "zwei.onnx")
    (exports / ".model.onnx.tmp.onnx").touch()  # left by a computer that lost its power
    assert main(["verify", f"file={exports}", "split=test", *DATA[1:]]) == 0
    first, _, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("260 test faces of ")
    assert [row.split()[0] for row in rows] == ["model.onnx", "zwei.onnx"]


def test_a_file_that_does_not_answer_like_the_bundle_fails_with_the_faults(file, made, capsys):
    assert main(["verify", f"file={file}", f"bundle={made / 'other'}", *DATA]) == 1
    _, _, row, *faults = capsys.readouterr().out.splitlines()
    assert row.endswith("differs")
    assert faults[0].startswith("model.onnx: an answer differs by 0.")
    assert "of labels agree, 100 % must" in faults[1]


def test_a_damaged_file_is_refused_before_it_runs(file, tmp_path, capsys):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "model.onnx").write_bytes(data)
    code, said = one_line(capsys, "verify", f"file={tmp_path / 'model.onnx'}", *DATA)
    assert code == 1
    assert "is damaged or was changed" in said


def test_a_file_needs_its_bundle(file, tmp_path, capsys):
    (tmp_path / "far").mkdir()
    moved = shutil.copy(file, tmp_path / "far")
    code, said = one_line(capsys, "verify", f"file={moved}", *DATA)
    assert code == 1
    assert f"got none at {tmp_path / 'bundle'}; set bundle=…" in said
    assert f"ferlab evaluate bundle={moved}" in said


def test_a_bundle_of_another_specification_is_refused(file, bundle, tmp_path, capsys):
    code, said = one_line(capsys, "verify", f"file={file}", f"bundle={tmp_path / 'run'}", *DATA)
    assert code == 1
    assert f"must be of the model {bundle.spec.digest}" in said


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("file=nowhere.onnx", 1, "nowhere.onnx, which is none; check the path"),
        ("file=.", 1, "got none in .; run ferlab export"),
        ("fiel=x", 2, "did you mean 'file'?"),
        ("faces=255", 2, "faces must be at least 256, got 255"),
        ("threads=0", 2, "threads must be at least 1, got 0"),
        ("split=tset", 2, "unknown split 'tset'; did you mean 'test'?"),
        ("data.validation=255", 1, "must have 256 labelled faces, got 255"),
    ],
)
def test_a_mistake_in_verify_is_one_line(word, code, said, file, capsys):
    found, line = one_line(capsys, "verify", f"file={file}", *DATA, word)
    assert found == code
    assert said in line


# benchmark export


QUICK = ["threads=[1]", "batch=[2,1]", "rounds=1", "seconds=0.001", "faces=256", *DATA]


def run(made, *words, bundle="run"):
    return main(["benchmark", "export", f"bundle={made / bundle}", *QUICK, *words])


def canned(times):
    """A stand-in for the process that measures: the path's name -> ms of a call of each batch."""

    def visit(path, threads, faces, plan):
        batches = [
            {"batch": n, "calls": 10, "p50_ms": n * times[path.name], "p95_ms": n * 9.0,
             "images_per_s": 1e3 / times[path.name], "peak_mb": None} for n in plan.batches
        ]  # fmt: skip
        return {"start_ms": 9.0, "load_ms": 1.0, "base_mb": None, "runtime": {"r": "1"}, "batches": batches}

    return visit


def test_a_bundle_and_its_exports_are_measured_and_reported(made, capsys):
    assert run(made, "out=report", "--debug") == 0
    document = json.loads(Path("report/benchmark.json").read_text())
    assert [(row["name"], row["threads"], row["batch"]) for row in document["rows"]] == [
        ("torch eager", 1, 1), ("torch eager", 1, 2), ("onnx", 1, 1), ("onnx", 1, 2),
    ]  # fmt: skip
    eager, onnx = document["rows"][0], document["rows"][2]
    assert onnx["times_eager"]["median"] == pytest.approx(onnx["images_per_s"] / eager["images_per_s"])
    assert all(row["calls"] >= 10 and row["load_ms"] > 0 for row in document["rows"])
    if sys.platform == "linux":
        assert 10 < onnx["base_mb"] < onnx["peak_mb"] < eager["peak_mb"]  # only one of them loads torch
    reference, file = document["models"]
    assert file["bytes"] == (made / "run" / "exports" / "model.onnx").stat().st_size
    assert (file["parity"]["faces"], file["parity"]["agreement"], file["faults"]) == (256, 1.0, [])
    assert "torch" in reference["runtime"]
    assert list(file["runtime"]) == ["onnx", "onnxruntime"]
    assert document["machine"]["cpus"] >= 1
    assert document["best"]["choice"]["name"] in ("onnx", "torch eager")
    out = capsys.readouterr().out
    assert "2 models in 2 processes, one at a time" in out
    assert f"rule: {document['best']['rule']}" in out
    page = Path("report/benchmark.html").read_text()
    assert page.count("<tr") == 3 + 4 + 2  # heads, measurements, models
    assert page.count("data:image/svg") == 2
    assert "http" not in page.split("</style>")[1].replace("http-equiv", "")


def test_a_file_beyond_its_tolerance_is_marked_and_never_best(made, capsys, monkeypatch):
    monkeypatch.setattr(export, "visit", canned({"bundle": 4.0, "model.onnx": 0.5}))
    assert run(made, f"exports={made / 'run' / 'exports'}", bundle="other") == 0
    document = json.loads((made / "other" / "benchmark" / "benchmark.json").read_text())
    assert document["models"][1]["faults"][0].startswith("an answer differs by")
    assert document["best"]["choice"]["name"] == "torch eager"
    assert any("never chosen: onnx (an answer differs" in caution for caution in document["cautions"])
    assert any("memory was not measured" in caution for caution in document["cautions"])
    assert '<span class="verdict bad">beyond</span>' in (made / "other" / "benchmark" / "benchmark.html").read_text()
    assert "best for this machine: torch eager with 1 thread, 250 images/s with batch 1" in capsys.readouterr().out


def test_a_file_that_takes_one_face_at_a_time_is_marked(made, capsys, monkeypatch):
    monkeypatch.setitem(formats.RUNTIMES, ".onnx", replace(formats.RUNTIMES[".onnx"], looped=True))
    monkeypatch.setattr(export, "visit", canned({"bundle": 4.0, "model.onnx": 0.5}))
    assert run(made, "out=looped") == 0
    out = capsys.readouterr().out
    row = next(line.split() for line in out.splitlines() if line.startswith("onnx "))
    assert row[4:8] == ["2,000", "8.00", "8.00–8.00", "2,000*"]  # one face is a batch of its own; of two, a loop
    assert out.index("best for this machine: onnx") < out.index("\nformat ")
    assert Path("looped/benchmark.html").read_text().count("<small>one by one</small>") == 1


def test_an_interrupted_benchmark_leaves_nothing(made, capsys, monkeypatch):
    def stop(path, threads, faces, plan):
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "visit", stop)
    assert run(made, "out=stopped") == 130
    assert capsys.readouterr().err == "ferlab: stopped\n"
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("exports=nowhere", 1, "got none in nowhere; run ferlab export"),
        ("exports=[{0},{0}]", 2, "one file a format, got two of onnx"),
        ("bundle={1}", 1, "must be of the model"),
        ("thread=1", 2, "did you mean 'threads'?"),
        ("threads=[0]", 2, "threads must be different numbers from 1"),
        ("batch=[]", 2, "batch must be different numbers from 1"),
        ("batch=[2,2]", 2, "batch must be different numbers from 1"),
        ("rounds=0", 2, "rounds must be at least 1"),
        ("seconds=0", 2, "seconds must be positive"),
        ("out={2}", 2, "out must be a new folder or an older report's"),
    ],
)
def test_a_mistake_in_the_benchmark_is_one_line(word, code, said, made, file, bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export, "visit", None)  # nothing is measured
    word = word.format(file, tmp_path / "run", tmp_path)
    exports = [] if word.startswith("exports") else [f"exports={file.parent}"]
    found, line = one_line(capsys, "benchmark", "export", f"bundle={made / 'run'}", *QUICK, *exports, word)
    assert found == code
    assert said in line
