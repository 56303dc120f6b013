from dataclasses import replace

import numpy as np
import pytest

from ferlab.errors import ConfigError, LiveError
from ferlab.faces import FaceCrop
from ferlab.live.crop import FITS, Fit
from ferlab.live.detect import Whole
from ferlab.live.frame import Faces, Frame
from ferlab.live.pipeline import MOST, Pipeline
from ferlab.live.run import BACK_OFF_S, GIVE_UP, watch
from ferlab.live.smooth import PRESETS
from ferlab.spec import ModelSpec

SPEC = ModelSpec(("dark", "light"), affect=True, size=8)


class Runner:
    """Says how light a face is, and remembers what it was asked."""

    def __init__(self) -> None:
        self.spec, self.labels, self.provenance = SPEC, SPEC.expression, {"dataset": "drawn"}
        self.asked: list[np.ndarray] = []

    def answers(self, images: np.ndarray) -> dict[str, np.ndarray]:
        self.asked.append(images)
        light = images.mean((1, 2, 3)) / 255
        return {"expression": np.stack([1 - light, light], 1), "affect": np.stack([light, -light], 1)}


class Boxes:
    """Finds the same boxes in every frame."""

    name = "boxes"

    def __init__(self, *boxes: list[float]) -> None:
        self.boxes = boxes

    def __call__(self, frame: Frame) -> Faces:
        return Faces.found(np.array(self.boxes, float).reshape(-1, 4))


def frame(number: int = 0, light: int = 255) -> Frame:
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 100:] = light
    return Frame(number, number / 30, image)


def test_every_face_is_cut_prepared_and_answered_in_one_batch() -> None:
    runner = Runner()
    seen = Pipeline(runner, Boxes([10, 10, 40, 40], [120, 20, 60, 60]), PRESETS["raw"])(frame())
    (asked,) = runner.asked
    assert asked.shape == (2, 1, 8, 8)
    assert np.array_equal(asked[1], SPEC.prepare(frame().image[20:80, 120:180]))
    assert seen.faces.ids.tolist() == [0, 1]
    assert seen.faces.answers["expression"].tolist() == [[1, 0], [0, 1]]
    assert seen.faces.answers["affect"].tolist() == [[0, 0], [1, -1]]
    assert [face.label for face in seen.shown] == [0, 1]


def test_no_face_asks_nothing_and_is_a_frame_like_any_other() -> None:
    runner = Runner()
    seen = Pipeline(runner, Boxes(), PRESETS["stable"])(frame())
    assert runner.asked == []
    assert seen.faces.answers["expression"].shape == (0, 2)
    assert (seen.shown, seen.raw.shape) == ([], (0, 2))


def test_the_largest_faces_are_answered_in_the_order_of_the_detector() -> None:
    boxes = [[0, 0, 10.0 + i % 5 + (i == 3) * 50, 20] for i in range(MOST + 4)]
    runner = Runner()
    seen = Pipeline(runner, Boxes(*boxes), PRESETS["raw"])(frame())
    assert len(runner.asked[0]) == MOST
    kept = seen.faces.boxes[:, 2].tolist()
    assert kept == [box[2] for box in boxes if box[2] in kept][:MOST]
    assert max(kept) == 63


def test_the_crop_is_that_of_the_models_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner()
    runner.spec = replace(SPEC, face=FaceCrop(margin=0.25))
    Pipeline(runner, Boxes([120, 20, 40, 40]), PRESETS["raw"])(frame())
    assert np.array_equal(runner.asked[-1][0], SPEC.prepare(frame().image[10:70, 110:170]))
    monkeypatch.setitem(FITS, ("boxes", "drawn"), Fit(2.0, -0.5, 0.0))
    Pipeline(runner, Boxes([120, 40, 40, 40]), PRESETS["raw"])(frame())
    assert np.array_equal(runner.asked[-1][0], SPEC.prepare(frame().image[20:100, 80:160]))


def test_labels_are_steady_and_the_models_own_answers_stay() -> None:
    pipeline = Pipeline(Runner(), Boxes([120, 20, 60, 60]), PRESETS["stable"])
    found = [pipeline(frame(i, 60 if i == 20 else 200)) for i in range(30)]
    assert [seen.shown[0].label for seen in found] == [1] * 30
    assert found[20].raw[0].argmax() == 0
    assert found[20].faces.answers["expression"][0][1] > found[20].raw[0][1]


class Script:
    """Finds what it is told, frame by frame."""

    name = "boxes"

    def __init__(self, *frames: list[list[float]]) -> None:
        self.frames = iter(frames)

    def __call__(self, frame: Frame) -> Faces:
        return Faces.found(np.array(next(self.frames), float).reshape(-1, 4))


def test_boxes_are_held_steady() -> None:
    pipeline = Pipeline(Runner(), Script(*[[[100 + 4 * (i % 2), 20, 60, 60]] for i in range(20)]), PRESETS["raw"])
    lefts = [pipeline(frame(i)).faces.boxes[0, 0] for i in range(20)]
    assert np.ptp(lefts[10:]) < 2.5  # of 4 pixels


