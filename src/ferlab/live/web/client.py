"""One client of the page: its pipeline and its settings, and what becomes of each of its messages."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from ferlab.live.frame import Frame
from ferlab.live.parts import Parts
from ferlab.live.web import protocol
from ferlab.live.web.protocol import MessageError, Sent

IN_A_ROW = 5  # messages that are wrong, after which a client is let go
POLICY = 1008  # WebSocket's code for that


class Client:
    """A WebSocket with a page at its other end.

    Args:
        socket: accepted.
        parts: of the pipelines.
        turn: one thread, which takes a frame of each client in the order in which they come.
        hello: the first message.
    """

    def __init__(self, socket: WebSocket, parts: Parts, turn: Executor, hello: dict[str, Any]) -> None:
        self.socket, self.parts, self.turn, self.hello = socket, parts, turn, hello
        self.pipeline = parts.pipeline()
        self._frames = 0
        self._last = -1.0
        self._waiting: asyncio.Queue[Sent | dict[str, Any] | MessageError] = asyncio.Queue()
        self._unanswered = self._wrong = 0
        # Message type -> what answers it, or gives None.
        self.kinds: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
            "start": self._start,
            "stop": self._stop,
        }

    async def run(self) -> None:
        """Answer until the client leaves."""
        await self.send(self.hello)
        answering = asyncio.create_task(self._answer_all())
        try:
            while True:
                self._take(await self.socket.receive())
        except WebSocketDisconnect:
            pass
        finally:
            answering.cancel()

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message."""
        await self.socket.send_text(protocol.encoded(message))

    def _take(self, message: Any) -> None:
        """Put what came where it waits for its turn."""
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        try:
            if (content := message.get("bytes")) is not None:
                sent = protocol.frame_of(content, time.perf_counter())
                if self._unanswered >= protocol.UNANSWERED:
                    most = protocol.UNANSWERED
                    raise MessageError("frame", f"at most {most} frames may be unanswered, got more", sent.number)
                self._unanswered += 1
                self._waiting.put_nowait(sent)
            else:
                self._waiting.put_nowait(protocol.message_of(message["text"]))
        except MessageError as wrong:
            self._waiting.put_nowait(wrong)

    async def _answer_all(self) -> None:
        while self._wrong < IN_A_ROW:
            taken = await self._waiting.get()
            try:
                if isinstance(taken, MessageError):
                    raise taken
                if isinstance(taken, Sent):
                    loop = asyncio.get_running_loop()
                    said = await loop.run_in_executor(self.turn, self._see, taken)
                else:
                    said = self._do(taken)
                self._wrong = 0
                if said is not None:
                    await self.send(said)
            except MessageError as wrong:
                self._wrong += 1
                await self.send(protocol.error(wrong))
            finally:
                self._unanswered -= isinstance(taken, Sent)
        await self.socket.close(POLICY, "too many wrong messages")

    def _see(self, sent: Sent) -> dict[str, Any]:
        """Answer a frame; it is this client's turn."""
        begun = time.perf_counter()
        if sent.time < self._last:
            raise MessageError("frame", f"a frame's time must not go back, got {sent.time:g} s", sent.number)
        image = protocol.decoded(sent)
        decoded = time.perf_counter()
        seen = self.pipeline(Frame(self._frames, sent.time, image))
        self._frames, self._last = self._frames + 1, sent.time
        now = time.perf_counter()
        names = True
        return protocol.answer(sent, seen, begun - sent.came, decoded - begun, now - sent.came, names)

    def _do(self, message: dict[str, Any]) -> dict[str, Any] | None:
        kind = self.kinds.get(message["type"])
        if kind is None:
            raise MessageError("message", f"unknown type '{message['type'][:40]}'; one of: {', '.join(self.kinds)}")
        return kind(message)

    def _start(self, message: dict[str, Any]) -> None:
        """A source begins: new tracks, and time from 0."""
        self.pipeline = self.parts.pipeline()
        self._frames, self._last = 0, -1.0

    def _stop(self, message: dict[str, Any]) -> None:
        """A source is over."""
