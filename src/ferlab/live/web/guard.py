"""Who may ask the server, and what its answers forbid a browser: on everything that comes in, before any route."""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

OPEN = ("/", "/page/")  # ferlab's own code, which holds nothing of anybody
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
BURST_S = 1.0  # seconds of a pace that may come at once


class Pace:
    """So many a second, and no more.

    Args:
        rate: a second.
        clock: s.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._each, self._clock = 1 / rate, clock
        self._due = clock() - BURST_S

    def wait(self) -> float:
        """Take one: seconds to wait for it, mostly 0."""
        now = self._clock()
        self._due = max(self._due, now - BURST_S) + self._each
        return max(0.0, self._due - now)


class Guard:
    """An application before another one.

    A request must name this machine as its host: a page of elsewhere whose name was made to lead here (DNS rebinding)
    does not. What a browser says it comes from must be the page itself: it opens a WebSocket to anywhere, whoever asks.
    A program that is no browser does not say. With a token, what holds something of people needs it.

    Args:
        app: is asked for what passes.
        token: that must be known; None for nobody but this machine.
        names: of this machine as a host; addresses need not be named where there is a token.
        port: of the server; browsers keep one set of cookies for all ports.
        secure: whether it is encrypted.
        scripts: hashes of the scripts within its pages, for the policy.
        failed: told of an error of the application.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None,
        names: frozenset[str],
        port: int,
        secure: bool,
        scripts: tuple[str, ...],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._app, self._token, self._names, self._secure, self._failed = app, token, names, secure, failed
        self._cookie = f"ferlab_live_{port}"
        self._scripts = " ".join(("'self'", *(f"'{each}'" for each in scripts)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do so."""
        if scope["type"] not in ("http", "websocket"):
            return
        headers = Headers(scope=scope)
        host = self._host(headers)

        async def safely(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                self._protect(MutableHeaders(raw=message.setdefault("headers", [])), host)
            await send(message)

        answer = self._refused(scope, headers, host) or self._admitted(scope)
        try:
            await (answer or self._app)(scope, receive, safely)
        except (OSError, WebSocketDisconnect):
            return  # whoever asked is gone
        except Exception as error:  # one request's, whatever it was
            self._failed(error)
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1011, "reason": "the server failed"})

    def _host(self, headers: Headers) -> str | None:
        """The host and port that are asked, if they are this server's."""
        given = headers.getlist("host")
        try:
            parts = urlsplit(f"//{given[0].lower()}") if len(given) == 1 else None
            name, port = (parts.hostname, parts.port) if parts else (None, None)
        except ValueError:
            return None
        if parts is None or name is None or parts.path or parts.query or parts.username is not None:
            return None
        if name not in self._names and not (self._token is not None and _is_address(name)):
            return None
        shown = f"[{name}]" if ":" in name else name
        return shown if port is None else f"{shown}:{port}"

    def _refused(self, scope: Scope, headers: Headers, host: str | None) -> Response | None:
        """Why a request is not answered."""
        if host is None:
            return PlainTextResponse("This host is not known here; open the address that ferlab printed.\n", 421)
        origins = headers.getlist("origin")
        if origins and origins != [f"http{'s' if self._secure else ''}://{host}"]:
            return PlainTextResponse("Pages of elsewhere are not answered.\n", 403)
        path = scope["path"]
        if self._token is None or self._knows(headers) or path.startswith(OPEN[1]):
            return None
        if path == OPEN[0] and (self._given(scope) or headers.get("sec-fetch-site") == "cross-site"):
            return None  # a link on another page leads to the cookie, which its redirection does not bring along
        return PlainTextResponse("Open the address that ferlab printed, with its token.\n", 401)

    def _knows(self, headers: Headers) -> bool:
        """Whether a request brings the token, by cookie or as a program does."""
        cookie = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        return self._is_token(cookie) or (scheme.lower() == "bearer" and self._is_token(bearer.strip()))

    def _is_token(self, text: str) -> bool:
        return self._token is not None and hmac.compare_digest(text.encode(), self._token.encode())

    def _given(self, scope: Scope) -> bool:
        """Whether the address has the token."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        return self._is_token(query.get("token", [""])[0])

    def _admitted(self, scope: Scope) -> Response | None:
        """Keeps the token in a cookie, and takes it out of the address; None if there is none in it."""
        if self._token is None or scope["type"] != "http" or scope["path"] != OPEN[0] or not self._given(scope):
            return None
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", secure=self._secure)
        return answer

    def _protect(self, headers: MutableHeaders, host: str | None) -> None:
        """Say what a browser must not do with an answer."""
        socket = f" ws{'s' if self._secure else ''}://{host}" if host else ""  # older Safaris: it is not 'self'
        policy = {
            "default-src": "'self'", "script-src": self._scripts, "connect-src": f"'self'{socket}",
            "img-src": "'self' blob: data:", "media-src": "'self' blob:", "object-src": "'none'",
            "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
        }  # fmt: skip
        headers["Content-Security-Policy"] = "; ".join(f"{name} {value}" for name, value in policy.items())
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Permissions-Policy"] = "camera=(self), microphone=(), geolocation=(), display-capture=()"
        headers["Cross-Origin-Opener-Policy"] = headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers.setdefault("Cache-Control", "no-cache")  # another version's modules would not fit


def _is_address(name: str) -> bool:
    """Whether a host is an address and no name, which alone can be made to lead here."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def inline_scripts(folder: Path) -> tuple[str, ...]:
    """Hashes of the scripts that stand in the pages of a folder, as a content security policy has them."""
    found = []
    for page in sorted(folder.glob("*.html")):
        for attributes, script in re.findall(r"<script\b([^>]*)>(.*?)</script>", page.read_text("utf-8"), re.DOTALL):
            if "src=" not in attributes:
                digest = hashlib.sha256(script.encode()).digest()
                found.append(f"sha256-{base64.b64encode(digest).decode()}")
    return tuple(found)
