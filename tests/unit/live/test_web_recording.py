"""A recording as its thread writes it, and what a client's messages do with one that can be held up."""

import asyncio
import csv
import json
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from ferlab.errors import ConfigError, DataError
from ferlab.live.encrypted import unseal
from ferlab.live.frame import Faces, Frame
from ferlab.live.parts import Tuning
from ferlab.live.pipeline import Seen
from ferlab.live.settings import LiveConfig
from ferlab.live.smooth import PRESETS
from ferlab.live.web import keeping, recording
from ferlab.live.web.keeping import Keeping
from ferlab.live.web.protocol import MessageError
from ferlab.live.web.recording import Recording, new_folder
from ferlab.spec import ModelSpec

SPEC = ModelSpec(("dark", "light"), size=8)
RUNNER = SimpleNamespace(spec=SPEC, labels=SPEC.expression, model={"name": "mlp"}, provenance={}, path=None)
TUNING = Tuning(PRESETS["raw"], 0.6, 40)


def seen(number: int, time: float) -> Seen:
    image = np.full((48, 64, 3), number, np.uint8)
    return Seen(
        Frame(number, time, image), Faces.found(np.zeros((0, 4))), np.zeros((0, 2)), [], SPEC.expression, 1, 1, 1
    )


def parts(**settings: Any) -> Any:
    config = LiveConfig(**settings)
    return SimpleNamespace(
        settings=config, runner=RUNNER, detector=SimpleNamespace(name="none"), known=None, sha256="0"
    )


def recorded(made: Recording, count: int, begin: float = 7.0) -> None:
    for i in range(count):
        made.write(seen(40 + i, begin + i / 10))
        made.keep()


def test_times_are_from_its_first_frame(tmp_path: Path) -> None:
    told: list[str] = []
    made = Recording(parts(out=str(tmp_path)), None, {"source": "camera"}, TUNING, told.append)
    made.annotate("event", 6.9, "early", None, True)
    recorded(made, 5)
    made.annotate("exclude", 7.15, "", None, True)
    made.lost()
    made.tuned(replace(TUNING, score=0.9))
    assert made.shot() == made.shot() == "screenshots/000004.jpg"
    with pytest.raises(DataError, match="time must be that of a frame"):
        made.annotate("event", 99.0, "late", None, True)
    made.end("it was stopped")
    made.end("again")
    lines = [json.loads(line) for line in (made.folder / "frames.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["time"]) for line in lines] == [(i, pytest.approx(i / 10)) for i in range(5)]
    with open(made.folder / "annotations.csv", newline="") as file:
        assert [row[:3] for row in list(csv.reader(file))[1:]] == [
            ["event", "0.0000", ""], ["exclude", "0.1500", ""], ["exclude", "0.1500", "0.4000"]
        ]  # fmt: skip
    summary = json.loads((made.folder / "session.json").read_text())
    assert (summary["ended"], summary["errors"], summary["picture"]) == ("it was stopped", 1, [64, 48])
    assert [(each["time"], each["score"]) for each in summary["tuned"]] == [(0.4, 0.9)]
    assert summary["settings"]["out"] == str(made.folder)
    with av.open(str(made.folder / "video.mp4")) as video:
        assert [frame.time for frame in video.decode(video=0)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4], abs=1e-4)
    assert told == ["video   H.264, the frames at their own times, in video.mp4"]


def test_encrypted_nothing_lies_open(tmp_path: Path) -> None:
    key = bytes(32)
    settings = {"out": str(tmp_path / "out"), "encrypt": str(tmp_path / "key")}
    made = Recording(parts(**settings), key, {}, TUNING, lambda line: None)
    recorded(made, 3)
    made.annotate("event", 7.1, "a secret", None, True)
    made.shot()
    made.end("it was stopped")
    assert [path.name for path in made.folder.iterdir()] == ["session.sealed"]
    unseal(made.folder, key, tmp_path / "open")
    found = {str(path.relative_to(tmp_path / "open")) for path in (tmp_path / "open").rglob("*.*")}
    assert found == {"frames.jsonl", "frames.csv", "session.json", "annotations.csv", "video.mp4",
                     "screenshots/000002.jpg"}  # fmt: skip


def test_auto_keeps_no_video_that_would_lie_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "has_av", lambda: False)
    told: list[str] = []
    settings = {"out": str(tmp_path / "out"), "encrypt": str(tmp_path / "key")}
    made = Recording(parts(**settings), bytes(32), {}, TUNING, told.append)
    recorded(made, 2)
    made.end("")
    assert told == ["no video is kept, for one cannot be encrypted without PyAV; pip install 'ferlab[video]'"]


def test_a_recording_without_a_frame_leaves_nothing(tmp_path: Path) -> None:
    for key in (None, bytes(32)):
        made = Recording(parts(out=str(tmp_path)), key, {}, TUNING, lambda line: None)
        made.annotate("event", 1.0, "x", None, True)
        with pytest.raises(DataError, match="no picture was kept: there is no frame yet"):
            made.shot()
        made.end("it was stopped")
    assert list(tmp_path.iterdir()) == []


