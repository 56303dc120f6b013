import numpy as np
import pytest

from ferlab.errors import SpecError
from ferlab.faces import FaceCrop
from ferlab.live.crop import FITS, Fit, crops, fitted
from ferlab.live.frame import Faces


@pytest.fixture
def image() -> np.ndarray:
    rows, columns = np.mgrid[:100, :120]
    return np.stack([rows, columns, rows + columns], 2).astype(np.uint8)


def test_a_fit_is_a_square_about_the_box_by_hand() -> None:
    # The longer side is 40; the middle (35, 40) goes 4 right and 8 up; the square has 20.
    assert fitted(np.array([[20, 20, 30, 40]], np.float32), Fit(0.5, 0.1, -0.2)).tolist() == [[29, 22, 20, 20]]
    assert fitted(np.zeros((0, 4), np.float32), Fit(1.0)).shape == (0, 4)


def test_faces_are_cut_by_the_fit_or_by_box_and_margin(image: np.ndarray) -> None:
    faces = Faces.found([[20, 30, 40, 40], [60, 10, 20, 20]])
    plain = crops(image, faces, FaceCrop())
    assert [each.shape for each in plain] == [(40, 40, 3), (20, 20, 3)]
    assert np.array_equal(plain[0], image[30:70, 20:60])
    wide = crops(image, faces, FaceCrop(margin=0.25))
    assert np.array_equal(wide[0], image[20:80, 10:70])
    fit = crops(image, faces, FaceCrop(margin=0.25), Fit(0.5, 0.25, 0.0))
    assert np.array_equal(fit[0], image[40:60, 40:60])  # the fit stands for the margin


def test_level_eyes_need_a_detector_that_finds_them(image: np.ndarray) -> None:
    with pytest.raises(SpecError, match="level eyes, which need landmarks, got none; use detect=yunet"):
        crops(image, Faces.found([[20, 30, 40, 40]]), FaceCrop(aligned=True))
    points = np.full((1, 5, 2), 40.0)
    points[0, :2] = [[30, 40], [50, 60]]  # the eyes, 45° off level
    (turned,) = crops(image, Faces.found([[20, 30, 40, 40]], landmarks=points), FaceCrop(aligned=True))
    # To the right in the crop is right and down in the picture: both numbers grow.
    assert turned[20, 25, 0] > turned[20, 15, 0]
    assert turned[20, 25, 1] > turned[20, 15, 1]
    assert crops(image, Faces.found([]), FaceCrop(aligned=True)) == []


def test_fits_are_about_the_box() -> None:
    for fit in FITS.values():
        assert 0.7 < fit.side < 1.5
        assert max(abs(fit.right), abs(fit.down)) < 0.2
