from dataclasses import replace

import numpy as np

from ferlab.live.blur import CELLS, MARGIN, Blur
from ferlab.live.frame import Frame
from ferlab.live.pipeline import MOST, Pipeline
from ferlab.live.smooth import PRESETS

from .test_pipeline import Boxes, Runner, Script

NOISE = np.random.default_rng(0).integers(0, 256, (400, 640, 3), dtype=np.uint8)


def blurred(pipeline: Pipeline, times: list[float], image: np.ndarray = NOISE) -> list[np.ndarray]:
    """Where each frame was changed, (h, w) bool."""
    blur, found = Blur(), []
    for number, time in enumerate(times):
        blur.note(pipeline(Frame(number, time, image)))
        found.append((blur(image) != image).any(2))
    return found


def inside(changed: np.ndarray, box: list[float]) -> float:
    left, top, width, height = map(int, box)
    return float(changed[top : top + height, left : left + width].mean())


def test_a_face_is_left_a_few_numbers_and_the_rest_is_untouched() -> None:
    image, blur = NOISE.copy(), Blur()
    blur.note(Pipeline(Runner(), Boxes([200, 100, 80, 100]), PRESETS["raw"])(Frame(0, 0.0, image)))
    result, margin = blur(image), int(MARGIN * 100)
    part = result[100 - margin : 200 + margin, 200 - margin : 280 + margin]
    assert len(np.unique(part.reshape(-1, 3), axis=0)) <= CELLS**2
    assert np.abs(part.astype(int) - NOISE[100 - margin : 200 + margin, 200 - margin : 280 + margin]).mean() > 50
    outside = np.ones(image.shape[:2], bool)
    outside[100 - margin : 200 + margin, 200 - margin : 280 + margin] = False
    assert np.array_equal(result[outside], NOISE[outside])
    assert np.array_equal(image, NOISE)


def test_faces_that_are_not_answered_for_are_blurred_too() -> None:
    boxes = [[30.0 * (i % 20), 60.0 * (i // 20), 16, 16] for i in range(40)]
    pipeline = Pipeline(Runner(), Boxes(*boxes), PRESETS["raw"])
    (changed,) = blurred(pipeline, [0.0])
    assert len(pipeline(Frame(1, 0.1, NOISE)).faces) == MOST
    assert all(inside(changed, box) > 0.99 for box in boxes)
    small = Pipeline(Runner(), Boxes([50, 50, 20, 20]), PRESETS["raw"], least=(0.0, 40))
    (changed,) = blurred(small, [0.0])
    assert len(small(Frame(1, 0.1, NOISE)).faces) == 0
    assert inside(changed, [50, 50, 20, 20]) > 0.99


def test_where_a_face_was_lost_is_blurred_for_as_long_as_it_is_remembered() -> None:
    box = [200.0, 100.0, 80.0, 80.0]
    pipeline = Pipeline(Runner(), Script([box], [], [], [], [[400, 100, 80, 80]]), PRESETS["raw"])
    found = blurred(pipeline, [0.0, 0.03, 2.9, 3.1, 3.2])
    assert [inside(changed, box) > 0.99 for changed in found] == [True, True, True, False, False]


def test_a_face_that_moves_leaves_no_trail_and_a_box_beyond_the_edge_is_no_error() -> None:
    pipeline = Pipeline(Runner(), Script([[0, 0, 90, 90]], [[-20, 5, 90, 90]], [[-500, 0, 90, 90]]), PRESETS["raw"])
    first, second, _ = blurred(pipeline, [0.0, 0.03, 0.06])
    assert inside(second, [0, 5, 70, 90]) > 0.99
    assert second.sum() < first.sum()


def test_an_answer_of_before_does_not_unblur() -> None:
    seen = Pipeline(Runner(), Boxes([200, 100, 80, 80]), PRESETS["raw"])(Frame(0, 0.0, NOISE))
    blur = Blur()
    blur.note(replace(seen, found=np.zeros((0, 4), np.float32)))  # the steadied box alone
    assert inside((blur(NOISE) != NOISE).any(2), [200, 100, 80, 80]) > 0.99
