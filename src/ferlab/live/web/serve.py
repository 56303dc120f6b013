"""The page's server, in a thread of its own: it begins, tells where it is, and ends with whoever began it."""

import asyncio
import os
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType
from typing import Self

import cv2
from rich.text import Text

from ferlab.live.blur import Blur
from ferlab.live.parts import Parts
from ferlab.live.pipeline import Seen
from ferlab.live.web import lan, protocol
from ferlab.live.web.address import Address
from ferlab.live.web.app import PAGE, application
from ferlab.live.web.asgi import server
from ferlab.live.web.guard import Guard, inline_scripts
from ferlab.live.web.site import Site

QUALITY = 80  # of the pictures that are shown, JPEG
END_S = 5.0  # seconds in which the server must end
LOOK_S = 0.05  # seconds after which who waits looks again


class Served:
    """The page while it is served. A context, which ends the server.

    Attributes:
        address: where it is.
        site: what its clients share.

    Args:
        address: taken.
        parts: opened and warm.
        say: told, in a sentence, what a person should know.
    """

    def __init__(self, address: Address, parts: Parts, say: Callable[[str | Text], None]) -> None:
        self.address, self.site, self._say = address, Site(parts, say), say
        guard = Guard(
            application(self.site), address.token, address.names, address.port,
            address.encryption is not None, inline_scripts(PAGE), self.site.failed,
        )  # fmt: skip
        self._server = server(guard, address.encryption)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready, self._thread = Event(), Thread(target=self._run, name="page", daemon=True)
        self._error: BaseException | None = None
        self._blur = Blur() if parts.settings.blur else None

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        for line in told(self.address):
            self._say(line)
        if self.site.settings.open:
            open_browser(self.address.url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.site.ending = self._server.should_exit = True
        self._thread.join(END_S)
        self.site.close()
        self.site.turn.shutdown(wait=False, cancel_futures=True)
        self.address.socket.close()

    def wait(self, over: Callable[[], bool]) -> None:
        """Wait until `over`; the server's own error is raised."""
        while not over():
            self._thread.join(LOOK_S)
            if not self._thread.is_alive():
                break
        if self._error is not None:
            raise self._error

    @property
    def watched(self) -> bool:
        """Whether somebody looks at the server's own source."""
        return len(self.site.pictures) > 0

    def show(self, seen: Seen) -> None:
        """Show a frame of the server's own source to all who look; from any thread."""
        spans = {"queue": seen.age_ms, "detector": seen.detector_ms, "classifier": seen.classifier_ms}
        spans |= {"pipeline": seen.pipeline_ms, "server": seen.end_to_end_ms}
        said = protocol.content(seen, spans, self.site.parts.gallery is not None)
        message = {"type": "frame", "id": seen.frame.index, "time": seen.frame.time, **said}
        picture, image = b"", seen.frame.image
        if self._blur is not None:
            self._blur.note(seen)
        if self.watched:
            bgr = cv2.cvtColor(self._blur(image) if self._blur is not None else image, cv2.COLOR_RGB2BGR)
            encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
            picture = protocol.HEADER.pack(seen.frame.index % 2**32, seen.frame.time) + encoded
        self._call(self._publish, message, picture)

    def note(self, text: str) -> None:
        """Tell all who look at the server's own source; from any thread."""
        self._call(self.site.note, text)

    def _publish(self, message: dict[str, object], picture: bytes) -> None:
        self.site.answered(0, {**message, "type": "answer"})
        if picture:
            self.site.pictures.publish(0, (protocol.encoded(message), picture))

    def _call(self, what: Callable[..., None], *arguments: object) -> None:
        if self._loop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(what, *arguments)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # it is raised where the server is waited for
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._failed)
        serving = asyncio.create_task(self._server.serve([self.address.socket]))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0)
        self._ready.set()
        await serving

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception) and not isinstance(error, OSError):  # connections break; that is no failure
            self.site.failed(error)


def told(address: Address) -> list[str | Text]:
    """What a person is told of an address: where to go, and how to know that it is this machine."""
    lines: list[str | Text] = [f"page    {address.url}"]
    if address.fingerprint is not None:
        lines += [
            "        a phone in this network opens it by this code; its browser warns, for nobody vouches for this",
            f"        machine's certificate, whose SHA-256 is {address.fingerprint}",
            lan.code(address.url),
        ]
    elif address.token is not None:
        lines.append("        browsers give no camera to it from another machine, for it is not encrypted; lan=true is")
    return lines


def open_browser(url: str) -> None:
    """Open an address in the browser, where there is one with a window; a thread waits for it."""
    window = sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if window:  # else Python would open one in the terminal
        Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()
