import numpy as np
import pytest

from ferlab.errors import SpecError
from ferlab.live.frame import Faces

BOXES = [[1, 2, 30, 40], [5, 6, 70, 80], [9, 9, 10, 10]]


def test_what_a_detector_finds_has_neither_track_nor_answers():
    faces = Faces.found(BOXES)
    assert len(faces) == 3
    assert faces.boxes.dtype == np.float32
    assert faces.scores.tolist() == [1, 1, 1]
    assert np.isnan(faces.eyes).all()
    assert faces.ids.tolist() == [-1, -1, -1]
    assert not faces.answers


def test_no_face_is_a_frame_like_any_other():
    faces = Faces.found([])
    assert (len(faces), faces.boxes.shape, faces.landmarks.shape) == (0, (0, 4), (0, 5, 2))
    assert len(faces[np.zeros(0, bool)]) == 0


@pytest.mark.parametrize("rows", [np.array([True, False, True]), np.array([0, 2]), slice(0, 3, 2)])
def test_rows_stay_together(rows):
    landmarks = np.arange(30).reshape(3, 5, 2)
    faces = Faces.found(BOXES, [0.9, 0.8, 0.7], landmarks)
    faces = Faces(faces.boxes, faces.scores, faces.landmarks, np.array([4, 5, 6]), {"affect": np.eye(3)[:, :2]})
    chosen = faces[rows]
    assert chosen.boxes.tolist() == [BOXES[0], BOXES[2]]
    assert chosen.scores.tolist() == pytest.approx([0.9, 0.7])
    assert chosen.eyes.tolist() == landmarks[[0, 2], :2].tolist()
    assert chosen.ids.tolist() == [4, 6]
    assert chosen.answers["affect"].tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"scores": [1.0]}, r"scores of 3 faces must have the shape \(3,\), got \(1,\)"),
        ({"landmarks": np.zeros((3, 4, 2))}, r"landmarks of 3 faces must have the shape \(3, 5, 2\), got \(3, 4, 2\)"),
    ],
)
def test_arrays_of_another_length_are_refused(wrong, said):
    with pytest.raises(SpecError, match=said):
        Faces.found(BOXES, **wrong)


def test_answers_of_another_length_are_refused():
    faces = Faces.found(BOXES)
    with pytest.raises(SpecError, match=r"answers of 3 faces must have the shape \(3, k\), got \(2, 8\)"):
        Faces(faces.boxes, faces.scores, faces.landmarks, faces.ids, {"expression": np.zeros((2, 8))})
