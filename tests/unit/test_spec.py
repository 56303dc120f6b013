import json
from dataclasses import replace

import numpy as np
import pytest

from ferlab.errors import FerlabError, LabelError, SpecError
from ferlab.faces import FaceCrop
from ferlab.labels import FERPLUS
from ferlab.spec import ModelSpec

SPEC = ModelSpec(FERPLUS)
RGB = ModelSpec(FERPLUS, colour="rgb", size=32, mean=(0.5,) * 3, std=(0.25,) * 3)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_grey_pixels_come_through_unchanged():
    grey = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    grey.ravel()[:256] = np.arange(256)  # every level
    np.testing.assert_array_equal(SPEC.prepare(np.repeat(grey[..., None], 3, 2)), grey[None])


def test_colour_pixels_come_through_unchanged_with_channels_first():
    image = picture(32, 32)
    prepared = RGB.prepare(image)
    np.testing.assert_array_equal(prepared, image.transpose(2, 0, 1))
    assert prepared.flags.c_contiguous


def test_grey_weighs_the_colours_as_bt601_does():
    image = np.zeros((48, 48, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 200, 100, 50
    assert SPEC.prepare(image)[0, 0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)


@pytest.mark.parametrize("interpolation", ["area", "linear", "cubic"])
@pytest.mark.parametrize("shape", [(48, 48), (96, 96), (20, 20), (100, 30), (13, 77), (1, 1)])
def test_any_crop_becomes_the_models_size(shape, interpolation):
    for spec, channels in ((SPEC, 1), (RGB, 3)):
        prepared = replace(spec, interpolation=interpolation).prepare(picture(*shape))
        assert prepared.shape == (channels, spec.size, spec.size)
        assert prepared.dtype == np.uint8


def test_area_averages_when_it_shrinks():
    image = picture(96, 96)
    expected = image.reshape(48, 2, 48, 2, 3).astype(float).mean((1, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(replace(RGB, size=48).prepare(image), expected, atol=0.5)


def test_enlarging_keeps_a_plain_picture_plain():
    prepared = RGB.prepare(np.full((7, 9, 3), 131, np.uint8))
    assert (prepared == 131).all()


def test_prepare_leaves_the_crop_alone():
    image = picture(48, 48)
    before = image.copy()
    SPEC.prepare(image)[:] = 0
    RGB.prepare(image)[:] = 0
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    "crop",
    [
        np.zeros((48, 48), np.uint8),
        np.zeros((48, 48, 1), np.uint8),
        np.zeros((48, 48, 4), np.uint8),
        np.zeros((0, 48, 3), np.uint8),
        np.zeros((48, 48, 3), np.float32),
    ],
)
def test_what_is_no_rgb_picture_is_an_error(crop):
    with pytest.raises(SpecError, match=r"must be \(h, w, 3\) uint8 RGB, got"):
        SPEC.prepare(crop)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expression": ("anger",)}, "two expression labels"),
        ({"expression": ()}, "two expression labels"),
        ({"colour": "grey"}, "unknown colour 'grey'.*did you mean 'gray'"),
        ({"interpolation": "lanczos"}, "unknown interpolation"),
        ({"size": 4}, "8 to 1024"),
        ({"mean": (0.5, 0.5)}, "mean must have 1 values for gray"),
        ({"std": (0.0,)}, "std positive"),
        ({"mean": (float("nan"),)}, "mean must be finite"),
        ({"temperature": 0.0}, "temperature must be positive"),
    ],
)
def test_a_specification_that_contradicts_itself_is_an_error(change, message):
    with pytest.raises(SpecError, match=message):
        replace(SPEC, **change)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("happy", "sadness"), "label 'happy' must have its canonical name; write 'happiness'"),
        (("bored", "Bored "), r"must be printable text of 1 to 64 characters, got 'Bored '"),
        (("bored", "en\x1b[31mgaged"), r"must be printable text"),
        (("bored", ""), "must be printable text"),
        (("bored", "x" * 65), "must be printable text"),
        (("very_bored", "very bored"), "labels must differ, got 'very bored' twice"),
    ],
)
def test_labels_of_ones_own_have_one_spelling_that_can_be_printed(labels, said):
    with pytest.raises(LabelError, match=said):
        ModelSpec(labels)


def test_repeated_labels_are_an_error():
    with pytest.raises(LabelError, match="got 'anger' twice"):
        ModelSpec(("anger", "anger"))


def test_affect_alone_needs_no_labels():
    assert ModelSpec((), affect=True).affect


def test_a_specification_survives_json_with_its_digest():
    spec = replace(RGB, affect=True, face=FaceCrop(0.3, True), temperature=1.7, interpolation="cubic")
    again = ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert again.digest == spec.digest


def test_the_digest_never_changes_between_versions():
    """Bundles hold it: a change here makes every older bundle unreadable, so raise `documents.FORMAT` with it."""
    assert SPEC.digest == "d0fbcb42c1310221"


def test_the_digest_changes_with_every_field():
    changes = [
        {"expression": FERPLUS[::-1]}, {"affect": True}, {"size": 64}, {"interpolation": "cubic"}, {"mean": (0.4,)},
        {"std": (0.3,)}, {"face": FaceCrop(0.1)}, {"face": FaceCrop(aligned=True)}, {"temperature": 2.0},
        {"colour": "rgb", "mean": (0.5,) * 3, "std": (0.25,) * 3},
    ]  # fmt: skip
    digests = {replace(SPEC, **change).digest for change in changes}
    assert len(digests) == len(changes)
    assert SPEC.digest not in digests


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expresion": []}, "unknown field 'expresion'.*did you mean 'expression'"),
        ({"expression": 3}, "well typed"),
        ({"expression": [3, 4]}, "printable text of 1 to 64 characters, got 3"),
        ({"size": "big"}, "well typed"),
        ({"face": {"margn": 1}}, "well typed"),
        ({"face": {"margin": 9}}, "margin must be"),
        ({"expression": ["anger", "anger"]}, "got 'anger' twice"),
    ],
)
def test_a_damaged_specification_is_one_sentence(change, message):
    with pytest.raises(FerlabError, match=message):
        ModelSpec.from_dict(SPEC.to_dict() | change)


def test_a_missing_field_without_default_is_an_error():
    with pytest.raises(SpecError, match="expression"):
        ModelSpec.from_dict({"size": 48})
