from dataclasses import replace

import cv2
import numpy as np
import pytest

from ferlab.data import verify as verify_module
from ferlab.data.fer2013 import fer2013
from ferlab.data.imagefolder import imagefolder
from ferlab.data.source import Source, Split
from ferlab.data.synthetic import DrawnImages, synthetic
from ferlab.data.verify import near_pairs, perceptual_hash, thumbnail, verify

DRAWN = synthetic(80, 40, 20)


def planted(changes, official=None):
    """The drawn faces, some replaced: (split, position, pixels, label), where None keeps the label."""
    splits = {}
    for name, split in DRAWN.splits.items():
        pixels, labels = split.images.pixels.copy(), split.labels.copy()
        for where, i, image, label in changes:
            if where == name:
                pixels[i] = image
                labels[i] = labels[i] if label is None else label
        splits[name] = Split(name, DrawnImages(pixels, name), labels)
    return Source("planted", DRAWN.labels, splits, "drawn faces", "none", official=official or {})


def face(split, i):
    return DRAWN.splits[split].read(i)


def label(split, i):
    return int(DRAWN.splits[split].labels[i])


def counted(findings):
    return {(s.kind, *s.splits): (s.groups, s.extra, s.conflicting) for s in findings.scopes}


def brighter(image):
    return np.clip(image.astype(float) * 0.7 + 40, 0, 255).astype(np.uint8)


def compressed(image):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)


def rescaled(image):
    return cv2.resize(cv2.resize(image, (40, 40), interpolation=cv2.INTER_AREA), (48, 48))


def grey(image):
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)


def without(split, label):
    keep = np.flatnonzero(split.labels != label)
    return Split(split.name, DrawnImages(split.images.pixels[keep], split.name), split.labels[keep])


def test_a_set_that_training_refuses_or_could_not_learn_whole_needs_mending():
    train, validation = DRAWN.splits["train"], DRAWN.splits["validation"]
    whole = Source("drawn", DRAWN.labels, {"train": train, "validation": validation}, "drawn faces", "none")
    assert not verify(whole).failed
    alone = verify(replace(whole, splits={"train": train}))
    assert (alone.untrainable, alone.failed) == ("it has no validation split", True)
    lacking = verify(replace(whole, splits={"train": without(train, 5), "validation": validation}))
    assert (lacking.source.unlearnable, lacking.failed) == ((DRAWN.labels[5],), True)
    assert verify(replace(whole, unread={"valid/": 3})).failed


def test_a_jpeg_that_lost_or_changed_bytes_in_its_middle_is_named(tmp_path, capfd):
    rng = np.random.default_rng(0)
    for split, n in (("train", 4), ("validation", 2)):
        for i in range(n):
            folder = tmp_path / split / ("happy" if i % 2 else "sad")
            folder.mkdir(parents=True, exist_ok=True)
            smooth = cv2.resize(rng.integers(0, 256, (8, 8, 3), np.uint8), (64, 64))
            (folder / f"{i}.jpg").write_bytes(cv2.imencode(".jpg", smooth)[1].tobytes())
    assert verify(imagefolder(str(tmp_path))).unreadable == ()
    whole = (tmp_path / "train" / "sad" / "0.jpg").read_bytes()
    middle = len(whole) - 300
    holes = {"0": whole[:middle] + whole[middle + 200 :], "2": whole[:middle] + b"\xff" * 9 + whole[middle + 9 :]}
    for name, content in holes.items():
        (tmp_path / "train" / "sad" / f"{name}.jpg").write_bytes(content)
    findings = verify(imagefolder(str(tmp_path)))
    assert findings.failed
    assert [error.partition(" must be a whole JPEG, got '")[0] for error in findings.unreadable] == [
        f"{tmp_path}/train/sad/{name}.jpg" for name in holes
    ]
    assert "Corrupt JPEG data" in findings.unreadable[0]
    assert capfd.readouterr().err == ""


def test_distinct_faces_raise_no_alarm():
    findings = verify(synthetic(900, 200, 100, seed=5))
    assert findings.scopes == ()
    assert not findings.failed
    assert len(findings.pictures) == 1200


