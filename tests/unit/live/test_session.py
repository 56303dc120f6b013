import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ferlab.errors import ConfigError
from ferlab.live.frame import Faces, Frame
from ferlab.live.pipeline import Seen
from ferlab.live.session import FRAMES, SUMMARY, Session, Tally, plain
from ferlab.live.smooth import Shown

NAMES = ("calm", "glad", "sad")


def seen(number: int = 3, faces: int = 2) -> Seen:
    found = Faces.found(np.array([[1.23, 2, 30, 40], [5, 6, 70, 80]])[:faces], np.array([0.9, 0.8])[:faces])
    shares = np.array([[0.2, 0.7, 0.1], [0.5, 0.1, 0.4]])[:faces]
    found = Faces(
        found.boxes, found.scores, found.landmarks, np.array([4, 7])[:faces],
        {"expression": shares, "affect": np.array([[0.25, -0.5], [0, 1.0]])[:faces]},
    )  # fmt: skip
    shown = [Shown(1, uncertain=False, second=None), Shown(0, uncertain=True, second=2)][:faces]
    return Seen(Frame(number, 0.1, np.zeros((9, 9, 3), np.uint8)), found, shares[:, ::-1], shown, 5.0, 2.0)


def test_a_line_says_all_of_a_frame() -> None:
    line = plain(seen(), NAMES, 2, 8.123)
    assert json.loads(json.dumps(line)) == {
        "frame": 3,
        "time": 0.1,
        "faces": [
            {
                "track": 4, "box": [1.2, 2, 30, 40], "score": 0.9, "label": "glad", "confidence": 0.7,
                "uncertain": False, "second": None, "expression": {"glad": 0.7, "calm": 0.2}, "unsmoothed": "glad",
                "valence": 0.25, "arousal": -0.5,
            },
            {
                "track": 7, "box": [5, 6, 70, 80], "score": 0.8, "label": "calm", "confidence": 0.5,
                "uncertain": True, "second": "sad", "expression": {"calm": 0.5, "sad": 0.4}, "unsmoothed": "sad",
                "valence": 0.0, "arousal": 1.0,
            },
        ],
        "detector_ms": 5.0, "classifier_ms": 2.0, "end_to_end_ms": 8.12,
    }  # fmt: skip
    assert plain(seen(faces=0), NAMES, 2, 8.0)["faces"] == []


def test_a_tally_counts_by_hand_and_does_not_grow() -> None:
    tally = Tally()
    tally.LAST = 10
    for number in range(30):
        tally.count(seen(number, faces=2 if number < 20 else 1), NAMES, float(number))
    found = tally.summary()
    assert (found["frames"], found["faces"], found["tracks"], found["uncertain"]) == (30, 50, 8, 20)
    assert found["labels"] == {"glad": 30, "calm": 20}
    assert found["ms"]["end_to_end"] == {"p50": 24.5, "p95": pytest.approx(28.55)}
    assert {len(values) for values in tally.ms.values()} == {10}


def test_a_session_is_a_folder_of_its_own(tmp_path: Path) -> None:
    with Session(tmp_path / "a" / "b") as session:
        session.write({"frame": 0, "name": "ü"})
        session.write({"frame": 1})
        lines = (session.folder / FRAMES).read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["frame"] for line in lines] == [0, 1]
        session.close({"frames": 2})
    assert json.loads((tmp_path / "a" / "b" / SUMMARY).read_text())["frames"] == 2
    with pytest.raises(ConfigError, match="must hold no session yet, got one; name another folder"):
        Session(tmp_path / "a" / "b").__enter__()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"must hold no session yet|cannot write to out=.*file"):
        Session(tmp_path / "file").__enter__()


KILLED = """
import os, signal, sys
from pathlib import Path
from ferlab.live.session import Session
with Session(Path(sys.argv[1])) as session:
    for i in range(50):
        session.write({"frame": i, "fill": "x" * 3000})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_lines_are_whole_after_kill_9(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "s")], check=False)
    lines = (tmp_path / "s" / FRAMES).read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(50))


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on files there")
def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    import resource

    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Session(tmp_path / "s") as session:
            session.write({"frame": 0, "fill": "x" * 100})
            resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
            with pytest.raises(OSError, match=r"space|large"):
                session.write({"frame": 1, "fill": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    (line,) = (tmp_path / "s" / FRAMES).read_text().splitlines()
    assert json.loads(line)["frame"] == 0
