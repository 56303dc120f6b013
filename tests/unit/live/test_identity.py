"""Who a track is, with a recogniser that knows faces by the x of their right eye."""

import numpy as np
import pytest

from ferlab.live.frame import Faces, Frame
from ferlab.live.gallery import Gallery
from ferlab.live.identity import Identity

PIXELS = np.zeros((2, 2, 3), np.uint8)
DIRECTIONS = {0: [1, 0, 0], 1: [0, 1, 0], 2: [0, 0, 1], 3: [0.6, 0.8, 0]}


class Eye:
    """Counts its looks."""

    digest = "ab"

    def __init__(self) -> None:
        self.looks: list[int] = []

    def __call__(self, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        self.looks.append(int(landmarks[0, 0]))
        return np.array(DIRECTIONS[self.looks[-1]], np.float32)


def faces(*who: tuple[int, int | None]) -> Faces:
    """Faces of tracks, each with whom it looks like; None has no landmarks."""
    points = np.full((len(who), 5, 2), np.nan)
    for i, (_, like) in enumerate(who):
        if like is not None:
            points[i] = like
    found = Faces.found(np.zeros((len(who), 4)), landmarks=points)
    return Faces(found.boxes, found.scores, found.landmarks, np.array([n for n, _ in who], np.int64))


@pytest.fixture
def eye() -> Eye:
    return Eye()


@pytest.fixture
def identity(eye: Eye) -> Identity:
    gallery = Gallery("ab", {"Ann": np.array([[1, 0, 0]], np.float32), "Bob": np.array([[0, 1, 0]], np.float32)})
    return Identity(eye, gallery, alike=0.7)


def test_a_name_comes_with_the_third_look_and_stays(identity: Identity, eye: Eye) -> None:
    named = [identity(Frame(i, i / 25, PIXELS), faces((4, 0))) for i in range(100)]
    assert [names[0] for names in named] == [None] * 10 + ["Ann"] * 90  # looks at 0, 0.2 and 0.4 s
    assert len(eye.looks) == 3


def test_looks_are_averaged(identity: Identity, eye: Eye) -> None:
    # (1, 0) and twice (0.6, 0.8): their mean (2.2, 1.6) has cosines 0.81 with Ann and 0.59 with Bob.
    for i, like in enumerate((0, 3, 3)):
        names = identity(Frame(i, i / 2, PIXELS), faces((0, like)))
    assert names == ["Ann"]


def test_who_is_not_known_stays_nameless_and_is_looked_at_again_seldom(identity: Identity, eye: Eye) -> None:
    for i in range(250):
        assert identity(Frame(i, i / 25, PIXELS), faces((0, 2))) == [None]
    # Five looks up to 0.8 s, then at 2.8, 4.8, 6.8 and 8.8 s.
    assert len(eye.looks) == 9
    for i in range(250, 500):
        names = identity(Frame(i, i / 25, PIXELS), faces((0, 1)))
    assert names == ["Bob"]  # she turned, and three of the last five looks were Bob's


def test_a_frame_costs_one_look_and_every_face_has_its_turn(identity: Identity, eye: Eye) -> None:
    everyone = faces((0, 0), (1, 1), (2, None), (3, 0))
    counts = []
    for i in range(30):
        names = identity(Frame(i, i / 25, PIXELS), everyone)
        counts.append(len(eye.looks))
    assert np.diff([0, *counts]).max() == 1
    assert names == ["Ann", "Bob", None, "Ann"]
    assert len(eye.looks) == 9  # the face without landmarks has none


def test_a_track_that_is_gone_is_forgotten(identity: Identity) -> None:
    for i in range(3):
        identity(Frame(i, i / 2, PIXELS), faces((0, 0)))
    assert identity(Frame(4, 3.9, PIXELS), faces((0, 0))) == ["Ann"]
    identity(Frame(5, 7.0, PIXELS), faces((1, 1)))
    assert list(identity._tracks) == [1]
    assert identity(Frame(6, 7.1, PIXELS), faces()) == []
