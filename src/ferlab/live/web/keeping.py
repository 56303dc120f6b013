"""What the messages of a client do with its recordings: at most one at a time, written in a thread of its own."""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from ferlab.errors import DataError, FerlabError
from ferlab.live.parts import Tuning
from ferlab.live.pipeline import Seen
from ferlab.live.web.protocol import MessageError, Tell
from ferlab.live.web.recording import Recording
from ferlab.live.web.site import Site

STOPPED = "it was stopped"
T = TypeVar("T")


class Keeping:
    """The recordings of one client; its methods are called in the event loop's thread.

    A frame's lines are with the system before it is answered. Its pictures are made while the next frame is answered,
    and that one waits for them: who records slowly is answered slowly, and nobody else.

    Attributes:
        kinds: type of a message -> what takes it; see `Client`.

    Args:
        site: what all clients share.
        tell: sends the client a message.
    """

    def __init__(self, site: Site, tell: Tell) -> None:
        self._site, self._tell = site, tell
        self.kinds = {"record": self._record, "annotate": self._annotate, "screenshot": self._screenshot}
        self._recording: Recording | None = None
        self._ending: Recording | None = None  # frames are not offered to it any more
        self._thread: ThreadPoolExecutor | None = None
        self._pictures: Future[None] | None = None
        self._order = asyncio.Lock()  # its queue is first in, first out
        self._notes: set[asyncio.Task[None]] = set()
        self.page: dict[str, Any] = {}
        self.tuning = Tuning.of(site.settings)

    async def take(self, seen: Seen) -> None:
        """Keep a frame, if a recording runs; what cannot be written ends the recording, and the client is told."""
        recording = self._recording
        if recording is None:
            return
        try:
            async with self._order:
                if self._pictures is not None:
                    await _done(self._pictures)
                await self._do(recording.write, seen)
                self._pictures = self._submit(recording.keep)
        except Exception as error:  # a full disk, or whatever an encoder raises; the client goes on
            if not isinstance(error, DataError):
                self._site.failed(error)
            await self.end(" ".join(str(error).split()), tell=True)

    async def lost(self) -> None:
        """A frame could not be answered."""
        if self._recording is not None:
            await self._do(self._recording.lost)

    async def tuned(self, tuning: Tuning) -> None:
        """Other settings go from here on."""
        self.tuning = tuning
        if self._recording is not None:
            await self._do(self._recording.tuned, tuning)

    async def end(self, why: str, tell: bool = False) -> dict[str, Any] | None:
        """End the recording that runs; what is said of it, and sent if `tell`. None if there is none.

        What was offered before is in it, and nothing later is offered.
        """
        recording, self._recording = self._recording, None
        if recording is None:
            return None
        self._ending = recording
        try:
            async with self._order:
                await self._do(recording.end, why)
        except Exception as error:
            self._site.failed(error)
        self._forget()
        folder = str(recording.folder) if recording.frames else None
        said = {"type": "recording", "on": False, "folder": folder, **_length(recording)}
        if why != STOPPED:
            said["why"] = why
        if folder is not None:
            self._site.say(f"session {folder}, {recording.frames:,} frames, {recording.seconds:.1f} s; {why}")
        if tell:
            await self._tell(said)
        return said

    def finish(self, why: str) -> None:
        """End the recording that runs, from a thread other than the event loop's, which is over."""
        recording, self._recording = self._recording or self._ending, None
        if self._thread is not None:
            if recording is not None:
                self._thread.submit(recording.end, why)
            self._thread.shutdown(wait=True)

    async def _record(self, message: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(on := message.get("on"), bool):
            raise MessageError("record", "on must be true or false, got something else")
        if on == (self._recording is not None):
            text = "a recording runs already; stop it first" if on else "there is no recording to stop"
            raise MessageError("record", text)
        if not on:
            return await self.end(STOPPED) or {}
        self._thread = ThreadPoolExecutor(1, "recording")
        self._site.keeping.add(self)
        say, site = self._said_from(asyncio.get_running_loop()), self._site
        try:
            self._recording = await self._do(Recording, site.parts, site.key, self.page, self.tuning, say)
        except FerlabError as error:
            self._forget()
            raise MessageError("record", str(error)) from error
        return {"type": "recording", "on": True, "folder": str(self._recording.folder), **_length(self._recording)}

    async def _annotate(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._recording is None:
            raise MessageError("annotate", "an annotation belongs to a recording, got none that runs; start one")
        kind, label, track, time, on = (message.get(key) for key in ("kind", "label", "track", "time", "on"))
        texts = isinstance(kind, str) and (label is None or isinstance(label, str))
        tracks = track is None or (isinstance(track, int) and not isinstance(track, bool) and track >= 0)
        times = isinstance(time, int | float) and not isinstance(time, bool) and math.isfinite(time)
        if not (texts and tracks and times and isinstance(on, bool)):
            raise MessageError("annotate", "an annotation must have kind, label, track, time and on, got others")
        try:
            await self._do(self._recording.annotate, str(kind), float(time or 0), label or "", track, bool(on))
        except DataError as error:
            raise MessageError("annotate", str(error)) from error
        return {"type": "annotated", "kind": kind, "label": label, "track": track, "time": time, "on": on}

    async def _screenshot(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._recording is None:
            raise MessageError("message", "a screenshot is kept in a recording, got none that runs; start one")
        try:
            return {"type": "note", "text": f"kept as {await self._do(self._recording.shot)}"}
        except DataError as error:
            raise MessageError("message", str(error)) from error

    def _submit(self, what: Callable[..., T], *arguments: object) -> "Future[T]":
        assert self._thread is not None
        return self._thread.submit(what, *arguments)

    async def _do(self, what: Callable[..., T], *arguments: object) -> T:
        """Let the recording's thread do something, after what it was asked before."""
        return await _done(self._submit(what, *arguments))

    def _forget(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False)
        self._thread = self._pictures = self._ending = None
        self._site.keeping.discard(self)

    def _said_from(self, loop: asyncio.AbstractEventLoop) -> Callable[[str], None]:
        """What sends the client a note, from any thread."""

        def send(text: str) -> None:
            task = loop.create_task(self._note(text))
            self._notes.add(task)
            task.add_done_callback(self._notes.discard)

        def say(line: str) -> None:
            with suppress(RuntimeError):  # the loop has just ended
                loop.call_soon_threadsafe(send, " ".join(line.split()))

        return say

    async def _note(self, text: str) -> None:
        try:
            await self._tell({"type": "note", "text": text})
        except Exception:  # the client has left
            self._site.say(f"page    {text}")


async def _done(job: "Future[T]") -> T:
    """Wait for a job, which is done whether or not somebody waits for it still."""
    return await asyncio.shield(asyncio.wrap_future(job))


def _length(recording: Recording) -> dict[str, Any]:
    return {"seconds": round(recording.seconds, 3), "frames": recording.frames}
