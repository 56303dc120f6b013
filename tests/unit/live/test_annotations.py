import csv
import errno

import pytest

from ferlab.errors import DataError
from ferlab.live.annotations import ANNOTATIONS, TEXT, Annotations
from ferlab.live.encrypted import Sealed, unseal
from ferlab.live.store import Folder
from ferlab.live.truth import read_truth

LABELS = ("neutral", "happiness", "my, own")


def rows(path) -> list[list[str]]:
    with open(path / ANNOTATIONS, newline="") as file:
        return list(csv.reader(file))[1:]


def test_each_row_is_there_when_it_was_said(tmp_path) -> None:
    with Folder(tmp_path) as store:
        noted = Annotations(store, LABELS)
        assert not (tmp_path / ANNOTATIONS).exists()
        noted.note("label", 1.0, "happiness", 3)
        assert rows(tmp_path) == [["label", "1.0000", "", "3", "happiness"]]
        noted.note("event", 1.5, "=1+1\nshe\x1b laughs")
        noted.note("label", 2.0, "my, own", 3)  # closes the other
        noted.note("label", 2.5, "neutral", 4)  # of another face, and does not
        noted.note("exclude", 3.0, "dark")
        noted.note("label", 4.0, on=False, track=3)
        noted.note("label", 4.5, "neutral", None)
        noted.close(6.0)
        noted.close(7.0)
    assert rows(tmp_path)[1:] == [
        ["event", "1.5000", "", "", "'=1+1 she\\x1b laughs"],
        ["label", "1.0000", "2.0000", "3", "happiness"],
        ["label", "2.0000", "", "3", "my, own"],
        ["label", "2.5000", "", "4", "neutral"],
        ["exclude", "3.0000", "", "", "dark"],
        ["label", "2.0000", "4.0000", "3", "my, own"],
        ["label", "4.5000", "", "", "neutral"],
        ["label", "2.5000", "6.0000", "4", "neutral"],
        ["exclude", "3.0000", "6.0000", "", "dark"],
        ["label", "4.5000", "6.0000", "", "neutral"],
    ]
    truth = read_truth(tmp_path / ANNOTATIONS, LABELS)
    assert [{(each.track, each.label) for each in truth.at(0, time, (3, 4, 9))} for time in (1.2, 2.2, 2.8, 5)] == [
        {(3, 1)}, {(3, 2)}, {(3, 2), (4, 0)}, set()
    ]  # fmt: skip
    assert truth.excluded == [(3, 6)]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"kind": "lable", "label": "neutral"}, "kind must be one of label, exclude, event, got 'lable'"),
        (
            {"kind": "label", "label": "neutrl"},
            "label must be one of the model's, got 'neutrl'; did you mean 'neutral'",
        ),
        ({"kind": "label"}, "label must be one of the model's"),
        ({"kind": "label", "label": "neutral", "on": False}, "label must be open to be closed, got none"),
        ({"kind": "label", "label": "happiness", "track": 1, "on": False}, "label must be open to be closed"),
        ({"kind": "exclude", "on": False}, "exclude must be open to be closed, got none"),
        ({"kind": "event", "label": "x" * (TEXT + 1)}, "label must have at most 200 characters, got 201"),
    ],
)
def test_what_means_nothing_is_refused_and_not_written(tmp_path, said, text) -> None:
    with Folder(tmp_path) as store:
        noted = Annotations(store, LABELS)
        noted.note("label", 0.0, "neutral", 1)
        with pytest.raises(DataError, match=text):
            noted.note(time=1.0, **said)
    assert len(rows(tmp_path)) == 1


def test_a_span_that_closes_before_it_opened_is_empty(tmp_path) -> None:
    with Folder(tmp_path) as store:
        noted = Annotations(store, LABELS)
        noted.note("exclude", 5.0)
        noted.note("exclude", 4.9, on=False)
    assert rows(tmp_path)[-1] == ["exclude", "5.0000", "5.0000", "", ""]
    assert read_truth(tmp_path / ANNOTATIONS, LABELS).excluded == []


def test_on_a_full_disk_no_part_of_a_row_is_there_and_the_next_is_whole(tmp_path, monkeypatch) -> None:
    with Folder(tmp_path) as store:
        noted = Annotations(store, LABELS)
        noted.note("event", 1.0, "a")
        whole = store.add

        def full(name: str, content: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(store, "add", full)
        with pytest.raises(OSError, match="No space"):
            noted.note("exclude", 2.0)
        monkeypatch.setattr(store, "add", whole)
        assert noted.opened == []
        noted.note("event", 3.0, "b")
    assert [row[-1] for row in rows(tmp_path)] == ["a", "b"]


def test_encrypted(tmp_path) -> None:
    key = bytes(32)
    with Sealed(tmp_path / "s", key) as store:
        Annotations(store, LABELS).note("event", 1.0, "a secret")
    assert b"secret" not in b"".join(file.read_bytes() for file in (tmp_path / "s").iterdir())
    unseal(tmp_path / "s", key, tmp_path / "open")
    assert rows(tmp_path / "open") == [["event", "1.0000", "", "", "a secret"]]
