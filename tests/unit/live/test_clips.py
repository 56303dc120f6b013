import csv
import hashlib
import json
import resource
import sys
from collections import defaultdict

import numpy as np
import pytest

from ferlab.data.source import Source, Split
from ferlab.data.synthetic import DrawnImages
from ferlab.errors import ConfigError, DataError
from ferlab.live.clips import (
    HEIGHT,
    PICTURES,
    RECORD,
    VISIBLE,
    WIDTH,
    ClipSettings,
    cast,
    chosen,
    current,
    drawn,
    expressions,
    write_clips,
)
from ferlab.live.videos import frames

LABELS = ("happiness", "sadness", "anger", "fear")  # drawn in red, green and blue; of the fourth there are too few


class Sealed:
    """The test part's pictures, which nobody may read."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def read(self, i):
        raise AssertionError("a test face was read")

    def digest(self):
        return "sealed"


def split_of(counts=(20, 16, PICTURES, PICTURES - 1)):
    labels = np.repeat(np.arange(4), counts)
    faces = np.zeros((len(labels), 48, 48, 3), np.uint8)
    for face, label in zip(faces, labels, strict=True):
        face[:, :, label % 3] = 160
    return Split("validation", DrawnImages(faces, "drawn"), labels)


@pytest.fixture
def source():
    return Source(
        "drawn", LABELS, {"validation": split_of(), "test": Split("test", Sealed(40), np.zeros(40, np.int64))}, "p", "l"
    )


def settings(**changed):
    return ClipSettings(**{"clips": 1, "people": 2, "seconds": 2.0, "fps": 10.0, "lasts": 0.8} | changed)


def test_the_truth_is_what_is_seen(source, tmp_path) -> None:
    how = settings(people=3)
    (clip,) = write_clips(source, tmp_path / "clips", how)
    seen = list(frames(clip))
    assert [frame.image.shape for frame in seen] == [(HEIGHT, WIDTH, 3)] * 20
    assert [frame.time for frame in seen] == pytest.approx([i / 10 for i in range(20)])
    rows = list(csv.DictReader(clip.with_suffix(".csv").read_text().splitlines()))
    checked = changes = 0
    before = {}
    for row in rows:
        frame = seen[int(row["frame"])]
        assert float(row["time"]) == pytest.approx(frame.time)
        others = [each for each in rows if each["frame"] == row["frame"] and each is not row]
        x, y, side = int(row["left"]), int(row["top"]), int(row["width"])
        apart = all(abs(int(o["left"]) - x) > 200 or abs(int(o["top"]) - y) > 200 for o in others)
        patch = frame.image[max(y + 10, 0) : y + side - 10, max(x + 10, 0) : x + side - 10]
        if apart and patch.size:
            assert LABELS[int(patch.mean((0, 1)).argmax())] == row["label"]
            checked += 1
        changes += before.get(row["person"], row["label"]) != row["label"]
        before[row["person"]] = row["label"]
    assert checked > 10
    assert changes > 2
    record = json.loads((tmp_path / "clips" / RECORD).read_text())
    assert record["left_out"] == ["fear"]
    assert record["split"] == "validation"
    assert record["clips"] == ["clip_000.avi"]


def test_a_seed_gives_the_same_bits(source, tmp_path) -> None:
    def digests(name, **changed):
        written = write_clips(source, tmp_path / name, settings(seconds=1.0, fps=5.0, **changed))
        return [hashlib.sha256(each.read_bytes()).hexdigest() for path in written
                for each in (path, path.with_suffix(".csv"))]  # fmt: skip

    two = digests("a", clips=2)
    assert digests("b", clips=1) == two[:2]  # a clip does not depend on the others
    assert len({*two, *digests("c", seed=1)}) == 6


def test_an_expression_lasts_about_as_long_as_it_should() -> None:
    found = expressions([0, 1, 2], settings(seconds=200.0, lasts=4.0), np.random.default_rng(0))
    times, labels = np.array(found).T
    assert (np.diff(labels) != 0).all()
    assert np.diff(times).min() >= 2.0
    assert np.diff(times).max() <= 6.0
    assert np.diff(times).mean() == pytest.approx(4.0, abs=0.5)
    assert [current(found, time) for time in (0.0, times[1] - 0.01, times[1])] == [labels[0], labels[0], labels[1]]


def test_people_cross_leave_and_come_back_as_somebody_new() -> None:
    split, how = split_of(), settings(people=4, seconds=20.0, fps=2.0)
    rows = [row for _, truth in drawn(split, [0, 1, 2], how, np.random.default_rng(3)) for row in truth]
    seen = defaultdict(list)
    for number, _, person, left, top, side, _, _ in rows:
        seen[person].append(number)
        inside = max(0, min(left + side, WIDTH) - max(left, 0)) * max(0, min(top + side, HEIGHT) - max(top, 0))
        assert inside >= VISIBLE * side * side
    assert set(seen) == {0, 1, 2, 3, 4, 5}  # two of four left and came back
    assert max(seen[4]) > max(min(seen[i]) for i in range(4))
    actors = cast(split, [0, 1, 2], how, np.random.default_rng(3))
    order = [tuple(np.argsort([actor.box(time)[0] for actor in actors])) for time in (0.0, 4.5)]
    assert order[0] != order[1]  # two changed places


def test_a_covered_face_is_not_in_the_truth() -> None:
    how = settings(people=2, seconds=4.5, fps=5.0)
    two = [len(truth) for _, truth in drawn(split_of(), [0, 1, 2], how, np.random.default_rng(0))]
    assert two[0] == 2
    assert 1 in two  # while they cross, from 2 to 4 s


def test_a_long_clip_is_drawn_frame_by_frame() -> None:
    first, _ = next(drawn(split_of(), [0, 1], settings(seconds=600.0, people=8), np.random.default_rng(0)))
    assert first.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size there")
def test_a_full_disk_leaves_nothing(source, tmp_path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DataError, match="free some space, or set out="):
            write_clips(source, tmp_path / "new" / "clips", settings())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_made_is_said(source, tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(ConfigError, match="out must be a new or an empty folder"):
        write_clips(source, tmp_path, settings())
    with pytest.raises(ConfigError, match="labels must be the dataset's, got 'hapiness'; did you mean 'happiness'"):
        chosen(source, settings(labels=["hapiness", "anger"]))
    with pytest.raises(ConfigError, match=r"label 'fear' must have 12 validation faces, got 11; leave it out"):
        chosen(source, settings(labels=["fear", "anger"]))
    with pytest.raises(ConfigError, match="labels must be two at least"):
        chosen(source, settings(labels=["anger"]))
    with pytest.raises(ConfigError, match="people must be from 1 to 8, got 9"):
        settings(people=9)
    assert chosen(source, settings(labels=["anger", "happiness"])) == ([0, 2], [])