def test_exact_copies_within_and_across_splits_are_counted():
    a, b = label("train", 0), label("train", 1)
    findings = verify(
        planted(
            [
                ("train", 10, face("train", 0), a),  # three times in train
                ("train", 11, face("train", 0), a),
                ("validation", 3, face("train", 0), a),  # and leaked twice
                ("validation", 4, face("train", 0), a),
                ("train", 12, face("train", 1), (b + 1) % 8),  # with two labels
                ("test", 5, face("validation", 9), None),
            ]
        )
    )
    conflict = int(label("validation", 9) != label("test", 5))
    assert counted(findings) == {
        ("exact", "train"): (2, 3, 1),
        ("exact", "train", "validation"): (1, 2, 0),
        ("exact", "validation"): (1, 1, 0),
        ("exact", "validation", "test"): (1, 1, conflict),
        ("exact or near", "train"): (2, 3, 1),
        ("exact or near", "train", "validation"): (1, 2, 0),
        ("exact or near", "validation"): (1, 1, 0),
        ("exact or near", "validation", "test"): (1, 1, conflict),
    }
    groups = [sorted(f"{findings.pictures[i].split} {findings.pictures[i].index}" for i in g) for g in findings.exact]
    assert sorted(groups) == sorted(
        [
            ["train 0", "train 10", "train 11", "validation 3", "validation 4"],
            ["train 1", "train 12"],
            ["test 5", "validation 9"],
        ]
    )
    assert findings.failed


@pytest.mark.parametrize("change", [brighter, compressed, rescaled, grey], ids=lambda f: f.__name__)
def test_near_copies_are_found_and_paired(change):
    rows = range(0, 20, 4)
    findings = verify(planted([("validation", i, change(face("train", i)), None) for i in rows]))
    found = {tuple((findings.pictures[k].split, findings.pictures[k].index) for k in pair) for pair in findings.near[0]}
    assert found == {(("train", i), ("validation", i)) for i in rows}
    assert (findings.near[1] >= 0.94).all()
    assert findings.exact == ()
    scopes = counted(findings)
    assert list(scopes) == [("exact or near", "train", "validation")]
    assert scopes["exact or near", "train", "validation"][:2] == (5, 5)
    assert not findings.failed  # near copies are a judgement: they warn


def test_exact_and_near_copies_of_one_face_are_one_group():
    image = face("train", 0)
    changes = [("train", 5, image, 2), ("train", 6, brighter(image), 2), ("train", 0, image, 2)]
    assert counted(verify(planted(changes))) == {
        ("exact", "train"): (1, 1, 0),
        ("exact or near", "train"): (1, 2, 0),
    }


def test_labels_of_copies_conflict_only_where_both_have_one():
    changes = [("train", 5, face("train", 0), -1), ("train", 6, face("train", 0), label("train", 0))]
    assert counted(verify(planted(changes)))["exact", "train"] == (1, 2, 0)


def test_plain_pictures_of_different_brightness_are_not_copies():
    changes = [("train", i, np.full((48, 48, 3), 40 * i, np.uint8), None) for i in range(6)]
    assert verify(planted(changes)).scopes == ()


def test_equal_pixels_in_another_shape_are_not_copies(tmp_path):
    for i, shape in enumerate([(6, 24), (24, 6)]):
        path = tmp_path / "train" / "happy" / f"{i}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".bmp", np.arange(432, dtype=np.uint8).reshape(*shape, 3))[1].tobytes())
    assert verify(imagefolder(str(tmp_path))).exact == ()


def test_exact_copies_across_splits_of_a_dataset_as_published_only_warn():
    """FER2013 as published has them; it would be another dataset without."""
    copy = ("validation", 0, face("train", 0), None)
    published = {"train": 80, "validation": 40, "test": 20}
    as_published = verify(planted([copy], published))
    assert len(as_published.leaks) == 2
    assert not as_published.failed
    assert verify(planted([copy])).failed
    assert verify(planted([copy], published | {"test": 21})).failed


def test_copies_within_a_split_do_not_fail():
    assert not verify(planted([("train", 0, face("train", 1), None)])).failed


