import numpy as np
import pytest

from ferlab.data.affectnet import affectnet
from ferlab.data.drawn import EYE_HALF, EYE_LEVEL, Expression, Looks, Pen, draw, landmarks
from ferlab.data.layouts import write
from ferlab.data.synthetic import draw_split
from ferlab.labels import AFFECTNET

LOOKS = Looks((200, 150, 120), (30, 20, 20), (60, 40, 20), (90, 90, 90), (128, 128, 128))


@pytest.mark.parametrize("layout", ["affectnet", "affectnet_csv", "affectnet_annotations"])
def test_labels_affect_and_pixels_come_back(tmp_path, layout):
    write(layout, tmp_path / "a", 48, 24, 0, seed=3)
    source = affectnet(str(tmp_path / "a"), align=False)
    drawn = draw_split("train", 48, 48, 3, AFFECTNET)
    split = source.splits["train"]
    assert [len(each) for each in source.splits.values()] == [42, 21]
    assert sum(source.dropped.values()) == 6 + 3
    unknown = np.isnan(split.affect)
    assert unknown.sum(0).tolist() == [2, 2]  # each alone
    assert not unknown.all(1).any()
    for i in range(len(split)):
        row = int(
            split.images.name(i).split("/")[-1].removesuffix(".jpg")[-4:], 16 if layout == "affectnet_csv" else 10
        )
        assert split.labels[i] == drawn.labels[row]
        known = ~unknown[i]
        np.testing.assert_allclose(split.affect[i][known], drawn.affect[row][known], atol=1e-5)
        face = split.read(i)
        assert face.shape == (48, 48, 3)
        assert np.abs(face.astype(int) - drawn.read(row)).mean() < 12  # JPEG; another face differs by 40 or more


def test_drawn_faces_have_landmarks_and_are_levelled(tmp_path):
    for layout, aligned in (("affectnet", True), ("affectnet_csv", True), ("affectnet_annotations", False)):
        write(layout, tmp_path / layout, 30, 10, 0)
        assert affectnet(str(tmp_path / layout)).face.aligned == aligned


def test_landmarks_of_the_eyes_lie_on_the_drawn_eyes():
    """The whites are the only bright thing on a dark face: their middle is the middle of the points, to a pixel."""
    dark = Looks((60, 40, 30), (10, 10, 10), (235, 232, 228), (20, 20, 20), (30, 30, 30), roll=0.3, shift=(0.1, 0.05))
    expression = Expression(eyes=1.0)
    picture = draw(expression, dark, 200, np.random.default_rng(0))
    points = landmarks(expression, dark, 200)
    bright = np.argwhere(picture.min(2) > 150)[:, ::-1]
    for around in (slice(36, 42), slice(42, 48)):
        middle = points[around].mean(0)
        near = bright[np.hypot(*(bright - middle).T) < 25]
        assert len(near) > 50
        assert np.abs(near.mean(0) - middle).max() < 4
    assert points[36:42, 0].mean() < points[42:48, 0].mean()  # the left one in the picture comes first


def test_landmarks_follow_pose_and_size():
    straight = landmarks(Expression(), LOOKS, 100)
    pen = Pen(np.empty((200, 0, 3), np.uint8), LOOKS)
    corner = pen.pixels(np.array([(-0.33 - EYE_HALF, EYE_LEVEL)]))
    np.testing.assert_allclose(straight[36], corner[0], atol=1e-9)
    assert straight[36:42, 1].mean() == pytest.approx(straight[42:48, 1].mean(), abs=0.1)
    double = landmarks(Expression(), LOOKS, 200)
    np.testing.assert_allclose((double + 0.5) / 2 - 0.5, straight, atol=0.05)
    assert straight[8, 1] == straight[:, 1].max()  # the chin
