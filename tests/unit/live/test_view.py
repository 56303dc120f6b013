import json
import os

import numpy as np
import pytest

from ferlab.errors import DataError
from ferlab.live.encrypted import SEALED
from ferlab.live.session import FRAMES, SUMMARY, TABLE
from ferlab.live.view import facts, view_of

HEADER = "frame,time,track,left,top,width,height,score,label,confidence,uncertain,second,unsmoothed,sad,happy"
ROWS = [
    "3,0.1,0,1,2,3,4.5,0.9,sad,0.75,false,,sad,0.75,0.25",
    "3,0.1,2,5,6,7,8,0.8,happy,0.6,true,sad,sad,0.4,0.6",
    "7,0.5,2,5,6,7,8,0.8,happy,1,false,,happy,0,1",
]


def frame(number: int, time: float, **changed: object) -> str:
    return json.dumps({"frame": number, "time": time, "faces": [], "end_to_end_ms": 12.5, **changed}) + "\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / TABLE).write_text("\n".join([HEADER, *ROWS, ""]))
    (tmp_path / FRAMES).write_text(frame(3, 0.1) + frame(4, 0.2) + frame(7, 0.5) + frame(8, 0.6))
    (tmp_path / SUMMARY).write_text('{"ended": "it was stopped", "settings": {"record": "overlay"}, "fps": 9.5}')
    return tmp_path


def test_a_session_as_columns(folder) -> None:
    (folder / "annotations.csv").write_text("kind,start,end,track,label\nlabel,0,1,2,happy\nevent,0.3,,,x\n")
    (folder / "video.mp4").write_bytes(b"")
    view = view_of(folder)
    assert view.labels == ("sad", "happy")
    assert view.frames["first"].tolist() == [0, 2, 2, 3]
    assert view.frames["number"].tolist() == [3, 4, 7, 8]
    assert view.frames["ms"].tolist() == [12.5] * 4
    faces = view.faces
    assert faces["track"].tolist() == [0, 2, 2]
    assert faces["box"][0].tolist() == [1, 2, 3, 4.5]
    assert [faces[name].tolist() for name in ("label", "second", "unsmoothed", "uncertain")] == [
        [0, 1, 1], [255, 0, 255], [0, 0, 1], [0, 1, 0]
    ]  # fmt: skip
    assert np.round(faces["shares"] / 65535, 4).tolist() == [[0.75, 0.25], [0.4, 0.6], [0, 1]]
    assert (view.video, view.drawn, view.notes, view.names) == ("video.mp4", True, [], {})
    assert view.truth is not None
    assert view.truth.events == [(0.3, "x")]
    assert view.summary == [("ended", "it was stopped"), ("settings", "record: overlay"), ("fps", "9.5")]


def test_affect_alone_and_names(folder) -> None:
    header = "frame,time,track,left,top,width,height,score,valence,arousal,name"
    rows = "3,0.1,4,1,2,3,4,0.9,-0.5,0.25,\n7,0.5,4,1,2,3,4,0.9,0.5,1,A\x1bnn\n"
    (folder / TABLE).write_text(f"{header}\n{rows}")
    view = view_of(folder)
    assert view.labels == ()
    assert view.faces["valence"].tolist() == [-0.5, 0.5]
    assert view.names == {4: "A\\x1bnn"}
    assert "label" not in view.faces


