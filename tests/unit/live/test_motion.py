import cv2
import numpy as np
import pytest

from ferlab.live.frame import Faces, Frame
from ferlab.live.motion import Sparing

DRAWN = np.random.default_rng(0)
SCENE = DRAWN.integers(60, 160, (360, 640, 3)).astype(np.uint8)


class Squares:
    """Finds white squares, with a landmark at their corner, and notes how large the pictures were that it was asked."""

    name = "squares"

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, frame: Frame) -> Faces:
        self.asked.append(frame.image.shape[:2])
        found = cv2.connectedComponentsWithStats((frame.image[..., 0] > 230).astype(np.uint8))[2][1:, :4]
        found = found[found[:, 2] > 5]
        points = np.full((len(found), 5, 2), np.nan)
        points[:, 0] = found[:, :2]
        return Faces.found(found.astype(np.float32), landmarks=points)


def scene(*squares: tuple[int, int, int]) -> np.ndarray:
    image = np.clip(SCENE + DRAWN.normal(0, 8, SCENE.shape), 0, 200).astype(np.uint8)  # a camera's noise
    for left, top, side in squares:
        image[top : top + side, left : left + side] = 255
    return image


def watched(images: list[np.ndarray], rate: float = 30) -> tuple[list[list[list[float]]], list[int], Sparing, Squares]:
    """The boxes of each frame, how many pictures were searched for it, and who searched."""
    detector, boxes, asked = Squares(), [], []
    sparing = Sparing(detector, 640)
    for index, image in enumerate(images):
        before = len(detector.asked)
        boxes.append(sparing(Frame(index, index / rate, image)).boxes.tolist())
        asked.append(len(detector.asked) - before)
    return boxes, asked, sparing, detector


@pytest.mark.parametrize("rate", [10, 30])
def test_a_scene_at_rest_is_searched_every_second(rate: int) -> None:
    boxes, asked, sparing, _ = watched([scene((200, 100, 80))] * (2 * rate), rate)
    assert boxes == [[[200, 100, 80, 80]]] * len(boxes)
    assert sum(asked) == sparing.searched == 2
    assert asked.index(1, 1) == rate + 1


def test_a_face_that_moves_is_sought_near_its_place() -> None:
    path = [(200 + 8 * i, 100 + 3 * i, 150) for i in range(10)]
    boxes, asked, sparing, detector = watched([scene(each) for each in path])
    assert asked == [1] * 10
    assert sparing.searched == 1
    assert detector.asked[0] == (360, 640)
    assert set(detector.asked[1:]) == {(192, 192)}  # scaled so that the face has 96 pixels
    found = np.array([box for (box,) in boxes])
    assert np.abs(found - [(left, top, side, side) for left, top, side in path]).max() <= 2.5


def test_landmarks_are_in_pixels_of_the_frame() -> None:
    sparing = Sparing(Squares(), 640)
    sparing(Frame(0, 0.0, scene((200, 100, 150))))
    faces = sparing(Frame(1, 0.03, scene((230, 110, 150))))
    assert sparing.searched == 1
    assert faces.landmarks[0, 0] == pytest.approx([230, 110], abs=2.5)


def test_somebody_new_waits_for_a_third_of_a_second_at_most() -> None:
    there, new = (200, 100, 80), (450, 200, 60)
    images = [scene((200 + 4 * i, 100, 80), *([new] if i >= 3 else [])) for i in range(15)]
    boxes, _, sparing, _ = watched(images)
    assert [len(each) for each in boxes] == [*[1] * 11, *[2] * 4]
    assert sparing.searched == 2
    assert there[2] == boxes[0][0][2]


def test_a_lost_face_is_sought_everywhere_at_once() -> None:
    boxes, asked, _, detector = watched([scene((200, 100, 80)), scene((420, 100, 80)), scene()])
    assert [len(each) for each in boxes] == [1, 1, 0]
    assert asked == [1, 2, 2]
    assert boxes[1] == [[420, 100, 80, 80]]
    assert detector.asked[2] == (360, 640)


def test_two_that_meet_are_not_one_twice() -> None:
    apart = scene((200, 100, 80), (284, 100, 80))
    together = scene((242, 100, 80))  # near enough to both
    boxes, _, sparing, _ = watched([apart, together])
    assert boxes[1] == [[242, 100, 80, 80]]
    assert sparing.searched == 2


def test_many_are_not_sought_one_by_one() -> None:
    many = [(60 + 130 * i, 60 + 130 * j, 90) for i in range(4) for j in range(2)]
    moved = [(left + 9, top + 9, side) for left, top, side in many]
    _, asked, sparing, _ = watched([scene(*many), scene(*moved)])
    assert asked == [1, 1]
    assert sparing.searched == 2


@pytest.mark.parametrize("squares", [[], [(3, 100, 80)], [(200, 275, 80)], [(200, 100, 80), (580, 9, 50)]])
def test_nobody_or_somebody_at_an_edge_is_searched_every_frame(squares: list[tuple[int, int, int]]) -> None:
    _, asked, sparing, _ = watched([scene(*squares)] * 4)
    assert asked == [1] * 4
    assert sparing.searched == 4
