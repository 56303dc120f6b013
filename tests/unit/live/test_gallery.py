import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from ferlab.errors import ConfigError, DataError
from ferlab.live.gallery import Gallery, forget

KEY = bytes(range(32))
E = np.eye(4, dtype=np.float32)
GALLERY = Gallery("ab12", {"Ann": E[:1], "名前 \n\x1b[2J": E[1:3], "\udce9": E[3:]})


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_it_comes_back_bit_for_bit_and_is_its_owners(tmp_path: Path, key: bytes | None) -> None:
    file, rng = tmp_path / "sub" / "gallery.json", np.random.default_rng(0)
    faces = rng.normal(size=(3, 16)).astype(np.float32)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    for gallery in (GALLERY, Gallery("ff", {"Bob": faces}), Gallery("ff")):
        gallery.save(file, key)
        found = Gallery.load(file, key)
        assert (found.recogniser, [*found.people]) == (gallery.recogniser, [*gallery.people])
        assert all(np.array_equal(found.people[name], gallery.people[name]) for name in found.people)
        assert (b"recogniser" in file.read_bytes()) == (key is None)
    if sys.platform != "win32":
        assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(file.parent) == ["gallery.json"]


def test_the_nearest_mean_by_hand() -> None:
    gallery = Gallery("ab").add("Ann", E[:1]).add("Ann", E[1:2]).add("Bob", E[2:3])
    assert gallery.people["Ann"].shape == (2, 4)
    name, cosine = gallery.nearest(np.array([0.6, 0, 0.8, 0], np.float32))
    assert (name, cosine) == ("Bob", pytest.approx(0.8))
    name, cosine = gallery.nearest(np.array([0.8, 0, 0.6, 0], np.float32))
    assert (name, cosine) == ("Bob", pytest.approx(0.6))  # Ann's mean is (1, 1, 0, 0)/√2: 0.566
    assert gallery.remove("Bob").nearest(E[2])[0] == "Ann"
    assert Gallery("ab").nearest(E[0]) is None
    with pytest.raises(ConfigError, match="nobody in the gallery is called 'ann'; did you mean 'Ann'"):
        gallery.remove("ann")


def test_another_recogniser_is_refused() -> None:
    GALLERY.check("ab12")
    with pytest.raises(ConfigError, match=r"must be asked with the recogniser that it was made with, ab12…, got ab13…"):
        GALLERY.check("ab13")


def test_a_key_where_none_is_due_and_none_where_one_is(tmp_path: Path) -> None:
    file = tmp_path / "g"
    GALLERY.save(file, None)
    with pytest.raises(ConfigError, match="must be encrypted, got a plain one; leave out key_file"):
        Gallery.load(file, KEY)
    GALLERY.save(file, KEY)
    with pytest.raises(ConfigError, match="must be plain, got an encrypted one; give its key_file"):
        Gallery.load(file, None)
    with pytest.raises(DataError, match=r"g: it must be sealed with this key, got another key or changed content"):
        Gallery.load(file, bytes(32))
    document = json.loads(file.read_text())
    document["sealed"] = document["sealed"][:-8] + "AAAAAAA="
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match="got another key or changed content"):
        Gallery.load(file, KEY)


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{", "null", '{"format": 2, "people": {}}', '{"format": 1}', '{"format": 1, "people": {}}',
        '{"format": 1, "recogniser": "a", "people": []}', '{"format": 1, "recogniser": 3, "people": {}}',
        '{"format": 1, "recogniser": "a", "people": {"Ann": []}}',
        '{"format": 1, "recogniser": "a", "people": {"Ann": [1.0]}}',
        '{"format": 1, "recogniser": "a", "people": {"Ann": [[3.0]]}}',
        '{"format": 1, "recogniser": "a", "people": {"Ann": [[NaN]]}}',
        '{"format": 1, "recogniser": "a", "people": {"Ann": [["x"]]}}',
        '{"format": 1, "recogniser": "a", "people": {"Ann": [[1.0]], "Bob": [[1.0, 0.0]]}}',
        '{"format": 1, "recogniser": "a", "people": {"Ann": [[1.0], [1.0, 0.0]]}}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_gallery_is_one_line_and_is_not_deleted(tmp_path: Path, content: str) -> None:
    file = tmp_path / "photo.json"
    file.write_text(content)
    with pytest.raises(DataError, match=r"photo.json must be a gallery, as ferlab enroll writes it, got"):
        Gallery.load(file, None)
    with pytest.raises(DataError, match="must be a gallery"):
        forget(file)
    assert file.read_text() == content


@pytest.mark.parametrize("sealed", ["5", '"äö"', '"AAAA"'])
def test_a_damaged_encrypted_one_is_one_line(tmp_path: Path, sealed: str) -> None:
    (tmp_path / "g").write_text(f'{{"format": 1, "sealed": {sealed}}}', encoding="utf-8")
    with pytest.raises(DataError, match=r"must be a gallery|changed content"):
        Gallery.load(tmp_path / "g", KEY)


def test_to_forget_needs_no_key_and_takes_leftovers_along(tmp_path: Path) -> None:
    for key in (None, KEY):
        GALLERY.save(tmp_path / "g", key)
        (tmp_path / ".g.killed").write_text("embeddings")
        forget(tmp_path / "g")
        assert os.listdir(tmp_path) == []
    with pytest.raises(DataError, match=r"cannot read the gallery .*No such file"):
        forget(tmp_path / "g")


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on files there")
def test_a_full_disk_leaves_the_one_before(tmp_path: Path) -> None:
    import resource
    import signal

    GALLERY.save(tmp_path / "g", None)
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        with pytest.raises(DataError, match=r"cannot write the gallery .*; what was there before still is"):
            GALLERY.add("Bob", E).save(tmp_path / "g", None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert len(Gallery.load(tmp_path / "g", None)) == 3
    assert os.listdir(tmp_path) == ["g"]