def test_folders_never_meet(tmp_path: Path) -> None:
    folders = [new_folder(tmp_path / "a" / "b") for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(folder.parent == tmp_path / "a" / "b" and folder.is_dir() for folder in folders)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write to out="):
        new_folder(tmp_path / "file")


class Held:
    """A recording that does nothing until it may."""

    def __init__(self, *given: Any) -> None:
        self.go_on, self.did = threading.Event(), []
        self.go_on.set()
        self.folder, self.frames, self.seconds = Path("f"), 0, 0.0
        self.fails: dict[str, Exception] = {}
        Held.last = self

    def _do(self, what: str) -> None:
        self.go_on.wait(10)
        self.did.append(what)
        if what in self.fails:
            raise self.fails[what]

    def write(self, seen: Seen) -> None:
        self._do(f"write {seen.frame.index}")
        self.frames += 1

    def keep(self) -> None:
        self._do("keep")

    def end(self, why: str) -> None:
        self._do(f"end {why}")


class Site:
    def __init__(self) -> None:
        self.settings, self.key, self.parts = LiveConfig(), None, None
        self.keeping: set[Any] = set()
        self.failures: list[BaseException] = []
        self.failed, self.say = self.failures.append, lambda line: None


def play(script: Callable[[Keeping, list[dict[str, Any]]], Coroutine[Any, Any, None]], monkeypatch) -> Site:
    monkeypatch.setattr(keeping, "Recording", Held)
    site, told = Site(), []

    async def tell(message: dict[str, Any]) -> None:
        told.append(message)

    async def run() -> None:
        kept = Keeping(site, tell)
        assert (await kept.kinds["record"]({"on": True}))["on"]
        await asyncio.wait_for(script(kept, told), 10)

    asyncio.run(run())
    return site


def test_a_slow_end_blocks_nobody_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(kept: Keeping, told: list[dict[str, Any]]) -> None:
        await kept.take(seen(1, 0.0))
        made = Held.last
        made.go_on.clear()
        late = asyncio.create_task(kept.take(seen(2, 0.1)))  # it is on its way when the recording is stopped
        await asyncio.sleep(0.01)
        ending = asyncio.create_task(kept.end("it was stopped"))
        begun, ticks = time.monotonic(), 0
        while time.monotonic() < begun + 0.1:
            await asyncio.sleep(0)  # the event loop goes on
            ticks += 1
        assert ticks > 10
        assert not ending.done()
        await kept.take(seen(3, 0.2))  # no recording runs by now
        made.go_on.set()
        await late
        assert (await ending)["frames"] == 2
        assert made.did == ["write 1", "keep", "write 2", "keep", "end it was stopped"]
        assert told == []

    assert play(script, monkeypatch).keeping == set()


def test_the_next_frame_waits_for_the_pictures_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(kept: Keeping, told: list[dict[str, Any]]) -> None:
        made, held = Held.last, threading.Event()
        made.keep = lambda: held.wait(10)
        await asyncio.wait_for(kept.take(seen(1, 0.0)), 1)  # its answer does not
        second = asyncio.create_task(kept.take(seen(2, 0.1)))
        await asyncio.sleep(0.05)
        assert (second.done(), made.did) == (False, ["write 1"])
        held.set()
        await second
        assert made.did == ["write 1", "write 2"]

    play(script, monkeypatch)


@pytest.mark.parametrize(
    ("what", "error", "why"),
    [("write 1", DataError("no space left"), "no space left"), ("keep", RuntimeError("a codec"), "a codec")],
)
def test_what_cannot_be_written_ends_the_recording_alone(monkeypatch, what, error, why) -> None:
    async def script(kept: Keeping, told: list[dict[str, Any]]) -> None:
        Held.last.fails[what] = error
        for i in range(1, 4):
            await kept.take(seen(i, i / 10))
        (message,) = told
        assert (message["type"], message["on"], message["why"]) == ("recording", False, why)
        assert f"end {why}" in Held.last.did
        with pytest.raises(MessageError, match="there is no recording to stop"):
            await kept.kinds["record"]({"on": False})
        assert (await kept.kinds["record"]({"on": True}))["on"]  # another one begins

    site = play(script, monkeypatch)
    assert site.failures == ([error] if what == "keep" else [])


def test_who_leaves_while_a_frame_is_written_leaves_it_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(kept: Keeping, told: list[dict[str, Any]]) -> None:
        made = Held.last
        made.go_on.clear()
        taking = asyncio.create_task(kept.take(seen(1, 0.0)))
        await asyncio.sleep(0.02)
        taking.cancel()
        made.go_on.set()
        await kept.end("the page was closed")
        assert made.did == ["write 1", "end the page was closed"]

    play(script, monkeypatch)


def test_an_end_that_was_cancelled_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(kept: Keeping, told: list[dict[str, Any]]) -> None:
        made, held = Held.last, threading.Event()
        made.keep = lambda: held.wait(10)
        await kept.take(seen(1, 0.0))
        second = asyncio.create_task(kept.take(seen(2, 0.1)))
        ending = asyncio.create_task(kept.end("the page was closed"))
        await asyncio.sleep(0.02)
        ending.cancel()
        held.set()
        await second
        assert made.did == ["write 1", "write 2"]

    (kept,) = play(script, monkeypatch).keeping
    kept.finish("ferlab was stopped")
    assert Held.last.did[-1] == "end ferlab was stopped"


def test_at_the_end_of_the_program_it_is_ended_from_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(kept: Keeping, told: list[dict[str, Any]]) -> None:
        await kept.take(seen(1, 0.0))

    site = play(script, monkeypatch)
    (kept,) = site.keeping
    kept.finish("ferlab was stopped")
    assert Held.last.did[-1] == "end ferlab was stopped"
