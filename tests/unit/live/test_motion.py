import numpy as np
import pytest

from ferlab.live.frame import Faces, Frame
from ferlab.live.motion import LONGEST, Sparing

DRAWN = np.random.default_rng(0)
SCENE = DRAWN.integers(60, 200, (360, 640, 3)).astype(np.uint8)


class Boxes:
    """Finds boxes, and counts how often it was asked."""

    name = "boxes"

    def __init__(self, *boxes: list[float]) -> None:
        self.boxes, self.asked = boxes, 0

    def __call__(self, frame: Frame) -> Faces:
        self.asked += 1
        return Faces.found(np.array(self.boxes, float).reshape(-1, 4))


def watched(detector: Boxes, images: list[np.ndarray]) -> list[int]:
    """How often the detector was asked up to each frame."""
    sparing, found = Sparing(detector), []
    for index, image in enumerate(images):
        faces = sparing(Frame(index, index / 30, image))
        assert len(faces) == len(detector.boxes)
        found.append(detector.asked)
    assert sparing.searched == found[-1]
    return found


def noisy() -> np.ndarray:
    """The scene as a camera sends it."""
    return np.clip(SCENE + DRAWN.normal(0, 8, SCENE.shape), 0, 255).astype(np.uint8)


def test_a_scene_at_rest_is_searched_now_and_then() -> None:
    asked = watched(Boxes([200, 100, 80, 80]), [noisy() for _ in range(LONGEST + 3)])
    assert asked == [*[1] * (LONGEST + 1), 2, 2]


def test_movement_is_searched_also_where_it_is_slow() -> None:
    def moved(pixels: int) -> np.ndarray:
        image = SCENE.copy()
        image[150:230, 300 + pixels : 380 + pixels] = 100  # about 30 levels darker than the scene
        return image

    assert watched(Boxes([300, 150, 80, 80]), [moved(0), moved(0), moved(30), moved(30)]) == [1, 1, 2, 2]
    assert watched(Boxes([300, 150, 80, 80]), [moved(2 * i) for i in range(12)])[-1] in (3, 4, 5)


@pytest.mark.parametrize(
    "boxes", [[], [[3, 100, 80, 80]], [[200, 280, 80, 75]], [[200, 100, 80, 80], [580, 9, 50, 50]]]
)
def test_nobody_or_somebody_at_an_edge_is_searched_every_frame(boxes: list[list[float]]) -> None:
    assert watched(Boxes(*boxes), [SCENE] * 4) == [1, 2, 3, 4]
