"""Who is known by face, from pictures to a session. A random projection stands in for SFace, and Haar for YuNet."""

import json
import os
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

import ferlab
from ferlab.cli import main
from ferlab.live import detect, parts
from ferlab.live.frame import Faces, Frame
from ferlab.live.haar import Haar
from ferlab.live.keys import make_key
from ferlab.live.recognise import SIDE, TEMPLATE
from ferlab.live.session import FRAMES, SUMMARY, TABLE

PHOTOGRAPH = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"

pytestmark = pytest.mark.usefixtures("bundle", "landmarks")


class Marked:
    """Finds faces as Haar does, and says that their landmarks lie as in the template."""

    name = "yunet"

    def __call__(self, frame: Frame) -> Faces:
        boxes = Haar()(frame).boxes
        points = [box[:2] + TEMPLATE / SIDE * box[2:] for box in boxes]
        return Faces.found(boxes, landmarks=np.array(points).reshape(-1, 5, 2))


@pytest.fixture
def landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (detect, parts):
        monkeypatch.setattr(module, "detector", lambda name, *rest: Marked() if name == "yunet" else Haar())


def grace(brightness: float = 1.0) -> np.ndarray:
    return (cv2.resize(cv2.imread(str(PHOTOGRAPH)), (256, 300)) * brightness).astype(np.uint8)


def other() -> np.ndarray:
    """Somebody whom Haar finds and the projection takes for another: her colours are turned around."""
    return np.ascontiguousarray(grace()[..., ::-1] // 3)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, image in {
        "1.png": grace(), "2.png": grace(0.9), "none.png": np.zeros((300, 256, 3), np.uint8),
        "two.png": np.concatenate([grace(), grace()], 1),
    }.items():  # fmt: skip
        cv2.imwrite(str(folder / name), image)
    cv2.imwrite(str(tmp_path / "bob.png"), other())
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (256, 300))
    for _ in range(15):
        writer.write(grace(0.95))
    writer.release()
    return tmp_path / "clip.avi"


def enroll(*words: str) -> int:
    return main(["enroll", *words])


