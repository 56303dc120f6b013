"""Copies across splits go out of train, and nothing else changes."""

import numpy as np
import pytest

from ferlab.data.copies import with_copies
from ferlab.data.hashes import face_hashes
from ferlab.data.imagefolder import imagefolder
from ferlab.data.mixed import mixed
from ferlab.data.source import Source, Split
from ferlab.data.synthetic import DrawnImages, synthetic
from ferlab.data.verify import verify
from ferlab.errors import ConfigError, DataError

DRAWN = synthetic(40, 20, 10)


def leaking(planted):
    """The drawn faces; row i of train is row j of another split for (i, split, j) in `planted`."""
    train = DRAWN.splits["train"]
    pixels = train.images.pixels.copy()
    for i, split, j in planted:
        pixels[i] = DRAWN.splits[split].read(j)
    splits = dict(DRAWN.splits) | {"train": Split("train", DrawnImages(pixels, "train"), train.labels)}
    return Source("leaking", DRAWN.labels, splits, "drawn", "none", official={"train": 40, "validation": 20})


def test_train_loses_what_another_split_has_and_the_others_nothing():
    source = leaking([(3, "validation", 0), (5, "validation", 0), (7, "test", 9)])
    assert verify(source).leaks
    assert with_copies(source, "keep") is source
    dropped = with_copies(source, "drop")
    kept = [i for i in range(40) if i not in (3, 5, 7)]
    np.testing.assert_array_equal(face_hashes(dropped.splits["train"]), face_hashes(source.splits["train"])[kept])
    np.testing.assert_array_equal(dropped.splits["train"].labels, source.splits["train"].labels[kept])
    assert all(dropped.splits[name] is source.splits[name] for name in ("validation", "test"))
    assert dropped.dropped == {"train: another split has them too": 3}
    assert dropped.digest() != source.digest()
    assert not verify(dropped).leaks
    assert dropped.official == {"train": 37, "validation": 20}  # so that a part that is missing is still found
    assert "without the faces of train that another split has too" in dropped.protocol
    assert dropped.protocol_of("validation") == "drawn"  # a score is one of the same faces as before


def test_two_datasets_share_faces():
    both = {"a": DRAWN, "b": leaking([(0, "test", 1)])}
    assert len(mixed(both, copies="drop").splits["train"]) == len(mixed(both).splits["train"]) - 1


def test_what_cannot_be_done_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown data\.copies 'dorp'; did you mean 'drop'"):
        with_copies(DRAWN, "dorp")
    train = DRAWN.splits["train"]
    same = Source("same", DRAWN.labels, {"train": train, "test": train}, "drawn", "none")
    with pytest.raises(DataError, match="every face of same's train split is in another split too"):
        with_copies(same, "drop")


def test_a_tree_of_pictures_takes_the_option(written):
    folder = written("imagefolder")
    copy = next((folder / "validation").rglob("*.png"))
    (folder / "train" / copy.parent.name / "copy.png").write_bytes(copy.read_bytes())
    assert len(imagefolder(str(folder)).splits["train"]) == 61
    assert len(imagefolder(str(folder), copies="drop").splits["train"]) == 60
