"""YuNet decoded by hand; its file is not the project's, so a stand-in answers. benchmarks/crop.py runs the real one."""

from types import SimpleNamespace

import numpy as np
import pytest

from ferlab.errors import ConfigError
from ferlab.live import yunet
from ferlab.live.frame import Frame
from ferlab.live.yunet import OUTPUTS, YuNet, decode


def nothing(height: int, width: int) -> dict[str, np.ndarray]:
    """What the network says of a picture without faces."""
    cells = {stride: (height // stride) * (width // stride) for stride in yunet.STRIDES}
    return {
        f"{part}_{stride}": np.zeros((1, cells[stride], numbers), np.float32)
        for part, numbers in yunet.PARTS.items()
        for stride in yunet.STRIDES
    }


def put(outputs: dict[str, np.ndarray], stride: int, cell: int, score: float, box: list[float]) -> None:
    outputs[f"cls_{stride}"][0, cell] = score
    outputs[f"obj_{stride}"][0, cell] = score
    outputs[f"bbox_{stride}"][0, cell] = box
    outputs[f"kps_{stride}"][0, cell] = np.arange(10) / 10


def test_a_cell_is_decoded_by_hand() -> None:
    outputs = nothing(64, 96)
    # Stride 16 has 6 columns: cell 8 is row 1, column 2. Centre (2.5, 1.25)·16 = (40, 20); size (e⁰, e^ln 2)·16.
    put(outputs, 16, 8, 0.81, [0.5, 0.25, 0.0, np.log(2)])
    outputs["cls_16"][0, 8] = 0.64
    boxes, scores, points = decode(outputs, 96, 0.6)
    assert boxes.tolist() == [pytest.approx([32, 4, 16, 32])]
    assert scores.tolist() == pytest.approx([np.sqrt(0.64 * 0.81)])
    assert points[0, 0].tolist() == pytest.approx([32, 17.6])  # (2 + 0, 1 + 0.1)·16
    assert points[0, 4].tolist() == pytest.approx([44.8, 30.4])
    assert len(decode(outputs, 96, 0.73)[0]) == 0


def test_no_face_has_the_shapes_of_some() -> None:
    assert [each.shape for each in decode(nothing(32, 32), 32, 0.6)] == [(0, 4), (0,), (0, 5, 2)]


def test_numbers_that_are_none_are_no_face() -> None:
    outputs = nothing(32, 32)
    put(outputs, 8, 0, 0.9, [np.nan, 0, 0, 0])
    assert len(decode(outputs, 32, 0.6)[0]) == 0


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch):
    """A function that makes a detector whose network finds a face, of 4 cells of stride 8, about where white begins."""
    seen: list[np.ndarray] = []

    def run(names, feeds):
        (picture,) = feeds.values()
        seen.append(picture)
        outputs = nothing(*picture.shape[2:])
        for y, x in np.argwhere(picture[0, 0] > 250)[:1]:
            for cell in (0, 1):  # a neighbour finds it too
                columns = picture.shape[3] // 8
                put(
                    outputs,
                    8,
                    y // 8 * columns + x // 8 + cell,
                    0.9 - cell / 10,
                    [2.0 - cell, 2.0, np.log(4), np.log(4)],
                )
        return [outputs[name] for name in names]

    session = SimpleNamespace(run=run, get_inputs=lambda: [SimpleNamespace(name="input")])
    monkeypatch.setattr(yunet, "_open", lambda path, threads: session)

    def make(**settings):
        return YuNet("file", **settings), seen

    return make


def frame(height: int, width: int, y: int, x: int) -> Frame:
    image = np.zeros((height, width, 3), np.uint8)
    image[y : y + 64, x : x + 64, 2] = 255  # blue, which BGR has first
    return Frame(0, 0.0, image)


def test_the_picture_goes_in_as_bgr_padded_and_boxes_come_out_once(made) -> None:
    detect, seen = made(sides=(640,), smallest=10)
    faces = detect(frame(100, 130, 16, 24))
    assert [each.shape for each in seen] == [(1, 3, 128, 160)]
    assert seen[0].dtype == np.float32
    assert faces.boxes.tolist() == [pytest.approx([24, 16, 32, 32])]
    assert faces.scores.tolist() == pytest.approx([0.9])
    assert faces.landmarks[0, 0].tolist() == pytest.approx([24, 16.8])


def test_a_large_picture_is_searched_small_and_its_boxes_are_its_own(made) -> None:
    detect, seen = made(sides=(320, 1280), smallest=10)
    faces = detect(frame(960, 1280, 64, 128))
    assert [each.shape[2:] for each in seen] == [(256, 320), (960, 1280)]
    found = sorted(faces.boxes.tolist(), key=lambda box: box[2])
    assert found == [pytest.approx([128, 64, 32, 32]), pytest.approx([128, 64, 128, 128])]
    detect, seen = made(sides=(320, 1280), smallest=10)
    seen.clear()
    detect(frame(100, 300, 16, 24))
    assert len(seen) == 1  # both would be the picture as it is


def test_small_faces_are_left_out(made) -> None:
    picture = frame(100, 130, 16, 24)
    assert len(made(sides=(640,), smallest=32)[0](picture)) == 1
    assert len(made(sides=(640,), smallest=33)[0](picture)) == 0


def test_only_opencvs_file_is_opened(tmp_path) -> None:
    file = tmp_path / "face.onnx"
    with pytest.raises(ConfigError, match=r"cannot read the detector .*face\.onnx: No such file"):
        YuNet(file)
    file.write_bytes(b"anything")
    with pytest.raises(ConfigError, match=r"must be OpenCV's .*, got another file of 8 bytes; download it again"):
        YuNet(file)
    assert len(OUTPUTS) == 12
