"""Which faces a model has seen: the same face is found wherever it lies, and the file says so truly or not at all."""

import hashlib
import os
import struct
from dataclasses import replace

import numpy as np
import pytest

from ferlab.data import hashes as module
from ferlab.data.affectnet import affectnet
from ferlab.data.fer2013 import fer2013
from ferlab.data.ferplus import ferplus
from ferlab.data.hashes import face_hash, face_hashes
from ferlab.data.layouts import write
from ferlab.data.mixed import mixed
from ferlab.data.rafdb import rafdb
from ferlab.data.synthetic import synthetic
from ferlab.errors import BundleError, DataError
from ferlab.past import UNKNOWN, Past, past_in

ROWS = {"train": 60, "validation": 20, "test": 16}


@pytest.fixture
def written(tmp_path):
    """A function that writes a small dataset in a layout and returns its folder."""

    def write_layout(layout, **numbers):
        folder = tmp_path / layout
        write(layout, folder, **({**ROWS, "seed": 0} | numbers))
        return str(folder)

    return write_layout


def trained_with(source):
    """The past of a model trained on this data as training does it."""
    return Past.of(face_hashes(source.split("train")), face_hashes(source.split("validation")))


def seen(past, source, split):
    """Faces of a split, and how many of them were trained on and selected on."""
    trained, selected = past.seen(face_hashes(source.split(split)))
    return len(trained), int(trained.sum()), int(selected.sum())


def hashes(*values):
    return np.array(values, np.uint64)


def test_a_hash_is_of_shape_and_pixels():
    face = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    shape = struct.pack("<3I", 4, 6, 3)
    expected = hashlib.blake2b(shape + face.tobytes(), digest_size=8).digest()
    assert face_hash(face) == int.from_bytes(expected, "little")
    assert face_hash(np.asfortranarray(face)) == face_hash(face)
    other = face.copy()
    other[3, 5, 2] ^= 1
    assert face_hash(other) != face_hash(face)
    assert face_hash(face.reshape(6, 4, 3)) != face_hash(face)


def test_the_faces_of_a_split_in_its_order():
    split = synthetic(train=300, validation=8, test=8, size=16, seed=0).split("train")
    found = face_hashes(split)
    assert found.dtype == np.uint64
    assert found.tolist() == [face_hash(split.read(i)) for i in range(300)]
    rows = np.array([7, 2, 2])
    np.testing.assert_array_equal(face_hashes(split.take(rows)), found[rows])


def test_the_second_time_the_cache_has_them(written, monkeypatch):
    root = written("kaggle")
    first = face_hashes(fer2013(root).split("train"))
    monkeypatch.setattr(module, "face_hash", lambda _: pytest.fail("hashed again"))
    np.testing.assert_array_equal(face_hashes(fer2013(root).split("train")), first)


@pytest.mark.parametrize("place", [0, 40, 60, -1])
def test_a_damaged_cache_is_refused(cache, place):
    split = synthetic(train=16, validation=8, test=8, size=16, seed=0).split("train")
    face_hashes(split)
    (file,) = cache.glob("faces-*")
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"is damaged .* delete that file and run again") as caught:
        face_hashes(split)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FERLAB_CACHE", str(tmp_path / "file"))
    split = synthetic(train=16, validation=8, test=8, size=16, seed=0).split("train")
    with pytest.raises(DataError, match=r"cannot write the hashes of 16 faces .* set FERLAB_CACHE"):
        face_hashes(split)


def test_fer_plus_and_fer2013_are_the_same_faces(written):
    root = written("ferplus")
    plus, plain = ferplus(root), fer2013(root)
    assert seen(trained_with(plain), plus, "validation") == (
        len(plus.split("validation")),
        0,
        len(plus.split("validation")),
    )
    assert len(plus.split("validation")) < 20  # FER+ leaves some out
    assert seen(trained_with(plus), plain, "validation")[2] == len(plus.split("validation"))
    assert seen(trained_with(plain), plus, "test")[1:] == (0, 0)


def test_kaggles_copy_selects_on_the_faces_of_the_test_split(written):
    copy, challenge = fer2013(written("kaggle")), fer2013(written("fer2013"))
    assert seen(trained_with(copy), challenge, "test") == (16, 0, 16)
    assert seen(trained_with(copy), challenge, "train") == (60, 60, 0)
    assert seen(trained_with(challenge), copy, "validation") == (36, 0, 20)


def test_affectnets_default_selects_on_what_a_holdout_calls_its_test_split(written):
    root = written("affectnet")
    default, honest = affectnet(root), affectnet(root, holdout=0.2)
    n = len(honest.split("test"))
    assert n == len(default.split("validation")) > 0
    assert seen(trained_with(default), honest, "test") == (n, 0, n)
    assert seen(trained_with(honest), honest, "test") == (n, 0, 0)
    held = len(honest.split("validation"))
    assert seen(trained_with(default), honest, "validation") == (held, held, 0)


def test_a_mixture_has_seen_its_parts_and_its_parts_have_seen_some_of_it(written):
    parts = {"ferplus": ferplus(written("ferplus")), "rafdb": rafdb(written("rafdb", seed=1))}
    both = mixed(parts)
    for name, source in parts.items():
        n, trained, selected = seen(trained_with(both), source, "validation")
        known = int(np.isin(source.split("validation").labels, [source.labels.index(x) for x in both.labels]).sum())
        assert (trained, selected) == (0, known), name
        assert 0 < known <= n
        mine = int((both.split("validation").slices["source"] == name).sum())
        assert seen(trained_with(source), both, "validation") == (len(both.split("validation")), 0, mine)


