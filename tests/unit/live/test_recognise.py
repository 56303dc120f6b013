"""Faces turned into embeddings. SFace's file is not the project's: networks of a few numbers stand in."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from ferlab.errors import ConfigError
from ferlab.live import recognise
from ferlab.live.recognise import TEMPLATE, Recogniser, aligned, recogniser, similarity


def turned(degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    """The template elsewhere in a picture."""
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return TEMPLATE @ turn.T + shift


def test_a_similarity_is_found_back_and_shares_errors() -> None:
    assert similarity(turned(0, 2.0, (10, 20)), TEMPLATE) == pytest.approx(np.array([[0.5, 0, -5], [0, 0.5, -10]]))
    found = similarity(turned(30, 1.5, (7, -3)), TEMPLATE)
    assert np.linalg.det(found[:, :2]) == pytest.approx(1 / 1.5**2)
    # Two points that are 2 apart, to be 3 apart, and a third amid: scale 1.5 about the middle.
    points, target = np.array([[0.0, 0], [2, 0], [1, 0]]), np.array([[0.0, 0], [3, 0], [1.5, 0]])
    assert similarity(points, target) == pytest.approx(np.array([[1.5, 0, 0], [0, 1.5, 0]]))
    # A mirrored face is not mirrored back: reflections are no similarity.
    mirrored = TEMPLATE * [-1, 1]
    assert np.linalg.det(similarity(mirrored, TEMPLATE)[:, :2]) >= 0


def test_landmarks_come_to_lie_on_the_template() -> None:
    picture, points = np.zeros((400, 400, 3), np.uint8), turned(20, 2.5, (90, 40))
    for x, y in points.round().astype(int):
        picture[y - 4 : y + 5, x - 4 : x + 5] = 255
    face = aligned(picture, points.astype(np.float32))
    assert face.shape == (112, 112, 3)
    for x, y in TEMPLATE.round().astype(int):
        assert face[y, x].min() > 200
    assert (face > 100).mean() < 0.02


def write(path: Path, steps: list, inputs: list | None = None, outputs: int = 1, constants: dict | None = None) -> Path:
    constants = {"zero": 0.0, "one": 1.0} if constants is None else constants
    tensors = [onnx.numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()]
    taken = inputs or [make_tensor_value_info("face", 1, [1, 3, 112, 112])]
    given = [make_tensor_value_info("out" if i == 0 else "face2", 1, None) for i in range(outputs)]
    graph = make_graph(steps, "g", taken, given, tensors)
    model = make_model(graph, opset_imports=[make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


MEANS = [make_node("GlobalAveragePool", ["x"], ["mean"]), make_node("Flatten", ["mean"], ["out"])]
PLAIN = [make_node("Identity", ["face"], ["x"]), *MEANS]
LATER = [make_node("Conv", ["face", "filters"], ["z"]), make_node("Sub", ["z", "zero"], ["y"]),
         make_node("Mul", ["y", "one"], ["x"]), *MEANS]  # fmt: skip
OWN = [make_node("Sub", ["face", "zero"], ["y"]), make_node("Mul", ["y", "one"], ["x"]), *MEANS]
RED = np.full((112, 112, 3), (255, 0, 0), np.uint8)


def test_pixels_are_scaled_unless_the_graph_does_it(tmp_path: Path) -> None:
    plain, own = Recogniser(write(tmp_path / "a.onnx", PLAIN)), Recogniser(write(tmp_path / "b.onnx", OWN))
    assert plain(RED, TEMPLATE) == pytest.approx(np.array([1, -1, -1]) / np.sqrt(3), abs=1e-6)
    assert own(RED, TEMPLATE) == pytest.approx([1, 0, 0])
    raised = [make_node("Add", ["face", "one"], ["x"]), *MEANS]  # from 1 and -1 to 2 and 0
    assert Recogniser(write(tmp_path / "d.onnx", raised))(RED, TEMPLATE) == pytest.approx([1, 0, 0], abs=1e-6)
    filters = {"zero": 0.0, "one": 1.0, "filters": np.eye(3).reshape(3, 3, 1, 1)}
    later = Recogniser(write(tmp_path / "c.onnx", LATER, constants=filters))  # an activation, as a converter has it
    assert later(RED, TEMPLATE) == pytest.approx(np.array([1, -1, -1]) / np.sqrt(3), abs=1e-6)
    assert (plain.width, plain.digest) == (3, hashlib.sha256((tmp_path / "a.onnx").read_bytes()).hexdigest())


def test_weights_may_be_named_as_inputs_as_old_files_do(tmp_path: Path) -> None:
    inputs = [make_tensor_value_info("face", 1, [1, 3, 112, 112])]
    inputs += [make_tensor_value_info(name, 1, []) for name in ("zero", "one")]
    model = onnx.load(write(tmp_path / "a.onnx", OWN, inputs))
    model.ir_version = 3
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    assert Recogniser(tmp_path / "a.onnx")(RED, TEMPLATE) == pytest.approx([1, 0, 0])


def test_the_known_file_is_downloaded_once_and_normalises_by_itself(tmp_path: Path, monkeypatch) -> None:
    file = write(tmp_path / "served.onnx", PLAIN)
    monkeypatch.setenv("FERLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(recognise, "URL", file.as_uri())
    monkeypatch.setattr(recognise, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    said: list[str] = []
    assert recogniser(None, said.append)(RED, TEMPLATE) == pytest.approx([1, 0, 0])
    file.unlink()
    recogniser(None, said.append)
    assert [line.split()[0] for line in said] == ["downloading"]
    monkeypatch.setenv("FERLAB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(ConfigError, match=r"cannot download .* give identity_file="):
        recogniser(None, said.append)
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([make_node("Loop", ["face"], ["out"])], "known operators alone, got 'Loop'"),
        ([make_node("Identity", ["face"], ["out"])], "must take .* and give .1, d. float32"),
        ([make_node("Cast", ["face"], ["x"], to=11), *MEANS], "must be a network for faces of 112 pixels"),
        ([make_node("Expand", ["face", "huge"], ["out"])], "bytes in one result"),
    ],
)
def test_another_network_is_refused(tmp_path: Path, steps: list, said: str) -> None:
    file = write(tmp_path / "a.onnx", steps)
    model = onnx.load(file)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([10**6, 3, 112, 112]), "huge"))
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError, match=said):
        Recogniser(file)


def test_what_is_no_network_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(ConfigError, match="must be an ONNX model"):
        Recogniser(tmp_path / "a.onnx")
    with pytest.raises(ConfigError, match=r"cannot read the recogniser .*nowhere.onnx: No such file"):
        Recogniser(tmp_path / "nowhere.onnx")
    constants = {"zero": 0.0, "one": float("nan")}
    with pytest.raises(ConfigError, match="must answer finite numbers"):
        Recogniser(write(tmp_path / "nan.onnx", OWN, constants=constants))
