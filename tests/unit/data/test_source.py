import numpy as np
import pytest

from ferlab.data.source import Source, Split
from ferlab.data.synthetic import synthetic
from ferlab.errors import DataError, LabelError


@pytest.fixture
def source():
    return synthetic(12, 4, 0)


def remade(source, **changes):
    values = {"name": "x", "labels": source.labels, "splits": source.splits, "protocol": "p", "licence": "l"}
    return Source(**(values | changes))


def test_taking_rows_takes_pictures_labels_and_affect_together(source):
    split = source.splits["train"]
    rows = np.array([7, 2, 2])
    taken = split.take(rows)
    assert len(taken) == 3
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(taken.read(i), split.read(row))
        assert taken.labels[i] == split.labels[row]
        assert taken.images.name(i) == split.images.name(row)
        np.testing.assert_array_equal(taken.affect[i], split.affect[row])


def test_counts_leave_out_faces_without_a_label(source):
    split = source.splits["train"]
    labels = split.labels.copy()
    labels[:5] = -1
    assert Split("train", split.images, labels).counts(8).sum() == 7


def test_rows_that_do_not_fit_the_pictures_are_an_error(source):
    split = source.splits["train"]
    with pytest.raises(DataError, match="train labels must have one row a picture, got 11 for 12"):
        Split("train", split.images, split.labels[:-1])
    with pytest.raises(DataError, match="train affect must have one row a picture, got 3 for 12"):
        Split("train", split.images, split.labels, affect=np.zeros((3, 2), np.float32))


@pytest.mark.parametrize("wrong", [8, -2])
def test_class_ids_outside_the_labels_are_an_error(source, wrong):
    split = source.splits["train"]
    labels = split.labels.copy()
    labels[3] = wrong
    with pytest.raises(DataError, match="class ids must be 0 to 7"):
        remade(source, splits={"train": Split("train", split.images, labels)})


def test_labels_must_be_canonical(source):
    with pytest.raises(LabelError, match="canonical name; write "):
        remade(source, labels=("calm", *source.labels[1:]))


def test_a_split_is_found_by_name_or_its_absence_explained(source):
    assert source.split("train") is source.splits["train"]
    with pytest.raises(DataError, match=r"no test split here: data\.test is 0"):
        source.split("test")
    with pytest.raises(DataError, match="no split 'dev'; one of: train, validation"):
        source.split("dev")


def test_the_digest_changes_with_any_pixel_label_or_affect(source):
    split = source.splits["train"]
    before = source.digest()
    assert len(before) == 16
    labels, affect = split.labels.copy(), split.affect.copy()
    labels[0] = (labels[0] + 1) % 8
    affect[0, 0] += 0.01
    pixels = split.images.pixels.copy()
    pixels[5, 9, 9, 1] ^= 1
    images = type(split.images)(pixels, split.images.title)
    changed = [
        Split("train", split.images, labels, affect=split.affect),
        Split("train", split.images, split.labels, affect=affect),
        Split("train", split.images, split.labels),
        Split("train", images, split.labels, affect=split.affect),
        split.take(np.arange(12)[::-1]),
    ]
    digests = {remade(source, splits={**source.splits, "train": other}).digest() for other in changed}
    assert len(digests | {before}) == 6
    assert remade(source).digest() == before
