import numpy as np
import pytest

from ferlab.live.frame import Faces, Frame
from ferlab.live.track import Tracker, overlaps

NOTHING = np.zeros((4, 4, 3), np.uint8)


def follow(tracker: Tracker, times: list[float], boxes: list[list[list[float]]]) -> list[list[int]]:
    """The ids of the faces of each frame."""
    frames = [Frame(i, time, NOTHING) for i, time in enumerate(times)]
    return [tracker(frame, Faces.found(found)).ids.tolist() for frame, found in zip(frames, boxes, strict=True)]


def at(x: float, y: float = 0, side: float = 40) -> list[float]:
    return [x, y, side, side]


def test_overlap_by_hand() -> None:
    found = overlaps(
        np.array([[0, 0, 10, 10.0]]), np.array([[5, 5, 10, 10], [20, 0, 5, 5], [0, 0, 10, 10], [3, 3, 0, 0.0]])
    )
    assert found.tolist() == [pytest.approx([25 / 175, 0, 1, 0])]
    assert overlaps(np.zeros((0, 4)), np.zeros((2, 4))).shape == (0, 2)


def test_ids_stay_when_the_one_in_the_middle_leaves_and_returns() -> None:
    left, middle, right = at(0), at(100), at(200)
    boxes = [[left, middle, right], [left, right], [right, left], [left, middle, right]]
    assert follow(Tracker(), [0, 0.1, 0.2, 0.3], boxes) == [[0, 1, 2], [0, 2], [2, 0], [0, 1, 2]]
    # Away for longer than the patience, it is somebody new, and its old id is nobody's.
    boxes = [[left, middle, right], *[[left, right]] * 4, [left, middle, right], [left, middle]]
    assert follow(Tracker(patience=0.5), [0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2], boxes)[-2:] == [[0, 3, 2], [0, 3]]


@pytest.mark.parametrize("rate", [10, 30, 120])
def test_faces_that_cross_keep_their_ids_at_any_rate(rate: int) -> None:
    times = [i / rate for i in range(3 * rate)]
    # Two walk towards each other, one a little lower, and are one box while they cross.
    paths = [[at(100 * t), at(300 - 100 * t, 15)] for t in times]
    ids = follow(Tracker(), times, [pair if abs(pair[0][0] - pair[1][0]) > 8 else pair[:1] for pair in paths])
    assert ids[0] == ids[-1] == [0, 1]
    assert max(max(each) for each in ids) == 1


def test_without_velocity_they_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferlab.live.track.COAST", 0.0)
    fast = [[at(60 * i)] for i in range(4)]
    assert follow(Tracker(), [0, 0.1, 0.2, 0.3], fast) == [[0], [1], [2], [3]]


def test_a_fast_face_is_one_once_its_velocity_is_known() -> None:
    boxes = [[at(0)], [at(15)], [at(35)], [at(65)], [at(95)]]
    assert follow(Tracker(), [0, 0.1, 0.2, 0.3, 0.4], boxes) == [[0]] * 5


def test_nobody_for_long_and_two_frames_of_one_time() -> None:
    tracker = Tracker()
    assert follow(tracker, [0.0, 0.5, 100, 100, 100.1], [[at(0)], [], [], [at(0)], [at(0)]]) == [[0], [], [], [1], [1]]
    assert follow(Tracker(), [0, 0], [[at(0)], [at(9)]]) == [[0], [0]]


def test_a_new_face_near_a_lost_one_is_its_heir_for_a_while() -> None:
    tracker = Tracker(patience=0.5, memory=2.0)
    left, middle, right = at(0), at(100), at(200)
    boxes = [[left, middle, right], [left, right], [left, right, at(130)]]
    assert follow(tracker, [0, 0.4, 0.8], boxes)[-1] == [0, 2, 3]
    assert tracker.heirs == {3: 1}
    assert follow(tracker, [0.9], [[left, right, at(130), at(90)]]) == [[0, 2, 3, 4]]  # it has an heir already
    assert tracker.heirs == {3: 1}
    assert follow(tracker, [2.5, 2.6], [[left], [left, at(145)]]) == [[5], [5, 6]]
    assert tracker.heirs == {3: 1, 5: 0, 6: 3}
    follow(tracker, [10.0, 10.1], [[], [left]])
    assert tracker.heirs == {}  # all are forgotten


def test_somebody_far_away_or_long_after_inherits_nothing() -> None:
    for time, box in ((0.8, at(145)), (2.1, at(0))):
        tracker = Tracker(patience=0.5, memory=2.0)
        follow(tracker, [0, time], [[at(100) if box[0] else at(0)], [box]])
        assert tracker.heirs == {}


def test_the_face_keeps_all_else() -> None:
    faces = Faces.found([at(0), at(100)], [0.7, 0.8], np.ones((2, 5, 2)))
    tracked = Tracker()(Frame(0, 0.0, NOTHING), faces)
    assert np.array_equal(tracked.boxes, faces.boxes)
    assert np.array_equal(tracked.landmarks, faces.landmarks)
    assert tracked.scores.tolist() == faces.scores.tolist()
