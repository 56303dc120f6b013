"""What a page's client records, through the command and its socket, and what other commands make of it."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ferlab.cli import main

from .page import PATIENCE_S, Client, jpeg, served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")


def told(client: Client, kind: str) -> dict[str, Any]:
    """The next message of a kind; notes and the like before it are let pass."""
    while (message := client.told())["type"] != kind:
        assert message["type"] != "error", message
    return message


def record(client: Client, on: bool = True) -> dict[str, Any]:
    client.says("record", on=on)
    return told(client, "recording")


def frames(client: Client, count: int, begin: float = 10.0) -> list[dict[str, Any]]:
    """Frames of ten a second, one after the other answered."""
    answers = []
    for i in range(count):
        client.frame(i, begin + i / 10, jpeg(i))
        answers.append(told(client, "answer"))
    return answers


def annotate(client: Client, kind: str, time: float, label: Any = None, track: Any = None, on: Any = True) -> None:
    client.socket.send(
        json.dumps({"type": "annotate", "kind": kind, "label": label, "track": track, "time": time, "on": on})
    )


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / name, newline="") as file:
        return list(csv.DictReader(file))


def test_a_recording_is_a_session_that_other_commands_read(tmp_path: Path, capsys) -> None:
    with served(tmp_path, "detect=none", "preset=raw") as page:
        with page.client() as client:
            assert client.hello["can"]["record"]
            annotate(client, "event", 1.0, "x")
            assert "belongs to a recording" in client.told()["text"]
            client.says("start", source="camera", mirrored=True)
            frames(client, 3, 0.0)
            begun = record(client)
            assert (begun["on"], begun["frames"]) == (True, 0)
            client.says("record", on=True)
            assert client.told()["text"] == "a recording runs already; stop it first"
            answers = frames(client, 6)
            labels, track = [answer["faces"][0]["label"] for answer in answers], answers[0]["faces"][0]["track"]
            for kind, label, whose, at, on in [
                ("label", labels[0], track, 10.0, True), ("event", "a <b>", None, 10.25, True),
                ("exclude", None, None, 10.15, True), ("exclude", None, None, 10.25, False),
            ]:  # fmt: skip
                annotate(client, kind, at, label, whose, on)
                assert told(client, "annotated")["time"] == at
            client.says("screenshot")
            assert told(client, "note")["text"] == "kept as screenshots/000005.jpg"
            client.frame(97, 10.7, b"no picture")
            assert client.told()["about"] == "frame"
            client.frame(98, 10.8, jpeg(98))  # both are on their way when it is stopped, and are in it
            client.frame(99, 10.9, jpeg(99))
            ended = record(client, False)
            client.says("record", on=False)
            assert client.told()["text"] == "there is no recording to stop"
            again = [record(client), frames(client, 1, 20.0), record(client, False)][-1]
        folder, other = (tmp_path / each["folder"] for each in (ended, again))
        assert (ended["frames"], ended["seconds"]) == (8, pytest.approx(0.9))
        assert folder.parent == other.parent == tmp_path / "outputs" / "live"
        assert folder != other
        assert page.until("session").startswith(f"session {ended['folder']}, 8 frames, 0.9 s; it was stopped")
    lines = [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["time"]) for line in lines] == [
        *((i, pytest.approx(i / 10)) for i in range(6)), (6, pytest.approx(0.8)), (7, pytest.approx(0.9))
    ]  # fmt: skip
    assert [line["faces"][0]["label"] for line in lines[:6]] == labels
    assert "name" not in lines[0]["faces"][0]
    assert len(table(folder, "frames.csv")) == 8
    summary = json.loads((folder / "session.json").read_text())
    assert (summary["frames"], summary["ended"], summary["picture"]) == (8, "it was stopped", [80, 60])
    assert summary["errors"] == 1
    assert summary["page"] == {"source": "camera", "mirrored": True}
    assert summary["kept"]["screenshots"]["written"] == 1
    assert summary["kept"]["video"]["frames"] == 8
    assert cv2.imread(str(folder / "screenshots" / "000005.jpg")).shape == (60, 80, 3)
    assert sorted(path.name for path in folder.iterdir())[:4] == [
        "annotations.csv", "frames.csv", "frames.jsonl", "screenshots"
    ]  # fmt: skip

    capsys.readouterr()
    assert main(["live", "evaluate", f"session={folder}", f"out={tmp_path / 'report'}"]) == 0
    (scored,) = json.loads((tmp_path / "report" / "live_evaluate.json").read_text())["models"]
    shown = [row["label"] for row in table(folder, "frames.csv")]
    counted = [shown[i] for i in range(8) if i != 2]  # the one at 0.2 s is excluded; the label lasts to the last frame
    assert scored["scores"]["as shown"]["frames"] == len(counted[:-1])
    right = np.mean([label == labels[0] for label in counted[:-1]])
    assert scored["scores"]["as shown"]["accuracy"] == pytest.approx(right)
    assert scored["annotations"][0]["events"] == [[0.25, "a <b>"]]


def test_what_ends_a_recording_leaves_it_whole(tmp_path: Path) -> None:
    with served(tmp_path, "detect=none", "record=null", f"out={tmp_path / 'kept'}") as page:
        with page.client() as client:
            client.says("start", source="video", mirrored=False)
            record(client)
            frames(client, 3)
            client.says("start", source="camera", mirrored=True)  # a recording is of one source
            ended = told(client, "recording")
            assert (ended["on"], ended["why"]) == (False, "the source ended")
            record(client)
            frames(client, 2)
            annotate(client, "exclude", 10.0)
            told(client, "annotated")
        closed = page.until("the page was closed")
        with page.client() as client:
            empty = record(client)
            assert record(client, False)["folder"] is None
            assert not Path(empty["folder"]).exists()
            record(client)
            frames(client, 2)
            assert page.end()[0] == 0
        (last,) = (line for line in page.rest().splitlines() if "ferlab was stopped" in line)
    folders = [Path(ended["folder"]), *(Path(line.split()[1].rstrip(",")) for line in (closed, last))]
    assert [json.loads((each / "session.json").read_text())["ended"] for each in folders] == [
        "the source ended", "the page was closed", "ferlab was stopped"
    ]  # fmt: skip
    assert [row["end"] for row in table(folders[1], "annotations.csv")] == ["", "0.1000"]
    assert not list((tmp_path / "kept").rglob("video*"))


def test_killed_while_it_records_all_lines_are_whole(tmp_path: Path) -> None:
    with served(tmp_path, "detect=none", "record=null") as page, page.client() as client:
        folder = tmp_path / record(client)["folder"]
        answers = frames(client, 5)
        annotate(client, "label", 10.1, client.hello["labels"][0], 0)
        told(client, "annotated")
        page.process.kill()
        page.process.wait(PATIENCE_S)
    lines = (folder / "frames.jsonl").read_bytes()
    assert lines.endswith(b"\n")
    assert len(lines.splitlines()) >= len(answers)  # what was answered is there
    assert len(table(folder, "frames.csv")) >= len(answers)
    assert table(folder, "annotations.csv")[0]["end"] == ""
    assert main(["live", "evaluate", f"session={folder}", f"out={tmp_path / 'report'}"]) == 0


def test_a_disk_that_is_full_ends_the_recording_and_not_the_client(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk: writing fails in the same way."""
    import resource

    with served(tmp_path, "detect=none", "record=null") as page, page.client() as client:
        folder = tmp_path / record(client)["folder"]
        frames(client, 2)
        size = (folder / "frames.jsonl").stat().st_size
        resource.prlimit(page.process.pid, resource.RLIMIT_FSIZE, (size, size))
        client.frame(9, 20.0, jpeg(9))
        ended = told(client, "recording")
        assert (ended["on"], ended["frames"]) == (False, 2)
        assert "File too large" in ended["why"]
        assert told(client, "answer")["id"] == 9
        assert len(frames(client, 2, 30.0)) == 2
    assert (folder / "frames.jsonl").stat().st_size == size