def test_who_is_enrolled_is_named_and_stored_only_if_asked(
    tmp_path: Path, photos: Path, clip: Path, recogniser_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = f"gallery={tmp_path / 'g.json'}"
    known = [gallery, f"identity_file={recogniser_file}"]
    assert enroll("name=Ann Ü, the 1st", f"source={photos}", *known) == 1
    told = capsys.readouterr().out
    assert "none.png must show one face, got none" in told
    assert "two.png must show one face, got 2" in told
    assert told.splitlines()[2].startswith("enrolled Ann Ü, the 1st with 2 pictures; ")
    assert enroll("name=Bob", f"source={tmp_path / 'bob.png'}", *known) == 0
    assert "has 2 names, not encrypted" in capsys.readouterr().out
    assert enroll("list", gallery) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["Ann Ü, the 1st  2 pictures", "Bob  1 picture"]

    words = [
        f"bundle={tmp_path / 'run'}",
        f"source={clip}",
        "detect=yunet",
        f"identity={tmp_path / 'g.json'}",
        known[1],
    ]
    assert main(["live", *words, "alike=0.9", f"out={tmp_path / 'private'}"]) == 0
    assert "0.40 s  face 0  is Ann Ü, the 1st" in capsys.readouterr().out
    for name in (FRAMES, TABLE, SUMMARY):
        text = (tmp_path / "private" / name).read_text(encoding="utf-8")
        assert "Ann" not in text
        assert '"name": null' not in text
    assert json.loads((tmp_path / "private" / SUMMARY).read_text())["identity"]["people"] == 2
    assert main(["live", *words, "alike=0.9", "names=true", f"out={tmp_path / 'named'}"]) == 0
    lines = [json.loads(line) for line in (tmp_path / "named" / FRAMES).read_text(encoding="utf-8").splitlines()]
    assert [line["faces"][0]["name"] for line in lines] == [None] * 10 + ["Ann Ü, the 1st"] * 5
    rows = (tmp_path / "named" / TABLE).read_text(encoding="utf-8").splitlines()
    assert rows[0].endswith(",name")
    assert rows[1].endswith(",")
    assert rows[-1].endswith(',"Ann Ü, the 1st"')

    settings = {"detect": "yunet", "identity": str(tmp_path / "g.json"), "identity_file": str(recogniser_file)}
    assert enroll("remove", "name=Ann Ü, the 1st", gallery) == 0
    seen = list(ferlab.live(tmp_path / "run", clip, alike=0.9, **settings))
    assert [person.name for each in seen for person in each.people] == [None] * 15


def test_a_picture_of_somebody_else_is_told(tmp_path: Path, photos: Path, recogniser_file: Path, capsys) -> None:
    known = [f"gallery={tmp_path / 'g.json'}", f"identity_file={recogniser_file}"]
    assert enroll("name=Bob", f"source={tmp_path / 'bob.png'}", *known) == 0
    assert "note" not in capsys.readouterr().out
    cv2.imwrite(str(tmp_path / "1.png"), grace())
    cv2.imwrite(str(tmp_path / "2.png"), grace())
    cv2.imwrite(str(tmp_path / "3.png"), other())
    assert enroll("name=Ann", f"source={tmp_path / '[123].png'}", *known) == 0
    assert "3.png is more like Bob (cosine 1.00) than like Ann" in capsys.readouterr().out


def test_encrypted_from_enrolment_to_session(
    tmp_path: Path, photos: Path, clip: Path, recogniser_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery, key = f"gallery={tmp_path / 'g.json'}", f"key_file={tmp_path / 'key'}"
    words = ["name=Ann", f"source={photos / '1.png'}", gallery, f"identity_file={recogniser_file}"]
    assert enroll(*words, key) == 0
    assert "1 name, encrypted" in capsys.readouterr().out
    assert "Ann" not in (tmp_path / "g.json").read_text()
    assert enroll("list", gallery, key) == 0
    live = [
        f"bundle={tmp_path / 'run'}",
        f"source={clip}",
        "detect=yunet",
        f"identity={tmp_path / 'g.json'}",
        words[-1],
    ]
    capsys.readouterr()
    assert main(["live", *live, key]) == 0
    assert "is Ann" in capsys.readouterr().out
    make_key(tmp_path / "other")
    other = f"key_file={tmp_path / 'other'}"
    for mistake, code, said in (
        (["enroll", *words], 2, "give its key_file"),
        (["enroll", *words, other], 1, "got another key or changed content"),
        (["enroll", *words, f"key_file={tmp_path / 'nowhere'}"], 2, "cannot read the key"),
        (["live", *live], 2, "give its key_file"),
    ):
        assert main(mistake) == code
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["bob.png", "clip.avi", "g.json", "key", "other", "photos", "run"]
    assert enroll("forget", gallery) == 0
    assert not (tmp_path / "g.json").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["enroll", "name=", "source=photos"], 2, "name must be of a person"),
        (["enroll", "name=Ann"], 2, "'source' must be given"),
        (["enroll", "name=Ann", "source=nowhere"], 1, "source must name pictures, found nothing"),
        (["enroll", "name=Ann", "source=photos/none.png"], 1, "source must show Ann, got no usable face in 1 picture"),
        (["enroll", "name=Ann", "source=photos", "gallery=photos/1.png"], 1, "must be a gallery"),
        (["enroll", "source=photos", "name=Ann", "gallery=g.json", "identity_file=other.onnx"], 2, "made with, "),
        (["enroll", "forget", "gallery=photos/1.png"], 1, "must be a gallery"),
        (["enroll", "list"], 1, "cannot read the gallery gallery.json"),
        (["enroll", "remove", "gallery=g.json"], 2, "'name' must be given"),
        (["enroll", "remove", "gallery=g.json", "name=bob"], 2, "did you mean 'Bob'"),
        (["live", "detect=haar", "identity=g.json"], 2, "detect must be yunet where identity is asked"),
        (["live", "names=true"], 2, "names must go with a gallery, got none; give identity=gallery.json"),
        (["live", "identity=g.json", "detect=yunet", "identity_file=other.onnx"], 2, "made with, "),
        (["live", "identity=g.json", "detect=yunet", "alike=2"], 2, "alike must be between 0 and 1, got 2"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    tmp_path: Path, photos: Path, recogniser_file: Path, monkeypatch, capsys, words, code, said
) -> None:
    monkeypatch.chdir(tmp_path)
    content = recogniser_file.read_bytes()
    Path("same.onnx").write_bytes(content)
    Path("other.onnx").write_bytes(content + b"\x2a\x00")  # an empty model_version: the same network, another file
    assert enroll("name=Bob", "source=bob.png", "identity_file=same.onnx", "gallery=g.json") == 0
    capsys.readouterr()
    given = ["bundle=run", "source=photos"] if words[0] == "live" else []
    given += ["identity_file=same.onnx"] if words[1].startswith("name=") and words[0] == "enroll" else []
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main([*words, *given]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