def test_what_was_killed_or_has_no_faces_can_be_seen(folder) -> None:
    (folder / SUMMARY).unlink()
    (folder / TABLE).write_text(f"{HEADER}\n")
    (folder / "video.mkv").write_bytes(b"")
    view = view_of(folder)
    assert view.frames["first"].tolist() == [0, 0, 0, 0]
    assert view.faces["shares"].shape == (0, 2)
    assert view.notes[0].startswith("there is no session.json: the program ended")
    assert view.notes[1].startswith("video.mkv is MPEG-4, which browsers do not play")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (FRAMES, frame(3, 0.1) + "{", "line 2: must end"),
        (FRAMES, "x" * 2**21, "line 1: must end, and have at most 1,048,576 bytes"),
        (FRAMES, "[" * 100_000 + "\n", "line 1: must be a frame of ferlab live, got RecursionError"),
        (FRAMES, frame(3, float("nan")), "line 1: must be a frame of ferlab live"),
        (FRAMES, frame(3, 0.1, end_to_end_ms=1e400), "line 1: must be a frame of ferlab live"),
        (FRAMES, frame(-3, 0.1), "line 1: must be a frame of ferlab live"),
        (
            FRAMES,
            frame(3, 0.1) + frame(3, 0.2),
            "line 2: must be a frame of ferlab live, got a time or a number that f",
        ),
        (
            FRAMES,
            frame(3, 0.1) + frame(4, 0.0),
            "line 2: must be a frame of ferlab live, got a time or a number that f",
        ),
        (FRAMES, "", "must hold frames, got none"),
        (FRAMES, frame(3, 0.1), "must have the frames of frames.jsonl in their order, got others"),
        (TABLE, f"{HEADER}\n{ROWS[2]}\n{ROWS[0]}\n", "must have the frames of frames.jsonl in their order"),
        (TABLE, f"{HEADER}\n{ROWS[0].replace('4.5', 'nan')}\n", "column height: must be numbers from -1e+07"),
        (TABLE, f"{HEADER}\n{ROWS[0].replace('0.25', '1.25')}\n", "column happy: must be numbers from 0 to 1"),
        (TABLE, f"{HEADER}\n{ROWS[0].replace('0.25', '')}\n", "must be as ferlab live wrote it"),
        (TABLE, f"{HEADER}\n{ROWS[0].replace('sad', 'glad')}\n", "column label: must be labels of the model"),
        (TABLE, f"{HEADER}\n{ROWS[0]},9\n", "must be as ferlab live wrote it"),
        (TABLE, f"{HEADER}\n{'x' * 2**23}\n", "must be as ferlab live wrote it"),
        (TABLE, "a,b\n", "must have the columns of ferlab live, got others"),
        (TABLE, HEADER.replace("happy", "sad"), "must have the columns of ferlab live, got others"),
        (TABLE, b"\xff\xfe", "must be a folder of ferlab live"),
    ],
)
def test_a_foreign_file_is_one_line(folder, name, content, said) -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        view_of(folder)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


def test_no_file_is_read_through_a_link(folder, tmp_path_factory) -> None:
    secret = tmp_path_factory.mktemp("other") / "secret"
    secret.write_text('{"secret": 1}')
    for name in (SUMMARY, "annotations.csv", "video.mp4"):
        (folder / name).unlink(missing_ok=True)
        os.symlink(secret, folder / name)
    view = view_of(folder)
    assert (view.summary, view.truth, view.video) == ([], None, None)
    for name in (FRAMES, TABLE):
        kept = (folder / name).read_bytes()
        (folder / name).unlink()
        os.symlink(secret, folder / name)
        with pytest.raises(DataError, match="must be a file, got a link"):
            view_of(folder)
        (folder / name).unlink()
        (folder / name).write_bytes(kept)


@pytest.mark.parametrize("content", ["{", "[1]", '{"a": NaN}', "[" * 100_000, "x" * (17 * 2**20)])
def test_a_foreign_summary_is_noted(folder, content) -> None:
    (folder / SUMMARY).write_text(content)
    view = view_of(folder)
    assert (view.summary, view.drawn) == ([], False)
    assert view.notes[0].startswith("session.json cannot be read: ")
    assert len(view.notes[0]) < 200


def test_wrong_annotations_are_noted(folder) -> None:
    (folder / "annotations.csv").write_text("kind,start,end,track,label\nlabel,0,1,2,angry\n")
    view = view_of(folder)
    assert view.truth is None
    assert view.notes[0].startswith("annotations are left out: ")


def test_facts_are_short_lines_without_escapes() -> None:
    found = facts({"a\x1b[2J": "x\ny" * 300, **{str(i): i for i in range(99)}})
    assert found[0][0] == "a\\x1b[2J"
    assert found[0][1].startswith("x\\ny")
    assert len(found[0][1]) == 401
    assert len(found) == 64


def test_an_encrypted_session_is_refused_with_what_to_do(tmp_path) -> None:
    (tmp_path / SEALED).write_bytes(b"")
    with pytest.raises(DataError, match=r"got an encrypted one; ferlab live decrypt session=.* key=… out=… writes one"):
        view_of(tmp_path)
