"""One client of the page: its pipeline and its settings, and what becomes of each of its messages."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from ferlab.live.frame import Frame
from ferlab.live.identity import Identity
from ferlab.live.parts import Tuning
from ferlab.live.pipeline import Seen
from ferlab.live.web import protocol
from ferlab.live.web.enrolment import Enrolment
from ferlab.live.web.guard import Pace
from ferlab.live.web.jpeg import decoded
from ferlab.live.web.keeping import Keeping
from ferlab.live.web.protocol import MessageError, Sent
from ferlab.live.web.site import Site

IN_A_ROW = 5  # messages that are wrong, after which a client is let go
POLICY = 1008  # WebSocket's code for that
WAITING = 16  # messages that may wait; with more, no further ones are read
FRAMES_S, MESSAGES_S = 120, 30  # a second, at most; who sends more is read more slowly


Kind = Callable[[dict[str, Any]], Awaitable[dict[str, Any] | None]]


class Client:
    """A WebSocket with a page at its other end. All but `_see` runs in the event loop's thread.

    Attributes:
        number: of the client, from 1; no other gets it.
        tuning: the settings at hand.
        kinds: type of a message -> what takes it, and gives the answer or None; MessageError if it is wrong. Messages
            and frames are taken one after the other, in the order in which they came.
        keeping, enrolment: what becomes of its frames beside answers.
        source, mirrored: as the client said when its source began.

    Args:
        socket: accepted.
        site: what all clients share.
    """

    def __init__(self, socket: WebSocket, site: Site) -> None:
        self.socket, self.site, self.number = socket, site, site.metrics.served
        self.tuning = Tuning.of(site.settings)
        self.pipeline = site.parts.pipeline(self.tuning)
        self.source, self.mirrored = "camera", False
        self.keeping = Keeping(site, self.send)
        self.enrolment = Enrolment(site, self.send, self._name)
        self.kinds: dict[str, Kind] = {
            "start": self._start,
            "stop": self._stop,
            "settings": self._tune,
            **self.keeping.kinds,
            **self.enrolment.kinds,
        }
        self._frames, self._last = 0, 0.0
        self._waiting: asyncio.Queue[Sent | dict[str, Any] | MessageError] = asyncio.Queue(WAITING)
        self._unanswered = 0

    async def run(self) -> None:
        """Answer until the client leaves, or is let go."""
        try:
            with suppress(WebSocketDisconnect):
                await self.send(self.site.hello)
                await first(self._receive(), self._answer())
        finally:
            self.enrolment.cancel()
            why = "ferlab was stopped" if self.site.ending else "the page was closed"
            await asyncio.shield(self.keeping.end(why))

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message."""
        await self.socket.send_text(protocol.encoded(message))

    async def _receive(self) -> None:
        """Put what comes where it waits for its turn."""
        frames, others = Pace(FRAMES_S), Pace(MESSAGES_S)
        while (message := await self.socket.receive())["type"] != "websocket.disconnect":
            came = time.perf_counter()
            await asyncio.sleep((others if message.get("bytes") is None else frames).wait())
            await self._waiting.put(self._parsed(message, came))

    def _parsed(self, message: Any, came: float) -> Sent | dict[str, Any] | MessageError:
        try:
            if message.get("bytes") is None:
                return protocol.message_of(message["text"])
            sent = protocol.frame_of(message["bytes"], came)
            if self._unanswered >= protocol.UNANSWERED:
                most = f"at most {protocol.UNANSWERED} frames may wait for an answer, got another; wait for one"
                raise MessageError("frame", most, sent.number)
        except MessageError as wrong:
            return wrong
        self._unanswered += 1
        return sent

    async def _answer(self) -> None:
        """Take what waits, one by one, until too many were wrong."""
        wrong = 0
        while wrong < IN_A_ROW:
            taken = await self._waiting.get()
            try:
                said = await self._taken(taken)
                wrong = 0
            except MessageError as error:
                self.site.metrics.errors[error.about] += 1
                said = protocol.error(error)
                wrong += 1
            finally:
                self._unanswered -= isinstance(taken, Sent)
            if said is not None:
                await self.send(said)
        await self.socket.close(POLICY, f"{IN_A_ROW} messages in a row were wrong")

    async def _taken(self, taken: Sent | dict[str, Any] | MessageError) -> dict[str, Any] | None:
        """The answer to a message."""
        if isinstance(taken, MessageError):
            raise taken
        try:
            if isinstance(taken, Sent):
                return await self._answered(taken)
            kind = self.kinds.get(taken["type"])
            if kind is None:
                known = ", ".join(self.kinds)
                raise MessageError("message", f"unknown type {protocol.shown(taken['type'])}; one of: {known}")
            return await kind(taken)
        except (MessageError, WebSocketDisconnect):
            raise
        except Exception as error:  # whatever a runtime raises for one frame may be over with the next
            self.site.failed(error)
            about, number = ("frame", taken.number) if isinstance(taken, Sent) else ("message", None)
            raise MessageError(about, f"it could not be answered ({type(error).__name__})", number) from error

    async def _answered(self, sent: Sent) -> dict[str, Any]:
        """The answer to a frame, once it is recorded."""
        try:
            seen, said = await asyncio.get_running_loop().run_in_executor(self.site.turn, self._see, sent)
        except Exception:
            await self.keeping.lost()
            raise
        await self.keeping.take(seen)
        await self.enrolment.take(seen)
        self.site.answered(self.number, said)
        return said

    def _see(self, sent: Sent) -> tuple[Seen, dict[str, Any]]:
        """Answer a frame; it is this client's turn, in the turn's thread."""
        self.site.cool()
        begun = time.perf_counter()
        if sent.time < self._last:
            text = f"a frame's time must not go back, got {sent.time:g} s after {self._last:g} s; start again"
            raise MessageError("frame", text, sent.number)
        image = decoded(sent)
        ready = time.perf_counter()
        seen = replace(self.pipeline(Frame(self._frames, sent.time, image)), age_ms=1e3 * (ready - sent.came))
        self._frames, self._last = self._frames + 1, sent.time
        ends = {"queue": (sent.came, begun), "decode": (begun, ready), "server": (sent.came, time.perf_counter())}
        spans = {name: 1e3 * (end - start) for name, (start, end) in ends.items()}
        return seen, protocol.answer(sent, seen, spans, self.site.parts.gallery is not None)

    async def _start(self, message: dict[str, Any]) -> None:
        """A source begins: new tracks, and time from 0. A recording is of one source."""
        self.source, self.mirrored = protocol.start_of(message)
        await self._stop(message)
        self.keeping.page = {"source": self.source, "mirrored": self.mirrored}
        self.pipeline = self.site.parts.pipeline(self.tuning)
        self._frames, self._last = 0, 0.0

    async def _stop(self, message: dict[str, Any]) -> None:
        """A source is over; its faces are forgotten when the next one starts."""
        self.enrolment.cancel()
        await self.keeping.end("the source ended", tell=True)

    async def _tune(self, message: dict[str, Any]) -> dict[str, Any]:
        """Other settings, from the next frame on; its faces stay who they are."""
        self.tuning = protocol.tuned(message, self.tuning, self.site.presets)
        pipeline = self.site.parts.pipeline(self.tuning)
        pipeline.go_on(self.pipeline)
        self.pipeline = pipeline
        await self.keeping.tuned(self.tuning)
        return {"type": "settings", **protocol.settings(self.tuning, self.site.presets)}

    def _name(self, track: int, name: str) -> None:
        """A face of this client is somebody."""
        if isinstance(self.pipeline.identify, Identity):
            self.pipeline.identify.name(track, name)


async def first(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends, and cancel the others; what that one raised is raised."""
    tasks = [asyncio.ensure_future(each) for each in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