def test_wrong_counts_fail_and_absent_splits_do_not():
    source = synthetic(80, 5, 0)
    wrong = replace(source, official={"train": 81, "validation": 5, "test": 99})
    assert verify(wrong).miscounted == {"train": (80, 81)}
    assert verify(wrong).failed
    right = replace(source, official={"train": 80, "validation": 5, "test": 99})
    assert not verify(right).failed


def test_every_unreadable_picture_is_listed_and_the_rest_still_checked(written):
    folder = written("imagefolder")
    files = sorted((folder / "train").rglob("*.png"))
    files[3].write_bytes(b"")
    files[7].write_bytes(files[7].read_bytes()[:100])
    files[9].write_bytes(files[8].read_bytes())
    findings = verify(imagefolder(str(folder)))
    assert len(findings.unreadable) == 2
    for file, message in zip((files[3], files[7]), findings.unreadable, strict=True):
        assert str(file) in message
    assert len(findings.pictures) == 94
    names = [[findings.pictures[i].name for i in group] for group in findings.exact]
    assert names == [[str(files[8]), str(files[9])]]
    assert findings.failed


def test_a_dataset_of_unreadable_pictures_is_a_finding_and_no_crash(tmp_path):
    (tmp_path / "train" / "sad").mkdir(parents=True)
    (tmp_path / "train" / "sad" / "a.jpg").write_bytes(b"?")
    findings = verify(imagefolder(str(tmp_path)))
    assert len(findings.unreadable) == 1
    assert findings.pictures == ()
    assert findings.failed


def test_the_official_counts_of_fer2013_are_held_against_the_files(written):
    findings = verify(fer2013(str(written("fer2013"))))
    assert findings.miscounted["train"] == (60, 28709)


def test_no_pair_is_lost_where_pictures_are_worked_on_in_blocks(monkeypatch):
    """Against every pair compared directly, with blocks of all sorts of sizes."""
    split = synthetic(60, 0, 0, seed=9).splits["train"]
    small = np.stack([thumbnail(split.read(i)) for i in range(60)])
    rng = np.random.default_rng(0)
    for i in range(0, 60, 3):  # a third are darker or noisier copies of their neighbours
        small[i] = np.clip(small[i + 1] * rng.uniform(0.6, 1.2) + rng.normal(0, 6, (32, 32)), 0, 255)
    flat = small.reshape(60, -1) - small.reshape(60, -1).mean(1, keepdims=True)
    flat /= np.sqrt((flat**2).sum(1, keepdims=True))
    bits = perceptual_hash(small)
    near = np.bitwise_count(bits[:, None] ^ bits) <= verify_module.RADIUS
    expected = np.argwhere(np.triu(near & (flat @ flat.T >= verify_module.CORRELATION), 1))
    assert len(expected) >= 20
    for rows, block in ((16, 512), (1, 1), (7, 5), (100, 3)):
        monkeypatch.setattr(verify_module, "ROWS", rows)
        monkeypatch.setattr(verify_module, "BLOCK", block)
        pairs, correlation = near_pairs(small)
        assert sorted(map(tuple, pairs.tolist())) == sorted(map(tuple, expected.tolist()))
        np.testing.assert_allclose(correlation, [flat[a] @ flat[b] for a, b in pairs], atol=1e-5)


def test_pictures_keep_their_order_over_blocks_and_splits(monkeypatch):
    monkeypatch.setattr(verify_module, "BLOCK", 7)
    pictures = verify(DRAWN).pictures
    expected = [(name, i) for name in ("train", "validation", "test") for i in range(len(DRAWN.splits[name]))]
    assert [(p.split, p.index) for p in pictures] == expected
    assert [p.label for p in pictures] == [label(*place) for place in expected]


def test_pairs_are_found_over_more_than_one_block_and_fall():
    split = synthetic(100, 0, 0, seed=9).splits["train"]
    small = np.stack([thumbnail(split.read(i)) for i in range(100)])
    small[90] = np.clip(small[2].astype(int) + 5, 0, 255)
    small[50] = np.clip(small[49].astype(int) // 2, 0, 255)
    pairs, correlation = near_pairs(small)
    assert sorted(map(tuple, pairs.tolist())) == [(2, 90), (49, 50)]
    assert (np.diff(correlation) <= 0).all()
