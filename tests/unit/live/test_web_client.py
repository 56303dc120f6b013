"""A client's messages, with a socket that plays them and a pipeline that can be held up."""

import asyncio
import json
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from starlette.websockets import WebSocketDisconnect

from ferlab.live.frame import Faces, Frame
from ferlab.live.pipeline import Seen
from ferlab.live.settings import LiveConfig
from ferlab.live.smooth import PRESETS
from ferlab.live.web.client import Client, first
from ferlab.live.web.metrics import Metrics

JPEG = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


def frame(number: int, time: float = 0.0, jpeg: bytes = JPEG) -> bytes:
    return struct.pack("<Id", number, time) + jpeg


class Site:
    """What clients share; each frame waits until it may go on."""

    def __init__(self) -> None:
        self.go_on, self.asked = threading.Event(), []
        self.go_on.set()
        self.settings, self.presets, self.metrics = LiveConfig(), PRESETS, Metrics()
        self.parts = SimpleNamespace(gallery=None, pipeline=lambda tuning: Pipeline(self, tuning))
        self.turn, self.hello = ThreadPoolExecutor(1), {"type": "hello"}
        self.cool = lambda: None
        self.failures: list[BaseException] = []
        self.ending = False
        self.error: Exception | None = None

    def answered(self, client: int, answer: Any) -> None:
        self.metrics.count(answer)

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)


class Pipeline:
    def __init__(self, site: Site, tuning: Any) -> None:
        self.site, self.tuning, self.before = site, tuning, None

    def __call__(self, frame: Frame) -> Seen:
        self.site.go_on.wait(10)
        self.site.asked.append((frame.index, frame.time, self))
        if self.site.error is not None:
            raise self.site.error
        return Seen(frame, Faces.found(np.zeros((0, 4))), np.zeros((0, 0)), [], (), 1.0, 1.0, 1.0)

    def go_on(self, before: Any) -> None:
        self.before = before


class Socket:
    """Plays what a client sends, and keeps what it is sent."""

    def __init__(self) -> None:
        self.sends: asyncio.Queue[Any] = asyncio.Queue()
        self.got: asyncio.Queue[Any] = asyncio.Queue()
        self.closed: int | None = None

    def says(self, *messages: bytes | str | dict[str, Any]) -> None:
        for each in messages:
            text = json.dumps(each) if isinstance(each, dict) else each
            key = "bytes" if isinstance(text, bytes) else "text"
            self.sends.put_nowait({"type": "websocket.receive", key: text})

    async def receive(self) -> Any:
        return await self.sends.get()

    async def send_text(self, text: str) -> None:
        self.got.put_nowait(json.loads(text))

    async def close(self, code: int, reason: str) -> None:
        self.closed = code

    async def answers(self, number: int) -> list[Any]:
        return [await asyncio.wait_for(self.got.get(), 10) for _ in range(number)]


def play(script: Any, site: Site | None = None) -> None:
    """Run a script beside a client."""

    async def run() -> None:
        socket, shared = Socket(), site or Site()
        client = Client(socket, shared)
        task = asyncio.create_task(client.run())
        assert await socket.answers(1) == [{"type": "hello"}]
        await script(socket, shared, client)
        socket.sends.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await asyncio.wait_for(task, 10)
        shared.turn.shutdown()

    asyncio.run(run())


def test_two_frames_may_wait_and_a_third_is_refused() -> None:
    async def script(socket: Socket, site: Site, client: Client) -> None:
        site.go_on.clear()
        socket.says(frame(1), frame(2), frame(3))
        await asyncio.sleep(0.05)
        site.go_on.set()
        found = await socket.answers(3)
        assert [(each["type"], each["id"]) for each in found] == [("answer", 1), ("answer", 2), ("error", 3)]
        assert "at most 2 frames may wait" in found[2]["text"]
        socket.says(frame(4), frame(5))
        assert [each["type"] for each in await socket.answers(2)] == ["answer", "answer"]
        assert [index for index, _, _ in site.asked] == [0, 1, 2, 3]

    play(script)


