import numpy as np
import pytest

from ferlab.errors import ConfigError
from ferlab.evaluation.tta import crop_side, ten_crop, views


def test_plain_and_flip():
    face = np.arange(18, dtype=np.uint8).reshape(1, 2, 3, 3)
    assert views("plain")(face).shape == (1, 1, 2, 3, 3)
    np.testing.assert_array_equal(views("plain")(face)[0], face)
    flipped = views("flip")(face)
    np.testing.assert_array_equal(flipped[0], face)
    assert flipped[1, 0, 0].tolist() == [[2, 1, 0], [5, 4, 3], [8, 7, 6]]


def test_crops_are_44_of_48_pixels():
    assert crop_side(48) == 44
    assert crop_side(12) == 11
    assert crop_side(224) == 205


def enlarged(crop, size):
    """Bilinear interpolation pixel by pixel, centres at halves, edges repeated."""
    side = len(crop)
    result = np.empty((size, size))
    for y in range(size):
        for x in range(size):
            v, u = (np.clip((c + 0.5) * side / size - 0.5, 0, side - 1) for c in (y, x))
            top, left = int(v), int(u)
            bottom, right = min(top + 1, side - 1), min(left + 1, side - 1)
            upper = crop[top, left] * (1 - (u - left)) + crop[top, right] * (u - left)
            lower = crop[bottom, left] * (1 - (u - left)) + crop[bottom, right] * (u - left)
            result[y, x] = upper * (1 - (v - top)) + lower * (v - top)
    return result


def test_ten_crop_pixel_by_pixel():
    faces = np.random.default_rng(0).integers(0, 256, (2, 3, 24, 24), dtype=np.uint8)
    result = ten_crop(faces)
    assert result.shape == (10, 2, 3, 24, 24)
    assert result.dtype == np.uint8
    for view, (y, x) in enumerate([(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)]):
        for i, c in np.ndindex(2, 3):
            wanted = enlarged(faces[i, c, y : y + 22, x : x + 22].astype(float), 24)
            assert np.abs(result[view, i, c] - wanted).max() <= 0.5 + 1e-3  # rounded to the nearest value
            np.testing.assert_array_equal(result[view + 5, i, c], result[view, i, c, :, ::-1])


def test_a_flat_face_stays_flat_and_a_tiny_one_is_read_by_hand():
    assert (ten_crop(np.full((1, 1, 24, 24), 77, np.uint8)) == 77).all()
    # 6 pixels: crops of round(5.5) = 6, the whole face.
    face = np.random.default_rng(1).integers(0, 256, (1, 1, 6, 6), dtype=np.uint8)
    np.testing.assert_array_equal(ten_crop(face)[0], face)
    # 12 pixels, crops of 11: the second pixel of a ramp of tens lies at (1.5 · 11 / 12 − 0.5) = 0.875, which is 8.75.
    ramp = np.broadcast_to(np.arange(12, dtype=np.uint8) * 10, (1, 1, 12, 12))
    assert ten_crop(ramp)[0, 0, 0, 0, :3].tolist() == [0, 9, 18]
    assert ten_crop(ramp)[1, 0, 0, 0, :3].tolist() == [10, 19, 28]


def test_a_typo_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="unknown tta 'tencrop'; did you mean 'ten_crop'"):
        views("tencrop")