def test_a_copy_across_splits_is_found():
    source = synthetic(train=20, validation=8, test=8, size=16, seed=0)
    train = source.split("train")
    copies = replace(train.take(np.arange(5)), name="test")
    moved = replace(source, splits=dict(source.splits) | {"test": copies})
    assert seen(trained_with(source), moved, "test") == (5, 5, 0)


def test_a_union_is_all_that_either_has_seen_and_is_whole_only_if_both_are():
    one, other = Past.of(hashes(5, 1, 5), hashes(9)), Past.of(hashes(2, 5), hashes(9, 3))
    both = one | other
    assert both.trained.tolist() == [1, 2, 5]
    assert both.selected.tolist() == [3, 9]
    assert both.whole
    assert not (one | UNKNOWN).whole
    assert not (UNKNOWN | one).whole
    trained, selected = both.seen(hashes(3, 1, 1, 2**64 - 1))
    assert trained.tolist() == [False, True, True, False]
    assert selected.tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    "past",
    [Past.of(hashes(2**64 - 1, 0, 7), hashes(8)), Past.of(hashes(), hashes()), Past.of(hashes(1), hashes()) | UNKNOWN],
)
def test_what_is_written_is_read_again(past, tmp_path):
    file = tmp_path / "past.bin"
    past.write(file)
    again = Past.read(file)
    assert again.trained.tolist() == past.trained.tolist()
    assert again.selected.tolist() == past.selected.tolist()
    assert again.whole == past.whole
    assert again.summary == past.summary
    assert [path.name for path in tmp_path.iterdir()] == ["past.bin"]


def test_the_file_is_as_documented(tmp_path):
    Past.of(hashes(258, 1), hashes(3)).write(tmp_path / "past.bin")
    content = b"FERPAST\n" + struct.pack("<HHQQ", 1, 0, 2, 1) + struct.pack("<QQQ", 1, 258, 3)
    assert (tmp_path / "past.bin").read_bytes() == content + hashlib.sha256(content).digest()
    assert Past.read(tmp_path / "past.bin").summary == {
        "digest": hashlib.sha256(content).hexdigest(), "trained": 2, "selected": 1, "whole": True,
    }  # fmt: skip


def signed(content):
    return content + hashlib.sha256(content).digest()


def header(magic=b"FERPAST\n", version=1, unknown=0, trained=2, selected=0):
    return struct.pack("<8sHHQQ", magic, version, unknown, trained, selected)


BODY = struct.pack("<QQ", 1, 2)
HOSTILE = {
    "nothing": (b"", "28 bytes or more, got 0"),
    "half a header": (header()[:20], "28 bytes or more, got 20"),
    "a pickle": (b"\x80\x04" * 40, "begin with b'FERPAST"),
    "another version": (signed(header(version=2) + BODY), "in version 1"),
    "an unknown flag": (signed(header(unknown=2) + BODY), "in version 1"),
    "the cache of a split": (signed(header(magic=b"FERFACE\n") + BODY), "begin with b'FERPAST"),
    "counts beyond any memory": (signed(header(trained=2**63) + BODY), "bytes for 9,223,372,036,854,775,808 and 0"),
    "truncated": (signed(header() + BODY)[:-1], "76 bytes for 2 and 0 faces, got 75"),
    "too long": (signed(header() + BODY) + b"\0", "got 77"),
    "counts moved": (signed(header(trained=1) + BODY), "got 76"),
    "a flipped bit": (signed(header() + BODY).replace(BODY, struct.pack("<QQ", 1, 3)), "checksum"),
    "unsorted": (signed(header() + struct.pack("<QQ", 2, 1)), "sorted"),
    "twice the same": (signed(header() + struct.pack("<QQ", 2, 2)), "sorted"),
    "unsorted at the boundary": (signed(header(trained=1, selected=2) + struct.pack("<QQQ", 1, 9, 2)), "sorted"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(case, tmp_path):
    content, said = HOSTILE[case]
    file = tmp_path / "past.bin"
    file.write_bytes(content)
    with pytest.raises(BundleError, match=said) as caught:
        Past.read(file)
    assert str(file) in str(caught.value)
    assert "copy the bundle again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_flipped_bit_of_the_file_is_noticed(tmp_path):
    file = tmp_path / "past.bin"
    Past.of(hashes(1, 2**40), hashes(3)).write(file)
    original = file.read_bytes()
    for place in range(len(original)):
        flipped = bytearray(original)
        flipped[place] ^= 1 << (place % 8)
        file.write_bytes(flipped)
        with pytest.raises(BundleError):
            Past.read(file)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "past.bin")
    with pytest.raises(BundleError, match=r"cannot read .*past\.bin: it is no regular file; copy the whole bundle"):
        Past.read(tmp_path / "past.bin")


def test_a_file_beyond_any_dataset_is_not_read(tmp_path, monkeypatch):
    Past.of(hashes(1, 2), hashes()).write(tmp_path / "past.bin")
    monkeypatch.setattr(module, "LARGEST", 75)
    with pytest.raises(BundleError, match="it has more than 75 bytes; copy the whole bundle"):
        Past.read(tmp_path / "past.bin")


@pytest.mark.parametrize("named", [None, "x", 5, [], {}, {"digest": "0123", "trained": 1}])
def test_a_past_that_the_model_does_not_name_is_refused(tmp_path, named):
    past = Past.of(hashes(1), hashes(2))
    assert past_in(tmp_path, {"past": past.summary}) is None
    past.write(tmp_path / "past.bin")
    found = past_in(tmp_path, {"past": past.summary})
    assert found is not None
    assert found.summary == past.summary
    with pytest.raises(BundleError, match=r"must be the one that its model names.*copy the whole folder") as caught:
        past_in(tmp_path, {} if named is None else {"past": named})
    assert "\n" not in str(caught.value)
