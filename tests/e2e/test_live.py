import csv
import gc
import hashlib
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import onnx
import pytest

import ferlab
from ferlab.bundle import save_bundle
from ferlab.cli import main
from ferlab.data.images import read_image
from ferlab.errors import ConfigError, DataError
from ferlab.evaluation.drift import Spread, psi
from ferlab.formats.onnx import save
from ferlab.formats.seal import Seal
from ferlab.live.encrypted import session_key
from ferlab.live.frame import Frame
from ferlab.live.haar import Haar
from ferlab.live.session import FRAMES, SUMMARY, TABLE
from ferlab.live.videos import frames
from ferlab.spec import ModelSpec

from .conftest import LABELS, untrained

PHOTOGRAPH = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"  # 512×600; in the public domain


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Twelve frames of a photograph, the person away in the fifth."""
    photograph = cv2.resize(cv2.imread(str(PHOTOGRAPH)), (256, 300))
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (256, 300))
    for i in range(12):
        writer.write(np.zeros_like(photograph) if i == 4 else photograph)
    writer.release()
    return tmp_path / "clip.avi"


def live(*words: str) -> int:
    return main(["live", *words])


def test_a_video_becomes_a_session(tmp_path: Path, bundle, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"bundle={tmp_path / 'run'}", f"source={clip}", "detect=haar", "preset=raw"]
    assert live(*words, f"out={tmp_path / 'session'}") == 0
    told = capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "session" / FRAMES).read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(12))
    assert [len(line["faces"]) for line in lines] == [1, 1, 1, 1, 0, *[1] * 7]
    assert {face["track"] for line in lines for face in line["faces"]} == {0}
    (first,) = lines[0]["faces"]
    frame = cv2.VideoCapture(str(clip)).read()[1][:, :, ::-1]
    left, top, width, height = (round(value) for value in first["box"])
    answer = bundle.predict(np.ascontiguousarray(frame[top : top + height, left : left + width]))
    assert first["label"] == first["unsmoothed"] == answer.label
    assert first["confidence"] == pytest.approx(answer.expression[answer.label], abs=0.05)
    document = json.loads((tmp_path / "session" / SUMMARY).read_text())
    assert document["model"]["spec"] == bundle.spec.digest
    weights = tmp_path / "run" / "bundle" / "weights.safetensors"
    assert document["model"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert document["ended"] == "the source ended"
    assert (document["settings"]["preset"], document["machine"]["cpus"] > 0) == ("raw", True)
    assert len((tmp_path / "session" / TABLE).read_text().splitlines()) == 1 + 11
    assert (document["frames"], document["faces"], document["tracks"], document["errors"]) == (12, 11, 1, 0)
    assert sum(document["labels"].values()) == 11
    assert document["detector"] == "haar"
    assert not any(path.suffix in (".png", ".jpg", ".mp4") for path in (tmp_path / "session").iterdir())
    assert f"face 0  {answer.label}" in told
    assert "12 frames in" in told
    assert "1 face followed" in told
    assert live(*words, f"out={tmp_path / 'session'}") == 2
    assert "must hold no session yet" in capsys.readouterr().err


def test_no_face_is_found_in_a_blurred_recording(tmp_path: Path, bundle, clip: Path, capsys) -> None:
    words = [f"bundle={tmp_path / 'run'}", f"source={clip}", "detect=haar", "screenshots=0.2"]
    assert live(*words, f"out={tmp_path / 'a'}", "record=overlay", "show=[]") == 0
    assert live(*words, f"out={tmp_path / 'b'}", "record=plain", "blur=true", "show=[]") == 0
    found = {}
    for name in "ab":
        folder = tmp_path / name
        pictures = [*(folder / "screenshots").iterdir()]
        images = [frame.image for frame in frames(folder / "video.mp4")] + [read_image(path) for path in pictures]
        found[name] = [len(Haar()(Frame(0, 0.0, image))) for image in images]
        assert json.loads((folder / SUMMARY).read_text())["kept"] == {
            "video": {"file": "video.mp4", "frames": 12, "seconds": 0.44, "ended": "with the session"},
            "screenshots": {"written": 3, "ended": "with the session"},
        }
    assert found == {"a": [1, 1, 1, 1, 0, *[1] * 10], "b": [0] * 15}
    assert f"video   {tmp_path / 'b' / 'video.mp4'}, 12 frames, 0.4 s" in capsys.readouterr().out
    assert live(*words, f"out={tmp_path / 'c'}", "record=plain", "blur=true", "search=adaptive") == 2
    assert not (tmp_path / "c").exists()


def test_crops_are_what_the_model_saw(tmp_path: Path, bundle, clip: Path, capsys, monkeypatch) -> None:
    words = [f"bundle={tmp_path / 'run'}", f"source={clip}", "detect=haar", "crops=true", f"out={tmp_path / 's'}"]
    assert live(*words) == 0
    folder = tmp_path / "s" / "crops"
    rows = list(csv.DictReader((folder / "crops.csv").read_text().splitlines()))
    assert sorted(row["file"] for row in rows) == sorted(str(p.relative_to(folder)) for p in folder.glob("*/*.png"))
    frame_lines = [json.loads(line) for line in (tmp_path / "s" / FRAMES).read_text().splitlines()]
    lines = {(line["frame"], face["track"]): face for line in frame_lines for face in line["faces"]}
    assert len(rows) == len(lines) == 11
    for row in rows:
        face = lines[int(row["frame"]), int(row["track"])]
        shares = {name: float(row[name]) for name in LABELS}
        assert Path(row["file"]).parent.name == row["label"] == face["label"]
        assert max(shares, key=shares.get) == face["unsmoothed"]
        again = bundle.predict(folder / row["file"]).expression
        assert again == pytest.approx(shares, abs=1e-5)
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    assert main(["predict", words[0], f"source={folder}/*/*.png", "format=csv"]) == 0
    told = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["expression"] for row in told] == [
        lines[int(Path(row["source"]).stem[:6]), int(Path(row["source"]).stem[7:])]["unsmoothed"] for row in told
    ]


def test_an_encrypted_session_is_read_with_its_key_alone(
    tmp_path: Path, bundle, clip: Path, capsys, monkeypatch
) -> None:
    words = [
        f"bundle={tmp_path / 'run'}",
        f"source={clip}",
        "detect=none",
        f"encrypt={tmp_path / 'key'}",
        "record=plain",
    ]
    folder = f"session={tmp_path / 's'}"
    assert live(*words, "screenshots=0.4", f"out={tmp_path / 's'}") == 0
    assert f"key     {tmp_path / 'key'} is new" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["session.sealed"]
    assert live("decrypt", folder, f"key={tmp_path / 'key'}", f"out={tmp_path / 'o'}") == 0
    assert "6 files of" in capsys.readouterr().out
    lines = (tmp_path / "o" / FRAMES).read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(12))
    assert json.loads((tmp_path / "o" / SUMMARY).read_text())["kept"]["screenshots"]["written"] == 2
    assert len(list(frames(tmp_path / "o" / "video.mp4"))) == 12
    assert read_image(tmp_path / "o" / "screenshots" / "000010.jpg").shape == (300, 256, 3)
    session_key(tmp_path / "other", tmp_path / "s", print)
    assert live("decrypt", folder, f"key={tmp_path / 'other'}", f"out={tmp_path / 'p'}") == 1
    assert "key must be the one that" in capsys.readouterr().err
    assert live(*words, f"out={tmp_path / 's'}") == 2
    assert "must hold no session yet" in capsys.readouterr().err
    monkeypatch.setattr("ferlab.live.kept.has_av", lambda: False)
    assert live(*words, f"out={tmp_path / 't'}") == 2
    assert "record with encrypt needs PyAV" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


TORCHLESS = """
import json
import sys
sys.modules["torch"] = None  # importing it is an error
from ferlab.cli import main
from ferlab.data.images import read_image
sys.exit(max(main(words) for words in json.loads(sys.argv[1])))
"""


def exported(path: Path, provenance: dict[str, Any] = {}) -> Path:  # noqa: B006
    """A small ONNX file as ferlab writes it, without torch's exporter, which takes seconds."""
    spec, weights = ModelSpec(LABELS, size=24), np.random.default_rng(0).normal(0, 1e-3, (576, 8)).astype(np.float32)
    node, shape = onnx.helper.make_node, ["batch", 1, 24, 24]
    steps = [
        node("Cast", ["images"], ["pixels"], to=onnx.TensorProto.FLOAT),
        node("Flatten", ["pixels"], ["flat"]),
        node("MatMul", ["flat", "weights"], ["logits"]),
        node("Softmax", ["logits"], ["expression"]),
    ]
    taken = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, shape)
    given = onnx.helper.make_tensor_value_info("expression", onnx.TensorProto.FLOAT, ["batch", len(LABELS)])
    graph = onnx.helper.make_graph(steps, "g", [taken], [given], [onnx.numpy_helper.from_array(weights, "weights")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    save(model, Seal("onnx", "probabilities", spec, {"name": "drawn", "options": {}}, provenance), path)
    return path


def test_an_exported_file_needs_no_torch(tmp_path: Path, clip: Path) -> None:
    exported(tmp_path / "model.onnx")
    words = [f"bundle={tmp_path / 'model.onnx'}", f"source={clip}", "detect=haar"]
    commands = [["live", *words, f"out={tmp_path / 's'}", "seconds=0.1"], ["predict", *words, "format=csv"]]
    told = [sys.executable, "-c", TORCHLESS, json.dumps(commands)]
    done = subprocess.run(told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "s" / SUMMARY).exists()
    assert sum(line.startswith(f"{clip},") for line in done.stdout.splitlines()) == 11
    assert main(["predict", *words, "device=cudda"]) == 2


def test_a_session_says_how_far_its_faces_are_from_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ferlab.evaluation.drift.LEAST", 12)
    reference = Spread.of(np.eye(len(LABELS))[[0, 1, 2, 3] * 20])
    model = exported(tmp_path / "model.onnx", {"reference": reference.plain()})
    clip = tmp_path / "noise.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), 25, (24, 24))
    for picture in np.random.default_rng(0).integers(0, 256, (12, 24, 24, 3), dtype=np.uint8):
        writer.write(picture)
    writer.release()
    words = [f"bundle={model}", f"source={clip}", "detect=none", f"out={tmp_path / 's'}"]
    assert live(*words, "smooth.streak=50", "smooth.strong=1", "smooth.window=50") == 0
    lines = [json.loads(line) for line in (tmp_path / "s" / FRAMES).read_text().splitlines()]
    said = [LABELS.index(line["faces"][0]["unsmoothed"]) for line in lines]
    found = json.loads((tmp_path / "s" / SUMMARY).read_text())["drift"]
    assert len(set(said)) > 2  # the smoothed one is always the first
    assert (found["faces"], found["reference"]) == (12, 80)
    assert found["psi_labels"] == pytest.approx(psi(reference.labels, np.bincount(said, minlength=8)), abs=1e-4)
    assert f"drift   PSI {found['psi_labels']:.2f} of labels" in capsys.readouterr().out
    assert live(f"bundle={exported(tmp_path / 'old.onnx')}", f"source={clip}", "detect=none") == 0
    assert "drift   no reference in this model" in capsys.readouterr().out


def test_lines_on_stdout_are_json_alone(tmp_path: Path, bundle, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"bundle={tmp_path / 'run'}", f"source={clip}", "detect=none", "out=-", "top=2", "seconds=0.2"]
    assert live(*words, "smooth.certain=1") == 0
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [line["time"] for line in lines] == pytest.approx([i / 25 for i in range(6)], abs=1e-3)
    assert all(len(line["faces"][0]["expression"]) == 2 for line in lines)
    assert all(line["faces"][0]["uncertain"] for line in lines)
    assert "frames in" in told.err


class Endless:
    """A camera that sends the same dark frame, and asks to stop once there is a line of the session."""

    def __init__(self, lines: Path | None = None) -> None:
        self.given, self.lines = 0, lines

    def read(self) -> tuple[bool, np.ndarray]:
        self.given += 1
        if self.lines and self.lines.is_file() and self.lines.stat().st_size:
            self.lines = None
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return True, np.full((48, 64, 3), 7, np.uint8)

    def release(self) -> None:
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="no pthread_kill there")
def test_ctrl_c_ends_a_camera_with_all_files_whole(
    tmp_path: Path, bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ferlab.live.sources.open_capture", lambda source, backend: Endless(tmp_path / "s" / FRAMES))
    assert (
        live(f"bundle={tmp_path / 'run'}", "source=rtsp://me:secret@host/1", "detect=none", f"out={tmp_path / 's'}")
        == 0
    )
    document = json.loads((tmp_path / "s" / SUMMARY).read_text())
    assert "secret" not in (tmp_path / "s" / SUMMARY).read_text()
    lines = [json.loads(line) for line in (tmp_path / "s" / FRAMES).read_text().splitlines()]
    assert 0 < document["frames"] == len(lines) <= document["camera"]["captured"]
    assert "session" in capsys.readouterr().out


def test_a_camera_that_does_not_open_leaves_no_session(tmp_path: Path, bundle, monkeypatch, capsys) -> None:
    def none(source: str, backend: str) -> None:
        raise DataError("camera 0 cannot be opened")

    monkeypatch.setattr("ferlab.live.sources.open_capture", none)
    assert live(f"bundle={tmp_path / 'run'}", "source=0", "detect=none", f"out={tmp_path / 's'}") == 1
    assert capsys.readouterr().err == "ferlab: camera 0 cannot be opened\n"
    assert not (tmp_path / "s").exists()


def test_a_camera_that_goes_away_leaves_what_was_seen(tmp_path: Path, bundle, monkeypatch, capsys) -> None:
    class Short(Endless):
        def read(self) -> tuple[bool, np.ndarray]:
            self.given += 1
            return self.given < 4, np.full((48, 64, 3), 7, np.uint8)

    captures = iter([Short()])

    def once(source: str, backend: str) -> Short:
        if (capture := next(captures, None)) is None:
            raise DataError("camera 0 cannot be opened")
        return capture

    monkeypatch.setattr("ferlab.live.sources.open_capture", once)
    monkeypatch.setattr("ferlab.live.camera.BACK_OFF_S", 0.001)
    assert live(f"bundle={tmp_path / 'run'}", "source=0", "detect=none", f"out={tmp_path / 's'}") == 1
    told = capsys.readouterr()
    assert "5 tries to open it again failed; check that it is plugged in" in told.err
    assert "with all files whole" in told.out
    document = json.loads((tmp_path / "s" / SUMMARY).read_text())
    assert document["ended"].startswith("DataError: camera 0 gives no frames any more")
    assert document["camera"]["captured"] == 3


def test_python_iterates_over_what_the_command_writes(tmp_path: Path, bundle, clip: Path) -> None:
    settings = {"detect": "haar", "smooth": {"streak": 0.1}}
    found = list(ferlab.live(tmp_path / "run", clip, out=str(tmp_path / "a"), **settings))
    assert [len(seen.people) for seen in found] == [1, 1, 1, 1, 0, *[1] * 7]
    lines = [json.loads(line) for line in (tmp_path / "a" / FRAMES).read_text().splitlines()]
    assert [each["faces"][0]["label"] for each in lines if each["faces"]] == [
        person.label for seen in found for person in seen.people
    ]
    for seen in ferlab.live(tmp_path / "run", clip, out=str(tmp_path / "b"), **settings):  # callable a second time
        if seen.frame.index == 3:
            break
    gc.collect()
    document = json.loads((tmp_path / "b" / SUMMARY).read_text())
    assert (document["frames"], document["ended"]) == (4, "it was stopped")
    with pytest.raises(ConfigError, match="unknown preset 'stabel'; did you mean 'stable'"):
        ferlab.live(tmp_path / "run", clip, preset="stabel")
    with pytest.raises(TypeError, match="sorce"):
        ferlab.live(tmp_path / "run", sorce=clip)


def test_adaptive_search_finds_what_every_frame_does(tmp_path: Path, bundle, clip: Path) -> None:
    watched = ferlab.live(tmp_path / "run", clip, detect="haar", search="adaptive", smooth={}, preset="raw")
    assert [len(seen.people) for seen in watched] == [1, 1, 1, 1, 0, *[1] * 7]
    assert watched.summary()["searched"] < 12


def test_valence_and_arousal_of_a_model_without_labels(tmp_path: Path, clip: Path, capsys) -> None:
    save_bundle(untrained((), affect=True), tmp_path / "run" / "bundle", {}, "")
    assert live(f"bundle={tmp_path / 'run'}", f"source={clip}", "detect=none", "out=-", "seconds=0.1") == 0
    face = json.loads(capsys.readouterr().out.splitlines()[0])["faces"][0]
    assert set(face) == {"track", "box", "score", "valence", "arousal"}
    assert -1 <= face["valence"] <= 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["source=nowhere.mp4"], 1, "source must be a video, got no file nowhere.mp4"),
        (["source=face.png"], 1, "or files that match 'face.png'"),
        (["preset=stabel"], 2, "did you mean 'stable'"),
        (["smooth.window=-1"], 2, "window must be from 0 to 60 seconds, got -1"),
        (["smooth.filter=mean"], 2, "unknown filter 'mean'"),
        (["smooth.filter=centred"], 2, "looks ahead, which nothing live can; use ferlab predict"),
        (["detect=yunnet"], 2, "did you mean 'yunet'"),
        (["backend=v4l"], 2, "did you mean 'v4l2'"),
        (["sorce=0"], 2, "did you mean 'source'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    tmp_path: Path, bundle, clip: Path, capsys, words, code, said
) -> None:
    given = [] if words[0].startswith("source") else [f"source={clip}"]
    assert live(f"bundle={tmp_path / 'run'}", *given, *words, f"out={tmp_path / 's'}") == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "s").exists()