def test_who_is_found_again_nearby_is_smoothed_on() -> None:
    boxes = [*[[[110, 20, 40, 40]]] * 20, [], [[150, 20, 40, 40]]]
    pipeline = Pipeline(Runner(), Script(*boxes), PRESETS["stable"])
    found = [pipeline(frame(i, 60 if i == 21 else 255)) for i in range(22)]
    assert (found[0].faces.ids.tolist(), found[21].faces.ids.tolist()) == ([0], [1])
    assert found[21].raw[0].argmax() == 0
    assert found[21].shown[0].label == 1  # as before, and not as in its first frame


def test_warming_up_leaves_no_trace() -> None:
    pipeline = Pipeline(Runner(), Whole(), PRESETS["stable"])
    pipeline.warm_up()
    assert pipeline(frame()).faces.ids.tolist() == [0]
    assert pipeline(frame(1)).faces.boxes.tolist() == [[0, 0, 200, 100]]


def test_durations_are_of_each_part() -> None:
    ticks = iter([1.0, 1.25, 2.0, 2.5])
    seen = Pipeline(Runner(), Whole(), PRESETS["raw"], clock=lambda: next(ticks))(frame())
    assert (seen.detector_ms, seen.classifier_ms, seen.end_to_end_ms) == (250, 750, 1500)


def test_a_frame_that_is_a_face_is_not_cut() -> None:
    runner = Runner()
    runner.spec = replace(SPEC, face=FaceCrop(margin=0.25, aligned=True))
    Pipeline(runner, Whole(), PRESETS["raw"])(frame())
    assert np.array_equal(runner.asked[-1][0], SPEC.prepare(frame().image))


def test_people_are_what_is_said_of_each_face() -> None:
    seen = Pipeline(Runner(), Boxes([10, 10, 40, 40], [120, 20, 60, 60]), PRESETS["raw"])(frame(light=51))
    dark, darker = seen.people[0], seen.people[1]
    assert (dark.track, dark.box, dark.score, dark.label, dark.confidence) == (0, (10, 10, 40, 40), 1, "dark", 1)
    assert darker.expression == pytest.approx({"dark": 0.8, "light": 0.2})
    assert list(darker.expression) == ["dark", "light"]
    assert (darker.valence, darker.arousal) == pytest.approx((0.2, -0.2))
    assert (darker.unsmoothed, darker.uncertain, darker.second) == ("dark", False, None)


class Passing:
    """A new face every second, elsewhere, which stays for half of one."""

    name = "passing"

    def __call__(self, frame: Frame) -> Faces:
        place = 60.0 * (int(frame.time) % 3)
        return Faces.found(np.array([[place, 10, 40, 40]] if frame.time % 1 < 0.5 else np.zeros((0, 4))))


def test_nothing_is_kept_of_faces_that_are_gone() -> None:
    pipeline = Pipeline(Runner(), Passing(), PRESETS["stable"])
    for number in range(30 * 30):
        seen = pipeline(frame(number))
    kept = [
        pipeline._track._tracks,
        pipeline._track.heirs,
        pipeline._steady._traces,
        pipeline._smooth._tracks,
        pipeline._level._tracks,
    ]
    assert max(map(len, kept)) <= 4
    assert len(seen.faces) == 0


def failing(pattern: str):
    """A pipeline that fails at each x."""
    marks = iter(pattern)

    def run(frame: Frame) -> Frame:
        if next(marks) == "x":
            raise RuntimeError("out of\nluck")
        return frame

    return run


def test_a_frame_that_fails_is_left_out_with_longer_and_longer_waits() -> None:
    told, waits = [], []
    found = watch([frame(i) for i in range(8)], failing(".xxx.x.."), told.append, waits.append)
    assert [each.index for each in found] == [0, 4, 6, 7]
    assert waits == [BACK_OFF_S, 2 * BACK_OFF_S, 4 * BACK_OFF_S, BACK_OFF_S]
    assert len(told) == 4


def test_a_frame_of_a_file_is_tried_again() -> None:
    told, waits = [], []
    found = watch([frame(i) for i in range(4)], failing(".x.xx."), told.append, waits.append, tries=2)
    assert [each.index for each in found] == [0, 1, 3]
    assert waits == [BACK_OFF_S, BACK_OFF_S, 2 * BACK_OFF_S]
    assert len(told) == 1


def test_frames_that_fail_one_after_the_other_end_it() -> None:
    found = watch([frame(i) for i in range(20)], failing("." + "x" * 19), sleep=lambda s: None)
    assert next(found).index == 0
    with pytest.raises(LiveError, match=rf"{GIVE_UP} tries failed .* RuntimeError: out of luck; see what changed"):
        next(found)


def test_a_model_that_does_not_fit_is_not_tried_again() -> None:
    def wrong(frame: Frame) -> None:
        raise ConfigError("no")

    with pytest.raises(ConfigError, match="no"):
        next(watch([frame()], wrong))
