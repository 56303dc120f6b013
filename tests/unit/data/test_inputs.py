"""Faces as Python users give them: a wrong colour changes the answer without a sign, so none is guessed."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ferlab.data.inputs import listed, read_face
from ferlab.errors import DataError, FerlabError, SpecError
from ferlab.spec import ModelSpec

RED = np.tile(np.array([200, 100, 50], np.uint8), (4, 6, 1))  # as RGB
GREY = ModelSpec(("anger", "fear"), size=8)


def test_each_colour_is_what_it_says():
    # 0.299 R + 0.587 G + 0.114 B: 124.2 of (200, 100, 50), and 96.45 of (50, 100, 200)
    assert np.unique(GREY.prepare(read_face(RED, "rgb"))) == [124]
    assert np.unique(GREY.prepare(read_face(RED, "bgr"))) == [96]
    np.testing.assert_array_equal(read_face(np.ascontiguousarray(RED[..., ::-1]), "bgr"), RED)
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    np.testing.assert_array_equal(read_face(grey, "gray"), np.stack([grey] * 3, axis=2))


def test_files_and_pictures_of_pil_say_their_colour(tmp_path):
    Image.fromarray(RED).save(tmp_path / "red.png")
    Image.fromarray(RED[..., 0]).save(tmp_path / "grey.png")
    for face in (
        tmp_path / "red.png",
        str(tmp_path / "red.png"),
        Image.fromarray(RED),
        Image.open(tmp_path / "red.png"),
    ):
        np.testing.assert_array_equal(read_face(face, "rgb"), RED)
    for face in (tmp_path / "grey.png", Image.open(tmp_path / "grey.png")):
        np.testing.assert_array_equal(read_face(face, "rgb"), np.full_like(RED, 200))
    np.testing.assert_array_equal(read_face(cv2.imread(str(tmp_path / "red.png")), "bgr"), RED)


def test_a_turned_picture_of_pil_is_upright(tmp_path):
    marked = RED.copy()
    marked[0, 0] = 0
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(marked).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_face(Image.open(tmp_path / "turned.png"), "rgb"), marked[::-1, ::-1])


@pytest.mark.parametrize(
    ("face", "colour", "error", "said"),
    [
        (
            RED[..., 0],
            "rgb",
            SpecError,
            r"of colour 'rgb' must be \(h, w, 3\) uint8, got \(4, 6\) uint8; say colour='gray'",
        ),
        (RED, "gray", SpecError, r"of colour 'gray' must be \(h, w\) uint8, got \(4, 6, 3\) uint8"),
        (
            RED.transpose(2, 0, 1),
            "rgb",
            SpecError,
            r"got \(3, 4, 6\) uint8; put three channels last",
        ),
        (RED / 255, "rgb", SpecError, r"got \(4, 6, 3\) float64; give pixels from 0 to 255"),
        (np.zeros((0, 6, 3), np.uint8), "bgr", SpecError, r"got \(0, 6, 3\) uint8"),
        (Image.fromarray(RED), "bgr", SpecError, "said of arrays alone, got 'bgr' for a picture of PIL"),
        ("face.png", "gray", SpecError, "said of arrays alone, got 'gray' for a picture file"),
        (Image.fromarray(RED[..., 0].astype(np.uint16)), "rgb", SpecError, "must have a mode of 1, L, .*, got I;16"),
        (RED.tolist(), "rgb", SpecError, "must be a path, a picture of PIL or a uint8 array, .* got list"),
        (None, "rgb", SpecError, "got NoneType"),
        ("no.png", "rgb", DataError, "cannot read no.png: No such file"),
        (".", "rgb", DataError, "must be a picture file, got the folder .; give a list of its pictures"),
    ],
)
def test_what_is_no_face_is_one_line(face, colour, error, said):
    with pytest.raises(error, match=said):
        read_face(face, colour)


def test_one_face_and_several_are_told_by_the_dimensions_alone():
    single = (RED, "rgb"), (RED[..., 0], "gray"), (Path("a"), "rgb"), ("ab", "rgb")
    assert [listed(*each)[1] for each in single] == [True] * 4
    several = (
        (np.stack([RED, RED]), "bgr"),
        (np.zeros((6, 8, 8), np.uint8), "gray"),
        ([RED, "a.png"], "rgb"),
        (("a.png",), "rgb"),
    )
    assert [(len(faces), one) for faces, one in (listed(*each) for each in several)] == [(2, 0), (6, 0), (2, 0), (1, 0)]
    with pytest.raises(FerlabError, match="unknown colour 'grey' of a face; did you mean 'gray'"):
        listed(RED, "grey")
    with pytest.raises(SpecError, match=r"grey faces must be \(h, w\) or \(n, h, w\), got \(4, 6, 3\)"):
        listed(RED, "gray")
