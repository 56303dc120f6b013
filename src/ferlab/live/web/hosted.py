"""A server of the page in a thread of its own: it begins, tells where it is, and ends with whoever began it."""

import asyncio
import mimetypes
import os
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

from rich.text import Text
from starlette.types import ASGIApp

from ferlab.live.web import lan
from ferlab.live.web.address import Address
from ferlab.live.web.asgi import server
from ferlab.live.web.guard import Guard, inline_scripts

PAGE = Path(__file__).parent / "page"
END_S = 5.0  # seconds in which the server must end
LOOK_S = 0.05  # seconds after which who waits looks again
mimetypes.add_type("text/javascript", ".js")  # a machine may have registered another, with which no browser runs it


class Hosted:
    """An application while it is served. A context, which ends the server.

    Attributes:
        address: where it is.

    Args:
        address: taken.
        app: the application; who may ask it is looked after here.
        failed: told of an error of the application.
        say: told, in a sentence, what a person should know.
        browse: whether to open it in the browser.
    """

    def __init__(
        self,
        address: Address,
        app: ASGIApp,
        failed: Callable[[BaseException], None],
        say: Callable[[str | Text], None],
        browse: bool,
    ) -> None:
        self.address, self._say, self._failed, self._browse = address, say, failed, browse
        encrypted = address.encryption is not None
        guard = Guard(app, address.token, address.names, address.port, encrypted, inline_scripts(PAGE), failed)
        self._server = server(guard, address.encryption)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready, self._thread = Event(), Thread(target=self._run, name="page", daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        for line in told(self.address):
            self._say(line)
        if self._browse:
            open_browser(self.address.url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(END_S)
        self.address.socket.close()

    def wait(self, over: Callable[[], bool]) -> None:
        """Wait until `over`; the server's own error is raised."""
        while not over():
            self._thread.join(LOOK_S)
            if not self._thread.is_alive():
                break
        if self._error is not None:
            raise self._error

    def call(self, what: Callable[..., None], *arguments: object) -> None:
        """Let the event loop call something; from any thread."""
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
        self._loop.set_exception_handler(self._told)
        serving = asyncio.create_task(self._server.serve([self.address.socket]))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0)
        self._ready.set()
        await serving

    def _told(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception) and not isinstance(error, OSError):  # connections break; that is no failure
            self._failed(error)


def failure(error: BaseException) -> str:
    """What a person is told of a request that failed."""
    return f"page    failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


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
