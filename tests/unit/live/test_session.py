import csv
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ferlab.errors import ConfigError, DataError
from ferlab.live.frame import Faces, Frame
from ferlab.live.pipeline import Seen
from ferlab.live.session import FRAMES, SUMMARY, TABLE, Session, Tally, plain
from ferlab.live.smooth import Shown
from ferlab.live.store import Folder
from ferlab.spec import ModelSpec

NAMES = ("bored", "keen", "lost")


def seen(number: int = 3, faces: int = 2) -> Seen:
    found = Faces.found(np.array([[1.23, 2, 30, 40], [5, 6, 70, 80]])[:faces], np.array([0.9, 0.8])[:faces])
    shares = np.array([[0.2, 0.7, 0.1], [0.5, 0.1, 0.4]])[:faces]
    found = Faces(
        found.boxes, found.scores, found.landmarks, np.array([4, 7])[:faces],
        {"expression": shares, "affect": np.array([[0.25, -0.5], [0, 1.0]])[:faces]},
    )  # fmt: skip
    shown = [Shown(1, uncertain=False, second=None), Shown(0, uncertain=True, second=2)][:faces]
    return Seen(
        Frame(number, 0.1, np.zeros((9, 9, 3), np.uint8)), found, shares[:, ::-1], shown, NAMES, 5.0, 2.0, 8.123, 1.5
    )


def test_a_line_says_all_of_a_frame() -> None:
    line = plain(seen(), 2)
    assert json.loads(json.dumps(line)) == {
        "frame": 3,
        "time": 0.1,
        "faces": [
            {
                "track": 4, "box": [1.2, 2, 30, 40], "score": 0.9, "label": "keen", "confidence": 0.7,
                "uncertain": False, "second": None, "expression": {"keen": 0.7, "bored": 0.2}, "unsmoothed": "keen",
                "valence": 0.25, "arousal": -0.5,
            },
            {
                "track": 7, "box": [5, 6, 70, 80], "score": 0.8, "label": "bored", "confidence": 0.5,
                "uncertain": True, "second": "lost", "expression": {"bored": 0.5, "lost": 0.4}, "unsmoothed": "lost",
                "valence": 0.0, "arousal": 1.0,
            },
        ],
        "age_ms": 1.5, "detector_ms": 5.0, "classifier_ms": 2.0, "end_to_end_ms": 9.62,
    }  # fmt: skip
    assert plain(seen(faces=0), 2)["faces"] == []


def test_a_tally_counts_by_hand_and_does_not_grow() -> None:
    tally = Tally()
    tally.LAST = 10
    for number in range(30):
        tally.count(replace(seen(number, faces=2 if number < 20 else 1), pipeline_ms=float(number), age_ms=0.0))
    found = tally.summary()
    assert (found["frames"], found["faces"], found["tracks"], found["uncertain"]) == (30, 50, 8, 20)
    assert found["labels"] == {"keen": 30, "bored": 20}
    assert found["ms"]["end_to_end"] == {"p50": 24.5, "p95": pytest.approx(28.55)}
    assert {len(values) for values in tally.ms.values()} == {10}


SPEC = ModelSpec(NAMES, affect=True)


def session(folder: Path, spec: ModelSpec = SPEC) -> Session:
    return Session(Folder(folder), spec, 2)


def test_a_session_is_a_folder_of_its_own(tmp_path: Path) -> None:
    with session(tmp_path / "a" / "b") as made:
        made.write(seen(0))
        made.write(seen(1, faces=0))
        lines = (made.folder / FRAMES).read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["frame"] for line in lines] == [0, 1]
        made.close({"frames": 2})
    assert json.loads((tmp_path / "a" / "b" / SUMMARY).read_text())["frames"] == 2
    with pytest.raises(ConfigError, match="must hold no session yet, got one; name another folder"):
        session(tmp_path / "a" / "b").__enter__()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"must hold no session yet|cannot write to out=.*file"):
        session(tmp_path / "file").__enter__()


def test_a_session_in_which_nothing_was_seen_can_be_begun_again(tmp_path: Path) -> None:
    for _ in range(2):
        with session(tmp_path / "s") as made:
            made.discard()
    assert not (tmp_path / "s").exists()


def test_the_table_has_a_row_a_face_and_a_column_a_label(tmp_path: Path) -> None:
    with session(tmp_path / "s", ModelSpec(("=1+1", "keen", "lost"), affect=True)) as made:
        made.write(replace(seen(), names=("=1+1", "keen", "lost")))
    first, second = csv.DictReader((tmp_path / "s" / TABLE).read_text(encoding="utf-8").splitlines())
    assert first == {
        "frame": "3", "time": "0.1", "track": "4", "left": "1.2", "top": "2.0", "width": "30.0", "height": "40.0",
        "score": "0.9", "label": "keen", "confidence": "0.7", "uncertain": "false", "second": "",
        "unsmoothed": "keen", "'=1+1": "0.2", "keen": "0.7", "lost": "0.1", "valence": "0.25", "arousal": "-0.5",
    }  # fmt: skip
    assert (second["label"], second["second"]) == ("'=1+1", "lost")


KILLED = """
import os, signal, sys
from pathlib import Path
from ferlab.live.store import Growing
file = Growing(Path(sys.argv[1]))
for i in range(50):
    file.write(b"x" * 3000 + b" %d\\n" % i)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_lines_are_whole_after_kill_9(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "s")], check=False)
    assert [line.split()[1] for line in (tmp_path / "s").read_text().splitlines()] == [str(i) for i in range(50)]


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on files there")
def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    import resource

    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with session(tmp_path / "s") as made:
            made.write(seen(0))
            size = (tmp_path / "s" / FRAMES).stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
            with pytest.raises(DataError, match=r"cannot write to .*(space|large).*; all before frame 1 is there"):
                made.write(seen(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    (line,) = (tmp_path / "s" / FRAMES).read_text().splitlines()
    assert json.loads(line)["frame"] == 0
