"""The box filter that looks ahead, by hand."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ferlab.live.centred import Answered, centred
from ferlab.live.frame import Faces, Frame
from ferlab.live.pictures import Picture
from ferlab.runner import Prediction

PIXELS = np.zeros((2, 2, 3), np.uint8)


def frame(time: float, faces: dict[int, float], path: str = "a.mp4") -> Answered:
    """A frame in which each track is keen with a probability, and of that valence."""
    found = Faces.found(np.zeros((len(faces), 4)))
    found = Faces(found.boxes, found.scores, found.landmarks, np.array([*faces], np.int64))
    answers = [Prediction({"keen": p, "bored": 1 - p}, p, -p) for p in faces.values()]
    return Picture(Path(path), Frame(0, time, PIXELS), found, []), answers


def keen(answered: list[Answered]) -> list[list[float]]:
    return [[round(answer.expression["keen"], 6) for answer in answers] for _, answers in answered]


def test_a_mean_of_both_sides_by_hand_with_uneven_times() -> None:
    frames = [frame(t, {0: p}) for t, p in ((0.0, 0.0), (0.1, 0.3), (0.2, 0.9), (0.5, 0.6), (0.61, 0.1))]
    # 0.1 s to each side: the first has itself and the next, the third itself and the second, the last two are alone.
    assert keen(list(centred(frames, 0.2))) == [[0.15], [0.4], [0.6], [0.6], [0.1]]
    found = list(centred(frames, 0.2))[1][1][0]
    assert (list(found.expression), found.valence, found.arousal) == (
        ["bored", "keen"],
        *map(pytest.approx, (0.4, -0.4)),
    )


def test_tracks_come_and_go_on_their_own() -> None:
    frames = [frame(0.0, {0: 0.0, 1: 1.0}), frame(0.1, {1: 0.0}), frame(0.2, {}), frame(0.3, {2: 0.5, 0: 0.8})]
    assert keen(list(centred(frames, 0.2))) == [[0.0, 0.5], [0.5], [], [0.5, 0.8]]
    assert keen(list(centred(frames, 0.6))) == [[0.4, 0.5], [0.5], [], [0.5, 0.4]]


def test_it_ends_at_the_end_of_a_video_and_leaves_pictures_alone() -> None:
    picture = Picture(Path("p.jpg"), Frame(0, 0.0, PIXELS), None, []), [Prediction({"keen": 0.9, "bored": 0.1})]
    frames = [frame(0.0, {0: 0.0}), frame(0.1, {0: 1.0}), picture, frame(0.0, {0: 0.2}, "b.mp4")]
    found = list(centred(frames, 5))
    assert keen(found) == [[0.5], [0.5], [0.9], [0.2]]
    assert [str(each.path) for each, _ in found] == ["a.mp4", "a.mp4", "p.jpg", "b.mp4"]


def test_frames_of_one_face_each_are_a_track() -> None:
    frames = [
        (Picture(Path("a.mp4"), Frame(0, t, PIXELS), None, []), [Prediction({}, v, 0.0)]) for t, v in ((0, 1), (1, 0))
    ]
    assert [answers[0].valence for _, answers in centred(frames, 2)] == [0.5, 0.5]


def test_half_a_window_is_held_and_no_more() -> None:
    read = 0

    def endless() -> Iterator[Answered]:
        nonlocal read
        for i in range(10_000):
            read += 1
            yield frame(i / 25, {i // 50: 0.5})

    steadied = centred(endless(), 0.4)
    for given in range(1, 1000):
        next(steadied)
        assert read == given + 6  # 5 frames are within 0.2 s, and the sixth says so
    tracks = steadied.gi_frame.f_locals["tracks"]
    assert sum(map(len, tracks._past.values())) <= 12
