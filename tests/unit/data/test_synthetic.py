from dataclasses import astuple, replace

import numpy as np
import pytest

from ferlab.data.drawn import Expression, Looks, draw, landmarks
from ferlab.data.layouts_rafdb import five_of
from ferlab.data.synthetic import PROTOTYPES, SHARES, draw_split, sample_expression, synthetic
from ferlab.errors import ConfigError
from ferlab.labels import COMPOUND, FERPLUS, RAFDB_COMPOUND

LOOKS = Looks((238, 195, 165), (62, 42, 32), (70, 45, 30), (50, 80, 120), (120, 130, 140))
REST = Expression()


def drawn(expression, size=96, looks=LOOKS):
    return draw(expression, looks, size, np.random.default_rng(0)).astype(int)


def pixels(split, rows):
    return np.stack([split.read(i) for i in rows])


def test_one_seed_draws_one_dataset():
    first, again = synthetic(20, 10, 5, seed=3), synthetic(20, 10, 5, seed=3)
    assert first.digest() == again.digest()
    assert synthetic(20, 10, 5, seed=4).digest() != first.digest()


def test_the_drawing_never_changes_between_versions():
    """Scores on drawn faces are compared over time; a change here makes them incomparable, so say it."""
    affect = synthetic(3, 0, 0).splits["train"].affect
    np.testing.assert_allclose(affect, [[-0.5072, -0.0246], [-0.1475, 0.6667], [-0.9032, -0.1451]], atol=1e-4)


def test_a_longer_split_begins_with_the_shorter_one():
    short, long = synthetic(9, 4, 0), synthetic(15, 4, 7)
    for name, n in (("train", 9), ("validation", 4)):
        a, b = short.splits[name], long.splits[name]
        np.testing.assert_array_equal(pixels(a, range(n)), pixels(b, range(n)))
        np.testing.assert_array_equal(a.labels, b.labels[:n])
        np.testing.assert_array_equal(a.affect, b.affect[:n])


def test_splits_share_no_face():
    source = synthetic(30, 30, 30)
    faces = {split.read(i).tobytes() for split in source.splits.values() for i in range(30)}
    assert len(faces) == 90


@pytest.mark.parametrize("size", [16, 48, 97, 224])
def test_any_size_shows_the_same_faces(size):
    split = synthetic(6, 0, 0, size=size).splits["train"]
    reference = synthetic(6, 0, 0, size=48).splits["train"]
    assert split.read(0).shape == (size, size, 3)
    assert split.read(0).dtype == np.uint8
    np.testing.assert_array_equal(split.labels, reference.labels)
    np.testing.assert_array_equal(split.affect, reference.affect)


def test_faces_are_in_colour_and_use_the_range():
    images = pixels(synthetic(50, 0, 0).splits["train"], range(50)).astype(int)
    assert np.abs(images[..., 0] - images[..., 2]).mean() > 10
    assert 60 < images.mean() < 190
    assert (images.std((1, 2, 3)) > 15).all()


def test_classes_have_their_shares_and_are_all_there():
    split = draw_split("train", 1500, 16, 0)
    found = split.counts(8) / len(split)
    np.testing.assert_allclose(found, [SHARES[name] for name in FERPLUS], atol=0.035)
    assert sum(SHARES.values()) == pytest.approx(1)
    assert set(PROTOTYPES) == set(SHARES) == set(FERPLUS)


def test_fewer_classes_are_drawn_where_fewer_are_asked_for():
    split = draw_split("train", 200, 16, 0, ("anger", "happiness"))
    assert set(split.labels) == {0, 1}
    assert split.affect[split.labels == 0, 0].mean() < -0.3 < 0.3 < split.affect[split.labels == 1, 0].mean()


def test_a_compound_class_is_drawn_half_way_between_its_two_basic_ones():
    """Mean features of many samples: habits and strengths average out, to 0.875 of the prototype."""
    rng = np.random.default_rng(0)
    values = [astuple(sample_expression("happily surprised", rng)) for _ in range(2000)]
    happy, surprised, rest = (np.array(astuple(e)) for e in (PROTOTYPES["happiness"], PROTOTYPES["surprise"], REST))
    expected = rest + 0.875 * ((happy + surprised) / 2 - rest)
    np.testing.assert_allclose(np.mean(values, 0), expected, atol=0.05)


def test_compound_classes_are_drawn_as_often_as_their_parts_meet():
    split = draw_split("train", 1500, 16, 0, RAFDB_COMPOUND)
    shares = np.array([SHARES[first] * SHARES[second] for first, second in COMPOUND.values()])
    np.testing.assert_allclose(split.counts(11) / 1500, shares / shares.sum(), atol=0.035)
    assert (split.counts(11) > 0).all()


