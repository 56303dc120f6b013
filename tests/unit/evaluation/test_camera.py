"""What a camera does to faces, by hand, and the scores under it."""

from pathlib import Path

import numpy as np
import pytest

from ferlab.data.images import ArrayImages
from ferlab.data.source import Split
from ferlab.evaluation.camera import CHANGES, FAR, score_camera
from ferlab.evaluation.predictions import predict
from ferlab.runner import Runner
from ferlab.spec import ModelSpec

from .conftest import made_source


def rng(seed=0):
    return np.random.default_rng(seed)


def grey(value, side=48):
    return np.full((side, side, 3), value, np.uint8)


def edge(side=48):
    """Black on the left, white on the right."""
    face = grey(0, side)
    face[:, side // 2 :] = 255
    return face


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("side", [32, 48, 200])
def test_a_change_gives_a_face_of_the_same_size_and_leaves_the_old_one(name, side):
    face = rng().integers(0, 256, (side, side, 3), np.uint8)
    before = face.copy()
    changed = CHANGES[name](face, rng())
    assert (changed.shape, changed.dtype) == (face.shape, np.uint8)
    assert np.array_equal(face, before)
    assert np.abs(changed.astype(int) - face).mean() > 1
    assert np.array_equal(changed, CHANGES[name](face, rng()))  # chance is the generator's alone


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [("dark", 255, 128), ("dark", 64, 16), ("bright", 100, 160), ("bright", 200, 255), ("flat", 77, 77)],
)
def test_light_on_an_even_face(name, value, wanted):
    assert np.array_equal(CHANGES[name](grey(value), rng()), grey(wanted))


def test_flat_keeps_a_third_of_the_contrast():
    changed = CHANGES["flat"](edge(), rng())  # 127.5 ± 42.5
    assert set(np.unique(changed)) == {85, 170}


def test_light_comes_from_either_side():
    lit = [CHANGES["side light"](grey(100), rng(seed))[5, [0, 47], 0].tolist() for seed in range(8)]
    assert sorted(map(tuple, {tuple(each) for each in lit})) == [(30, 170), (170, 30)]


def test_a_gaussian_crosses_half_at_an_edge():
    """One deviation right of an edge a Gaussian has 84 % of the white; the edge lies between pixels 99 and 100."""
    row = CHANGES["out of focus"](edge(200), rng())[100, :, 0]  # 7 pixels
    assert (int(row[99]) + int(row[100])) / 2 == pytest.approx(127.5, abs=1)
    assert (int(row[106]) + int(row[107])) / 2 == pytest.approx(0.8413 * 255, abs=2)


def test_movement_blurs_along_a_line_and_not_across():
    point = grey(0, 65)
    point[32, 32] = 255
    spread = CHANGES["moving"](point, rng(3))[:, :, 0]
    assert spread.sum() == pytest.approx(255, rel=0.1)
    ys, xs = np.nonzero(spread)
    assert np.hypot(ys - 32, xs - 32).max() == pytest.approx(4, abs=0.8)
    assert np.linalg.eigvalsh(np.cov(np.stack([ys, xs]), aweights=spread[ys, xs]))[0] < 0.3


def test_a_far_face_has_no_more_than_its_pixels():
    """Stripes finer than they can show are gone."""
    stripes = grey(0, FAR * 4)
    stripes[:, ::2] = 255
    assert np.ptp(CHANGES["far"](stripes, rng())) <= 1


def test_turns_and_shifts_are_as_large_as_they_say():
    point = grey(0, 101)
    point[19:22, 49:52] = 255  # 30 above the middle
    ys, xs = np.nonzero(CHANGES["tilted"](point, rng())[:, :, 0] > 100)
    assert abs(np.degrees(np.arctan2(xs.mean() - 50, 50 - ys.mean()))) == pytest.approx(15, abs=1)
    point = grey(0, 101)
    point[49:52, 49:52] = 255
    ys, xs = np.nonzero(CHANGES["badly cut"](point, rng())[:, :, 0] > 100)
    assert np.hypot(ys.mean() - 50, xs.mean() - 50) == pytest.approx(0.08 * 101, abs=0.6)


class Bright(Runner):
    """Says "bright" of a face whose mean is above 100, which light alone can change."""

    spec, model, provenance, path = ModelSpec(("dim", "bright")), {}, {}, None

    def logits(self, images):
        bright = images.mean((1, 2, 3)) > 100
        return {"expression": np.stack([~bright, bright], 1).astype(np.float32)}


def test_scores_are_of_the_changed_faces_and_their_own_labels():
    """Ten faces of 90, called dim, and ten of 110, called bright: 1.6 times the light makes all of them bright."""
    pixels = np.repeat(np.uint8([90, 110]), 10 * 48 * 48).reshape(20, 48, 48)
    images = ArrayImages(pixels, np.arange(20), Path("faces.csv"), np.arange(20) + 2)
    split = Split("validation", images, np.repeat([0, 1], 10))
    model, source = Bright(), made_source(split, labels=("dim", "bright"))
    answers = predict(model, source, "validation")
    found = score_camera(answers, model, split)
    assert found.faces == 20
    assert found.clean == {"accuracy": 1.0, "mean_recall": 1.0}
    assert set(found.changed) == set(CHANGES)
    assert found.changed["bright"] == found.changed["dark"] == {"accuracy": 0.5, "mean_recall": 0.5}
    assert found.changed["flat"]["accuracy"] == found.changed["tilted"]["accuracy"] == 1.0
    assert found.mean_accuracy == pytest.approx(np.mean([each["accuracy"] for each in found.changed.values()]))
    some = score_camera(answers.take(np.arange(12)), model, split)  # ten dim ones and two bright ones
    assert some.changed["bright"] == {"accuracy": pytest.approx(2 / 12), "mean_recall": 0.5}
    assert score_camera(answers, model, split, batch_size=7) == found
