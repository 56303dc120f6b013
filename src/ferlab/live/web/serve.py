"""Serve the page until Ctrl-C: the socket, the server on it, and the browser that opens it."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from os import strerror

import uvicorn

from ferlab.errors import ConfigError
from ferlab.live.parts import Parts
from ferlab.live.settings import LiveConfig
from ferlab.live.web import protocol
from ferlab.live.web.app import application

LOOK_S = 0.05  # seconds after which it is seen that it is to end


class Server(uvicorn.Server):
    """uvicorn's, whose signals are ferlab's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to `ferlab.interrupt`."""
        yield


def bound(host: str, port: int) -> socket.socket:
    """A socket at this address; ConfigError if it is not to be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise ConfigError(f"cannot serve at {host}:{port}: {reason}; give another port, or 0 for a free one") from error


def serve(settings: LiveConfig, say: Callable[[str], None], stopped: Callable[[], bool]) -> None:
    """Serve the page until `stopped`."""
    listening = bound(settings.host, settings.port)
    parts = Parts(settings, say)
    with ThreadPoolExecutor(1, "turn") as turn:
        config = uvicorn.Config(
            application(parts, turn),
            log_config=None,
            access_log=False,
            ws="websockets-sansio",
            ws_max_size=protocol.FRAME_BYTES,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
            lifespan="off",
            server_header=False,
        )
        server = Server(config)

        async def run() -> None:
            serving = asyncio.create_task(server.serve([listening]))
            while not stopped() and not serving.done():
                await asyncio.sleep(LOOK_S)
            server.should_exit = True
            await serving

        host, port = listening.getsockname()[:2]
        say(f"page    http://{host}:{port}/; Ctrl-C ends")
        asyncio.run(run())