def test_messages_and_frames_are_taken_in_their_order() -> None:
    async def script(socket: Socket, site: Site, client: Client) -> None:
        site.go_on.clear()
        socket.says(frame(1, 5.0), {"type": "settings", "preset": "raw"}, frame(2, 6.0))
        await asyncio.sleep(0.05)
        site.go_on.set()
        answer, settings, _ = await socket.answers(3)
        assert (answer["type"], settings["type"], settings["preset"]) == ("answer", "settings", "raw")
        before, after = (pipeline for _, _, pipeline in site.asked)
        assert after.before is before
        assert after.tuning.smoothing == PRESETS["raw"]
        assert site.asked[1][0] == 1
        socket.says({"type": "start", "source": "picture", "mirrored": False}, frame(3, 0.0))
        assert [each["type"] for each in await socket.answers(1)] == ["answer"]
        index, _, fresh = site.asked[-1]
        assert (index, fresh.before, fresh.tuning) == (0, None, after.tuning)
        assert (client.source, client.mirrored) == ("picture", False)

    play(script)


def test_a_time_that_goes_back_costs_that_frame() -> None:
    async def script(socket: Socket, site: Site, client: Client) -> None:
        for number, time in enumerate((1.0, 1.0, 0.5, 2.0)):
            socket.says(frame(number, time))
            (found,) = await socket.answers(1)
            assert found["type"] == ("error" if time == 0.5 else "answer")
        assert [time for _, time, _ in site.asked] == [1.0, 1.0, 2.0]
        assert site.metrics.errors == {"frame": 1}

    play(script)


WRONG = ["[]", '{"type":"nothing"}', b"short", frame(1, float("nan")), frame(1, 0.0, b"jpeg")]


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_five_wrong_messages_in_a_row_are_the_end(wrong: str | bytes) -> None:
    async def script(socket: Socket, site: Site, client: Client) -> None:
        for _ in range(2):
            socket.says(*[wrong] * 2)
            await socket.answers(2)
            socket.says(*[wrong] * 2)
            await socket.answers(2)
            socket.says(frame(7))
            assert (await socket.answers(1))[0]["type"] == "answer"
        assert socket.closed is None
        for _ in range(5):
            socket.says(wrong)
            assert (await socket.answers(1))[0]["type"] == "error"
        await asyncio.sleep(0.02)
        assert socket.closed == 1008

    play(script)


def test_what_a_model_raises_costs_the_frame_and_is_told_here_alone() -> None:
    async def script(socket: Socket, site: Site, client: Client) -> None:
        site.error = RuntimeError("secret path /a/b")
        socket.says(frame(4))
        (found,) = await socket.answers(1)
        assert (found["type"], found["about"], found["id"]) == ("error", "frame", 4)
        assert "secret" not in found["text"]
        assert site.failures == [site.error]
        site.error = None
        socket.says(frame(5))
        assert (await socket.answers(1))[0]["type"] == "answer"

    play(script)


def test_clients_come_round_in_turn() -> None:
    async def run() -> list[int]:
        site = Site()
        busy, other = Socket(), Socket()
        tasks = [asyncio.create_task(Client(socket, site).run()) for socket in (busy, other)]
        await busy.answers(1)
        await other.answers(1)
        site.go_on.clear()
        busy.says(frame(1, 1.0), frame(2, 1.0))
        await asyncio.sleep(0.05)
        other.says(frame(1, 2.0))
        await asyncio.sleep(0.05)
        site.go_on.set()
        await busy.answers(2)
        await other.answers(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        site.turn.shutdown()
        return [time for _, time, _ in site.asked]

    assert asyncio.run(run()) == [1.0, 2.0, 1.0]


def test_the_first_that_ends_ends_the_others() -> None:
    ended = []

    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def leaves() -> None:
        raise WebSocketDisconnect(1001)

    async def run() -> None:
        with pytest.raises(WebSocketDisconnect):
            await first(endless(), leaves())

    asyncio.run(run())
    assert ended == [True]
