"""A run's model has seen its own faces, its start weights' and its teacher's, whoever goes on with it."""

from types import SimpleNamespace

import numpy as np
import pytest

from ferlab.data.hashes import face_hash
from ferlab.data.source import Source, Split
from ferlab.data.synthetic import DrawnImages
from ferlab.errors import BundleError
from ferlab.past import Past
from ferlab.training.folder import RunFolder
from ferlab.training.seen import past_of_run


def split_of(name, first, labels):
    """Faces of 8 px, face i grey of value first + i."""
    pixels = np.arange(first, first + len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((8, 8, 3), np.uint8)
    return Split(name, DrawnImages(pixels, f"drawn {first}"), np.array(labels, np.int64))


def grey(*values):
    return sorted(face_hash(np.full((8, 8, 3), value, np.uint8)) for value in values)


SOURCE = Source(
    "drawn",
    ("anger", "fear"),
    {"train": split_of("train", 0, [0, -1, 1]), "validation": split_of("validation", 10, [0, 1])},
    "as drawn",
    "free",
)
OLD = Past.of(np.array([5], np.uint64), np.array([6], np.uint64))


def a_run(weights=None, teacher=None):
    loaded = weights and SimpleNamespace(path=str(weights))
    asked = teacher and SimpleNamespace(bundle=SimpleNamespace(past=teacher.past))
    return SimpleNamespace(state=SimpleNamespace(weights=loaded), teacher=asked)


def seen(run, sampler="shuffle", resumed=None):
    past = past_of_run(run, SOURCE, sampler, resumed)
    return past.trained.tolist(), past.selected.tolist(), past.whole


def test_a_run_from_scratch_has_seen_its_own_two_splits():
    assert seen(a_run()) == (grey(0, 1, 2), grey(10, 11), True)


def test_faces_that_the_weighted_sampler_never_draws_are_not_among_them():
    assert seen(a_run(), "weighted") == (grey(0, 2), grey(10, 11), True)


def test_the_teachers_faces_count_and_one_that_does_not_say_is_noted():
    both = (sorted([*grey(0, 1, 2), 5]), sorted([*grey(10, 11), 6]))
    assert seen(a_run(teacher=SimpleNamespace(past=OLD))) == (*both, True)
    assert seen(a_run(teacher=SimpleNamespace(past=None))) == (grey(0, 1, 2), grey(10, 11), False)


def test_weights_of_no_bundle_are_of_unknown_past(tmp_path):
    (tmp_path / "weights.safetensors").touch()
    for path in (tmp_path / "weights.safetensors", tmp_path / "vit.safetensors", "timm/vit_tiny.augreg_in21k"):
        assert seen(a_run(weights=path)) == (grey(0, 1, 2), grey(10, 11), False)


def test_a_resumed_run_has_seen_what_it_had_before(tmp_path):
    folder = RunFolder(tmp_path)
    assert seen(a_run(), resumed=folder) == (grey(0, 1, 2), grey(10, 11), False)  # of an older ferlab
    OLD.write(folder.past)
    assert seen(a_run(), resumed=folder) == (sorted([*grey(0, 1, 2), 5]), sorted([*grey(10, 11), 6]), True)
    folder.past.write_bytes(folder.past.read_bytes()[:-1])
    with pytest.raises(BundleError, match="got"):
        seen(a_run(), resumed=folder)
