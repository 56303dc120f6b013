"""Prepared once: the same bytes from memory, from the cache and from the loader, and never half a cache."""

import errno
import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from ferlab.data import packed as module
from ferlab.data.cache import cache_root
from ferlab.data.images import FileImages
from ferlab.data.loaders import Packed, plan
from ferlab.data.packed import packed, prepare_all
from ferlab.data.source import Split
from ferlab.errors import DataError
from ferlab.labels import FERPLUS
from ferlab.spec import ModelSpec

SPEC = ModelSpec(FERPLUS, size=16)


@pytest.fixture
def split(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(600):  # more than two chunks
        cv2.imwrite(str(tmp_path / f"{i}.png"), rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
    return Split("train", FileImages.of(tmp_path, [f"{i}.png" for i in range(600)]), np.arange(600) % 8)


def folders():
    return sorted(path.name for path in cache_root().glob("*")) if cache_root().is_dir() else []


def test_the_faces_are_those_of_prepare(split):
    expected = np.stack([SPEC.prepare(split.read(i)) for i in range(len(split))])
    np.testing.assert_array_equal(prepare_all(split, SPEC), expected)
    np.testing.assert_array_equal(packed(split, SPEC).pixels, expected)
    feed = Packed(split, SPEC, torch.device("cpu"), False)
    for batch in feed.batches(0, plan(np.arange(600)[::-1], 100, 1, 0, 0)):
        np.testing.assert_array_equal(batch.images.numpy(), expected[batch.part.rows])
        np.testing.assert_array_equal(batch.targets["expression"].numpy(), split.labels[batch.part.rows])


def test_they_are_prepared_once(split, monkeypatch):
    before = packed(split, SPEC).pixels
    monkeypatch.setattr(module, "prepare_all", lambda *_: pytest.fail("prepared again"))
    np.testing.assert_array_equal(packed(split, SPEC).pixels, before)


def test_another_preparation_or_picture_is_another_cache(split):
    packed(split, SPEC)
    for spec in (ModelSpec(FERPLUS, size=17), ModelSpec(FERPLUS, size=16, interpolation="cubic")):
        assert packed(split, spec).pixels.shape == (600, 1, spec.size, spec.size)
    black = np.zeros((20, 20, 3), np.uint8)
    cv2.imwrite(str(split.images.path(5)), black)
    split = replace(split)  # a split reads what its pictures are once
    assert packed(split, SPEC).pixels[5].max() == 0
    assert len(folders()) == 4
    packed(split, ModelSpec(FERPLUS[:7], size=16, mean=(0.1,)))  # says nothing of the pixels
    assert len(folders()) == 4


def test_an_unreadable_face_leaves_no_cache(split):
    path = split.images.path(300)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=r"300\.png must be a picture"):
        packed(split, SPEC)
    assert folders() == []


def test_a_full_disk_is_told_before_anything_is_read(split, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"cannot write 153,600 bytes .* No space left on device; free some space"):
        packed(split, SPEC)
    assert folders() == []


def test_a_damaged_cache_says_what_to_delete(split):
    packed(split, SPEC)
    (folder,) = cache_root().glob("packed-*")
    (folder / "pixels.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=rf"the cache in {folder} is damaged .*; delete that folder and run again"):
        packed(split, SPEC)
    np.save(folder / "pixels.npy", np.zeros((600, 1, 8, 8), np.uint8))
    with pytest.raises(
        DataError, match=r"must hold \(600, 1, 16, 16\) uint8, got \(600, 1, 8, 8\); delete that folder"
    ):
        packed(split, SPEC)


def test_a_changed_face_is_found_when_it_is_read(split):
    packed(split, SPEC)
    (folder,) = cache_root().glob("packed-*")
    with open(folder / "pixels.npy", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 4]))
    feed = Packed(split, SPEC, torch.device("cpu"), False)
    assert len(list(feed.batches(0, plan(np.arange(599), 100, 1, 0, 0)))) == 6
    said = rf"the cache in {folder} is damaged \(face 599 was changed\); delete that folder and run again"
    with pytest.raises(DataError, match=said):
        list(feed.batches(1, plan(np.arange(600), 100, 1, 0, 1)))
    (folder / "sums.npy").unlink()
    with pytest.raises(DataError, match=rf"the cache in {folder} is damaged .*; delete that folder and run again"):
        packed(split, SPEC)
