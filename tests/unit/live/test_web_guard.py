"""Who is answered, asked as a server asks: with a scope and the headers in it."""

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from ferlab.live.web.guard import LOOPBACK, Guard, Pace, inline_scripts

TOKEN = "a-token-of-some-length"
COOKIE = f"ferlab_live_8000={TOKEN}"


class App:
    """Answers everything, and remembers that it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked, self.error = 0, error

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})


def ask(
    path: str = "/",
    *,
    token: str | None = None,
    secure: bool = False,
    kind: str = "http",
    query: str = "",
    app: App | None = None,
    failed: Any = None,
    **headers: str,
) -> tuple[int, dict[str, str], bool]:
    """Status, headers, and whether the application was asked."""
    app, sent = app or App(), []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": f"{kind}.connect"}

    headers = {"host": "127.0.0.1:8000"} | headers
    scope = {
        "type": kind,
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items() if value],
        "extensions": {"websocket.http.response": {}},
    }
    guard = Guard(app, token, LOOPBACK | {"box.local"}, 8000, secure, ("sha256-x",), failed or pytest.fail)
    asyncio.run(guard(scope, receive, send))
    start = next((each for each in sent if each["type"].endswith("response.start")), {})
    found = {key.decode(): value.decode() for key, value in start.get("headers", [])}
    return start.get("status", 0), found, bool(app.asked)


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost:9", "LOCALHOST", "[::1]:8000", "box.local:8000", "127.0.0.1"]
)
def test_this_machine_is_answered(kind: str, host: str) -> None:
    assert ask("/ws", kind=kind, host=host)[::2] == (200, True)
    assert ask("/ws", kind=kind, host=host, origin=f"http://{host.lower()}")[::2] == (200, True)


FOREIGN = [
    "evil.example:8000", "localhost.evil.example", "127.0.0.1@evil.example", "localhost:x", "localhost/a", "", "[::1",
    "192.168.1.5:8000", "2130706433", "localhost:8000:8000", "a b", "localhost?a",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("host", FOREIGN)
def test_another_name_that_leads_here_is_not(kind: str, host: str) -> None:
    status, _, asked = ask("/ws", kind=kind, host=host)
    assert (status, asked) == (421, False)


@pytest.mark.parametrize("path", ["/ws", "/feed"])
@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:8001", "https://127.0.0.1:8000", "http://localhost:8000"],
)
def test_a_page_of_elsewhere_opens_no_websocket(path: str, origin: str) -> None:
    status, _, asked = ask(path, kind="websocket", origin=origin)
    assert (status, asked) == (403, False)


def test_with_a_token_only_who_knows_it_is_answered() -> None:
    for path in ("/ws", "/feed", "/metrics", "/view", "/session/a", "/page", "//page/x", "/ws/../page/"):
        assert ask(path, token=TOKEN)[::2] == (401, False), path
        assert ask(path, token=TOKEN, cookie=COOKIE[:-1])[::2] == (401, False)
        assert ask(path, token=TOKEN, cookie=COOKIE.replace("8000", "8001"))[::2] == (401, False)
        assert ask(path, token=TOKEN, authorization=f"Basic {TOKEN}")[::2] == (401, False)
        assert ask(path, token=TOKEN, query=f"token={TOKEN}")[::2] == (401, False), "it would stay in the address"
        assert ask(path, token=TOKEN, cookie=f"a=b; {COOKIE}")[::2] == (200, True)
        assert ask(path, token=TOKEN, authorization=f"bearer {TOKEN}")[::2] == (200, True)
    assert ask("/page/main.js", token=TOKEN)[::2] == (200, True)
    assert ask("/", token=TOKEN)[::2] == (401, False)
    assert ask("/", token=TOKEN, query="token=another")[::2] == (401, False)


def test_the_token_of_the_address_becomes_a_cookie_that_no_script_reads() -> None:
    status, headers, asked = ask("/", token=TOKEN, query=f"token={TOKEN}")
    assert (status, asked, headers["location"]) == (303, False, "/")
    parts = headers["set-cookie"].split("; ")
    assert parts[0] == COOKIE
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(parts)
    assert "Secure" not in parts
    assert "Secure" in ask("/", token=TOKEN, secure=True, query=f"token={TOKEN}")[1]["set-cookie"]
    # Led there by another page, a browser does not bring the cookie along on the way, but on all that follows.
    assert ask("/", token=TOKEN, sec_fetch_site="cross-site")[::2] == (200, True)
    assert ask("/metrics", token=TOKEN, sec_fetch_site="cross-site")[::2] == (401, False)


def test_with_a_token_every_address_of_this_machine_will_do() -> None:
    assert ask("/page/a", token=TOKEN, host="192.168.1.5:8000")[0] == 200
    assert ask("/page/a", token=TOKEN, host="[fe80::1]:8000")[0] == 200
    assert ask("/page/a", token=TOKEN, host="evil.example:8000")[0] == 421


@pytest.mark.parametrize("path", ["/", "/ws"])
def test_every_answer_forbids_what_the_page_does_not_do(path: str) -> None:
    for status in (200, 401):
        given, headers, _ = ask(path, token=TOKEN, secure=True, cookie=COOKIE if status == 200 else "")
        assert given == status
        policy = dict(each.split(" ", 1) for each in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'self'"
        assert policy["script-src"] == "'self' 'sha256-x'"
        assert policy["connect-src"] == "'self' wss://127.0.0.1:8000"
        assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["permissions-policy"].startswith("camera=(self), microphone=()")
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_an_error_of_the_application_is_told_and_stays_here() -> None:
    told: list[BaseException] = []
    error = ValueError("broken")
    assert ask("/ws", kind="websocket", app=App(error), failed=told.append)[2]
    assert told == [error]
    ask("/ws", kind="websocket", app=App(ConnectionResetError()), failed=told.append)
    assert told == [error]


def test_scripts_within_a_page_are_known_by_their_hashes(tmp_path: Path) -> None:
    script = '{"imports": {"a": "b"}}'
    page = f'<script type="importmap">{script}</script>\n<script type="module" src="page/main.js"></script>'
    (tmp_path / "index.html").write_text(page)
    expected = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert inline_scripts(tmp_path) == (f"sha256-{expected}",)


def test_a_pace_lets_a_second_of_it_through_at_once() -> None:
    now = 100.0
    pace = Pace(10, lambda: now)
    assert [pace.wait() for _ in range(10)] == [0.0] * 10
    assert [round(pace.wait(), 6) for _ in range(3)] == [0.1, 0.2, 0.3]
    now += 0.3
    assert round(pace.wait(), 6) == 0.1
    now += 60
    assert [pace.wait() for _ in range(10)] == [0.0] * 10
    assert pace.wait() > 0
