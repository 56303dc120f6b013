"""uvicorn as ferlab needs it: quiet, impatient with who says nothing, and ended by ferlab."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ferlab.live.web import protocol

CONNECTIONS = 64  # at a time; a browser opens six for the modules of a page
REQUEST_S = 10.0  # seconds in which a request must be whole
PING_S = 15.0  # seconds between pings, and for the answer to one: who is gone without a word is let go
HEADERS_BYTES = 16 * 2**10  # of a request


class Server(uvicorn.Server):
    """uvicorn's, whose signals are ferlab's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to `ferlab.interrupt`."""
        yield


class Impatient(H11Protocol):
    """A connection that is closed if there are too many, or if its next request is not whole in time."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
        self._wait()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def _wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(REQUEST_S, self._give_up)

    def _give_up(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if self.transport.get_protocol() is self and not answering:  # it is no WebSocket by now
            self.transport.abort()


def server(app: ASGIApp, encryption: ssl.SSLContext | None) -> Server:
    """A server of an application; it takes its socket when it is run."""
    for name in ("uvicorn", "websockets"):  # what is ours, `Guard` tells
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    factory: Callable[..., Any] | None = None if encryption is None else lambda *_: encryption
    return Server(
        uvicorn.Config(
            app,
            http=Impatient,
            ws="websockets-sansio",
            ws_max_size=protocol.FRAME_BYTES,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            ws_per_message_deflate=False,  # JPEGs do not shrink, and a small message might grow large
            h11_max_incomplete_event_size=HEADERS_BYTES,
            ssl_context_factory=factory,
            proxy_headers=False,  # nobody else says where a request came from
            server_header=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