@pytest.mark.parametrize("pose", [{}, {"roll": 0.3, "shift": (0.1, -0.1), "scale": 0.7}])
def test_landmarks_lie_where_the_drawing_has_eyes_nose_and_mouth(pose):
    looks = replace(LOOKS, **pose)
    *eyes, nose, left, right = five_of(landmarks(REST, looks, 96))
    image = drawn(REST, looks=looks)

    def changed(**feature):
        """x and y of the pixels that another feature changes."""
        return np.argwhere(np.abs(drawn(replace(REST, **feature), looks=looks) - image).max(2) > 8)[:, ::-1]

    for eye in eyes:
        x, y = np.rint(eye).astype(int)
        dark = np.argwhere((image[y - 5 : y + 6, x - 5 : x + 6] < 80).all(2))[:, ::-1]  # iris and pupil
        np.testing.assert_allclose(dark.mean(0) + np.array((x - 5, y - 5)), eye, atol=1.5)
    assert np.linalg.norm(changed(wrinkle=1.0) - nose, axis=1).min() < 2
    across = (right - left) / np.linalg.norm(right - left)
    opened = (changed(opening=1.0) - left) @ across
    np.testing.assert_allclose((opened.min(), opened.max()), (0, (right - left) @ across), atol=2)


def test_valence_and_arousal_are_where_the_emotions_are_on_the_circumplex():
    split = draw_split("train", 800, 16, 0)
    assert split.affect.dtype == np.float32
    assert np.abs(split.affect).max() <= 1
    mean = {name: split.affect[split.labels == i].mean(0) for i, name in enumerate(FERPLUS)}
    assert max(mean, key=lambda name: mean[name][0]) == "happiness"
    for name in ("sadness", "anger", "disgust", "fear"):
        assert mean[name][0] < -0.4
    assert np.abs(mean["neutral"]).max() < 0.2
    assert min(mean, key=lambda name: mean[name][1]) == "sadness"
    for name in ("surprise", "fear", "anger", "happiness"):
        assert mean[name][1] > 0.3


def test_affect_by_hand():
    assert REST.valence == REST.arousal == 0
    smile = Expression(curve=0.5, opening=0.5, eyes=0.75)
    assert smile.valence == pytest.approx(0.45)
    assert smile.arousal == pytest.approx(0.6 * 0.5 + 0.8 * 0.25 + 0.3 * 0.5)
    scowl = Expression(curve=-1, brow_angle=1, wrinkle=1, smirk=-1)
    assert scowl.valence == -1
    assert scowl.arousal == 1  # 0.5 + 0.4 + 0.3, cut


@pytest.mark.parametrize(
    ("change", "rows", "columns"),
    [
        ({"curve": 0.9}, (60, 80), (25, 71)),
        ({"opening": 0.9}, (60, 90), (25, 71)),
        ({"width": 0.9}, (60, 80), (20, 76)),
        ({"smirk": 0.9}, (55, 80), (48, 71)),
        ({"brow_height": 0.9}, (15, 45), (20, 76)),
        ({"brow_angle": 0.9}, (15, 45), (20, 76)),
        ({"eyes": 1.0}, (25, 50), (20, 76)),
        ({"lids": 1.0}, (30, 55), (20, 76)),
        ({"wrinkle": 1.0}, (30, 75), (25, 71)),
    ],
)
def test_each_feature_changes_its_part_of_the_face_and_no_other(change, rows, columns):
    differs = np.abs(drawn(replace(REST, **change)) - drawn(REST)).max(2) > 8
    assert differs.sum() > 15
    differs[slice(*rows), slice(*columns)] = False
    assert not differs.any()


def test_a_smile_lifts_the_corners_of_the_mouth_and_a_frown_lowers_them():
    def corners(curve):
        """Mean row of the ends of the dark line between the lips, less that of its middle."""
        line = drawn(replace(REST, curve=curve))[60:82, 30:66, 0] < 150
        rows = [np.flatnonzero(line[:, x]).mean() for x in np.flatnonzero(line.any(0))]
        return np.mean(rows[:3] + rows[-3:]) - np.mean(rows[8:-8])

    assert corners(0.9) < corners(0) - 2 < corners(-0.9) - 4


def test_a_lopsided_light_and_a_turned_head_are_seen():
    plain = drawn(REST)
    lit = drawn(REST, looks=replace(LOOKS, light=(0.0, 0.8)))
    assert lit[:, :20].mean() < plain[:, :20].mean() - 20 < lit[:, -20:].mean() - 40
    turned = drawn(REST, looks=replace(LOOKS, yaw=0.4))
    pupils = [np.nonzero((image[38:48, 24:76] < 60).all(2))[1].mean() for image in (plain, turned)]
    assert pupils[1] > pupils[0] + 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": -1}, "0 or more faces"),
        ({"train": 0, "validation": 0, "test": 0}, "one at least"),
        ({"size": 4}, "16 to 1024 pixels, got 4"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_impossible_options_are_errors(options, message):
    with pytest.raises(ConfigError, match=message):
        synthetic(**options)


def test_an_empty_split_is_absent_with_a_reason():
    assert synthetic(3, 0, 3).absent == {"validation": "data.validation is 0"}
