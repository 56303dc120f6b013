"""The page's server through its command, with real sockets; what the page itself does is in tests/browser."""

import http.client
import json
import os
import random
import re
import signal
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import ferlab
from ferlab.cli import main
from ferlab.live.settings import LiveConfig
from ferlab.live.web import lan
from ferlab.live.web.address import taken

from .page import PATIENCE_S, Client, Page, jpeg, picture, served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """With the model in the box; every picture is one face. At its end it must have said nothing but its last line."""
    with served(tmp_path_factory.mktemp("page"), "detect=none") as started:
        yield started
        code, _ = started.end(signal.SIGTERM)
        told = [line for line in started.rest().splitlines() if not line.startswith("Corrupt JPEG")]  # libjpeg's own
    assert code == 0, told
    assert [line.split()[0] for line in told] == ["model", "faces", "page", "Ctrl-C", "seen"], told


def fetched(
    page: Page, path: str, context: ssl.SSLContext | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and content of an answer, with TLS if there is a context."""
    kind = http.client.HTTPConnection if context is None else partial(http.client.HTTPSConnection, context=context)
    with closing(kind("127.0.0.1", page.port, timeout=PATIENCE_S)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()


def closed(socket: Any, code: int | None = None) -> int:
    """The code with which a socket is closed, by the server or with `code`; what comes before that is not looked at."""
    if code is not None:
        socket.close(code)
    try:
        while True:
            socket.recv(PATIENCE_S)
    except ConnectionClosed:
        return socket.close_code


def refused(connecting: Callable[[], Any]) -> int:
    """The status with which no WebSocket is opened."""
    try:
        with connecting():
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def upgraded(page: Page, path: str, host: str) -> int:
    """The status of a WebSocket's handshake with this host, which its client does not let one choose."""
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    headers = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", **key}
    return fetched(page, f"/{path}", None, **headers)[0]


def counted(page: Page) -> dict[str, float]:
    """What /metrics says, by name with labels."""
    status, headers, content = fetched(page, "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    samples = [line.rsplit(" ", 1) for line in content.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in samples}


def test_answers_are_those_of_ferlab_live(page: Page, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    jpegs = [jpeg(seed) for seed in range(8)]
    for number, content in enumerate(jpegs):
        (tmp_path / "frames" / f"{number}.jpg").write_bytes(content)
    expected = list(ferlab.live(source=tmp_path / "frames", fps=10, detect="none"))
    with page.client() as client:
        hello = client.hello
        assert hello["labels"] == list(expected[0].names)
        assert (hello["model"]["name"], hello["model"]["size"], hello["affect"]) == ("ferplus_int8", 48, False)
        assert hello["model"]["card"].startswith("# ferplus")
        assert re.fullmatch("[0-9a-f]{64}", hello["model"]["digest"])
        assert hello["detector"] == {"name": "none", "side": 640}
        assert hello["can"]["source"] == "page"
        assert (hello["settings"]["preset"], set(hello["presets"])) == ("stable", {"raw", "fast", "stable"})
        client.says("start", source="camera", mirrored=True)
        client.frame(100, 0.0, jpegs[0])
        for number in range(1, 8):  # two on their way, as the page does it
            client.frame(100 + number, number / 10, jpegs[number])
            assert_same(client.told(), expected[number - 1], 99 + number)
        assert_same(client.told(), expected[7], 107)
    assert len({seen.people[0].unsmoothed for seen in expected}) > 1


def assert_same(answer: dict[str, Any], seen: Any, number: int) -> None:
    """An answer says what `ferlab.live` said of the same picture."""
    (face,), (person,) = answer["faces"], seen.people
    assert (answer["type"], answer["id"], answer["time"]) == ("answer", number, pytest.approx(seen.frame.time))
    assert (answer["height"], answer["width"]) == seen.frame.image.shape[:2]
    assert face["box"] == [round(value, 1) for value in person.box]
    assert face["expression"] == {name: round(share, 4) for name, share in person.expression.items()}
    for key in ("track", "label", "uncertain", "second", "unsmoothed"):
        assert face[key] == getattr(person, key)
    assert set(answer["ms"]) == {"queue", "decode", "detector", "classifier", "pipeline", "server"}


def test_settings_change_while_it_runs_and_faces_stay_who_they_are(page: Page) -> None:
    with page.client() as client:
        for number in range(3):
            first = client.answer(number, number / 30, jpeg(1))
        second = client.answer(3, 0.1, jpeg(2))["faces"][0]
        assert second["label"] == first["faces"][0]["label"] != second["unsmoothed"]
        client.says("settings", preset="raw", score=0.7)
        told = client.told()
        assert (told["type"], told["preset"], told["score"], told["smallest"]) == ("settings", "raw", 0.7, 40)
        third = client.answer(4, 0.14, jpeg(2))["faces"][0]
        assert (third["label"], third["track"]) == (third["unsmoothed"], second["track"])
        client.says("settings", preset="stabel")
        told = client.told()
        assert (told["type"], told["about"]) == ("error", "settings")
        assert "did you mean 'stable'" in told["text"]
        assert client.answer(5, 0.1, jpeg(2))["text"].startswith("a frame's time must not go back")
        client.says("stop")
        client.says("start", source="picture", mirrored=False)
        assert client.answer(6, 0.0, jpeg(2))["faces"][0]["track"] == 0
    with page.client() as other:
        assert other.hello["settings"]["preset"] == "stable"


def test_what_is_seen_can_be_listened_to_and_counted(page: Page) -> None:
    before = counted(page)
    with page.socket("feed") as feed, page.client() as client:
        answers = [client.answer(number, number, jpeg(number)) for number in range(2)]
        assert counted(page)["ferlab_clients"] == 1
        heard = json.loads(feed.recv(PATIENCE_S))
        assert heard.pop("client") > 0
        assert heard in answers
        feed.send("hello")
        assert closed(feed) == 1008
    after = counted(page)
    label = answers[0]["faces"][0]["label"]
    assert after["ferlab_frames_total"] == before["ferlab_frames_total"] + 2
    name = f'ferlab_labels_total{{label="{label}"}}'
    assert after[name] > before.get(name, 0)
    name = 'ferlab_stage_milliseconds_count{stage="server"}'
    assert after[name] == before[name] + 2


def test_only_this_page_is_answered(page: Page) -> None:
    own = f"http://127.0.0.1:{page.port}"
    for path in ("ws", "feed"):
        assert refused(partial(page.socket, path, origin="http://evil.example")) == 403
        for host in ("evil.example", f"evil.example:{page.port}"):
            assert upgraded(page, path, host) == 421
        assert upgraded(page, path, f"localhost:{page.port}") == 101
        with page.socket(path, origin=own) as socket:
            assert closed(socket, 1000) == 1000
    for path in ("/", "/metrics", "/page/index.html"):
        assert fetched(page, path, Host="evil.example")[0] == 421
        status, headers, _ = fetched(page, path)
        assert status == 200
        assert "default-src 'self'" in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
        assert "server" not in headers
    assert fetched(page, "/page/../../../../../../../../etc/passwd")[0] == 404
    assert fetched(page, "/page/%2e%2e/app.py")[0] == 404


def test_one_who_floods_is_let_go_and_others_are_answered(page: Page) -> None:
    large = jpeg(1, 700, 900)
    ends: list[int] = []

    def flood(message: bytes | str) -> None:
        with page.socket() as socket:
            try:
                while True:
                    socket.send(message)
            except ConnectionClosed as closed:
                ends.append(closed.rcvd.code if closed.rcvd else 0)

    frame = struct.pack("<Id", 1, 0.0) + large
    messages: list[bytes | str] = [frame, "nonsense" * 1000, struct.pack("<Id", 1, -1) + large]
    floods = [threading.Thread(target=flood, args=[each], daemon=True) for each in messages]
    with page.client() as client:
        for each in floods:
            each.start()
        for number in range(40):
            assert client.answer(number, number / 30, jpeg(number))["id"] == number
        for each in floods[1:]:
            each.join(PATIENCE_S)
        assert ends.count(1008) >= 2
        assert client.answer(40, 10.0, jpeg(1))["type"] == "answer"


def test_nothing_that_is_sent_ends_it(page: Page) -> None:
    rng = random.Random(0)
    whole = jpeg(3, 120, 160)
    values = [None, True, -1, 1e308, "x" * 50, "\ud800", [], {}, [[]], {"type": {}}]
    kinds = ["start", "stop", "settings", "record", "hello", "", "\x00", "__class__"]
    keys = ["source", "mirrored", "preset", "smooth", "score", "smallest", "on", "type"]

    def text() -> str:
        return json.dumps({"type": rng.choice(kinds)} | {rng.choice(keys): rng.choice(values) for _ in range(2)})

    def binary() -> bytes:
        header = struct.pack("<Id", rng.randrange(2**32), rng.choice([0.0, 1e300, float("nan"), -0.0, 5.0]))
        cut = bytearray(whole[: rng.randrange(len(whole))] + rng.choice([b"", b"\xff\xd9"]))
        for _ in range(rng.randrange(4)):
            cut[rng.randrange(len(cut) + 1) : 0] = rng.randbytes(2)
        return rng.choice([header + bytes(cut), header[: rng.randrange(12)], rng.randbytes(rng.randrange(300))])

    bomb = bytearray(whole)
    struct.pack_into(">HH", bomb, bomb.index(b"\xff\xc0") + 5, 65500, 65500)
    before = page.kilobytes() if sys.platform == "linux" else 0
    for _ in range(12):
        with page.socket() as fuzzed:
            try:
                fuzzed.send(struct.pack("<Id", 1, 0.0) + bytes(bomb))
                for _ in range(30):
                    fuzzed.send(text() if rng.random() < 0.5 else binary())
                    fuzzed.recv(0.02)
            except (ConnectionClosed, TimeoutError):
                pass
    with page.socket() as fuzzed:
        with suppress(ConnectionClosed):
            fuzzed.send(bytes(2**21 + 1))
        assert closed(fuzzed) == 1009
    with page.client() as client:
        assert client.answer(1, 0.0, whole)["type"] == "answer"
        assert client.answer(2, 0.1, bytes(bomb))["text"].endswith("got 65500×65500")
        assert client.answer(3, 0.2, whole)["type"] == "answer"
    if sys.platform == "linux":
        assert page.kilobytes() - before < 100_000


def test_half_of_a_request_keeps_nobody_waiting(page: Page) -> None:
    halves = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(20)]
    for number, half in enumerate(halves):
        half.sendall([b"GET / HT", b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"\x16\x03\x01", b""][number % 4])
    with page.client() as client:
        assert client.answer(1, 0.0, jpeg(1))["type"] == "answer"
        client.socket.socket.shutdown(socket.SHUT_RDWR)  # gone without a word
    for half in halves:
        half.settimeout(PATIENCE_S)
        assert len(half.recv(1000)) in (0, *range(50, 1000))  # closed in time, or told that it is no request
        half.close()
    with page.client() as client:
        assert client.answer(1, 0.0, jpeg(1))["type"] == "answer"


def test_a_ninth_page_is_told_why_it_gets_no_answer(page: Page) -> None:
    with ExitStack() as held:
        clients = [Client(held.enter_context(page.socket())) for _ in range(8)]
        with page.socket() as ninth:
            assert "at most 8 pages" in json.loads(ninth.recv(PATIENCE_S))["text"]
            assert closed(ninth) == 1013
        assert clients[7].answer(1, 0.0, jpeg(1))["type"] == "answer"
    deadline = time.monotonic() + PATIENCE_S
    while counted(page)["ferlab_clients"]:
        assert time.monotonic() < deadline


def test_a_port_in_use_and_other_mistakes_are_one_line(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        ([f"port={page.port}"], f"port={page.port}: Address already in use; give another, or port=0"),
        (["port=70000"], "port must be from 0 to 65535, got 70000"),
        (["prot=1"], "did you mean 'port'"),
        (["source=0", "port=8000"], "port must go with a page, got source=0; add page=true"),
        (["seconds=3"], "seconds must go with a camera or a file of this machine, got source=page"),
        (["out=-"], "its lines are at /feed"),
    ):
        assert main(["live", *words]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_ctrl_c_ends_it_at_once_whoever_is_there(tmp_path: Path) -> None:
    with served(tmp_path, "detect=none") as page, page.client() as client, page.socket("feed"):
        assert client.answer(1, 0.0, jpeg(1))["type"] == "answer"
        for number in (2, 3):
            client.frame(number, 1.0, jpeg(1, 700, 900))
        code, seconds = page.end()
        busy = os.getloadavg()[0] / (os.cpu_count() or 1)
        assert code == 0
        assert seconds < 3 * max(1.0, busy)
        told = page.rest()
        assert "Traceback" not in told
        assert re.search(r"seen +[123] frames? of 1 page, [123] faces?; 0 messages refused", told)
        assert closed(client.socket) in (1006, 1012)
        taken(LiveConfig(port=page.port)).socket.close()  # it can be started again right away
    assert list(tmp_path.iterdir()) == []


def test_a_phone_needs_the_token_and_gets_encryption(tmp_path: Path) -> None:
    for package in ("segno", "cryptography"):
        pytest.importorskip(package, reason=f"no {package}: pip install 'ferlab[lan]'")
    if not lan.addresses():
        pytest.skip("this machine has no address but its own")
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    with served(tmp_path, "detect=none", "lan=true") as page:
        address = urlsplit(page.url)
        assert (address.scheme, address.hostname) == ("https", lan.addresses()[0])
        token = address.query.removeprefix("token=")

        def get(path: str, **headers: str) -> tuple[int, dict[str, str]]:
            return fetched(page, path, unchecked, **headers)[:2]

        assert [get(path)[0] for path in ("/", "/metrics", f"/?token={token}x")] == [401] * 3
        status, headers = get(f"/?token={token}")
        assert (status, headers["location"]) == (303, "/")
        cookie, *rest = headers["set-cookie"].split("; ")
        assert {"HttpOnly", "Secure", "SameSite=strict"} <= set(rest)
        assert get("/metrics", Cookie=cookie)[0] == get("/metrics", Authorization=f"Bearer {token}")[0] == 200
        assert refused(lambda: encrypted(page, unchecked)) == 401
        with encrypted(page, unchecked, Cookie=cookie) as socket:
            assert Client(socket).answer(1, 0.0, jpeg(1))["type"] == "answer"
        with socket_of(page) as plain:  # no TLS
            plain.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"200" not in plain.recv(1000)
        page.end()
        told = page.rest()
    assert "█" in told
    assert re.search("SHA-256 is ([0-9A-F]{2}:){31}[0-9A-F]{2}", told)
    assert "Traceback" not in told


def socket_of(page: Page) -> socket.socket:
    return socket.create_connection(("127.0.0.1", page.port), timeout=PATIENCE_S)


def encrypted(page: Page, context: ssl.SSLContext, **headers: str) -> Any:
    return connect(f"wss://127.0.0.1:{page.port}/ws", ssl=context, additional_headers=headers, open_timeout=PATIENCE_S)


def test_a_video_of_this_machine_is_shown_in_the_page_and_kept(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (80, 60))
    for number in range(12):
        writer.write(picture(number // 4))
    writer.release()
    words = ["detect=none", f"source={tmp_path / 'clip.avi'}", "page=true", f"out={tmp_path / 'session'}"]
    with served(tmp_path, *words) as page:
        with page.client() as client:
            assert client.hello["can"]["source"] == "server"
            client.says("stop")
            said: list[dict[str, Any]] = []
            try:
                while True:
                    said.append(client.told())
                    if said[-1]["type"] == "frame":
                        picture_of_it = client.socket.recv(PATIENCE_S)
                        assert struct.unpack_from("<Id", picture_of_it) == (said[-1]["id"], said[-1]["time"])
                        assert picture_of_it[12:14] == b"\xff\xd8"
            except ConnectionClosed:
                pass
        code, told = page.process.wait(PATIENCE_S), page.rest()
    assert code == 0, told
    lines = [json.loads(line) for line in (tmp_path / "session" / "frames.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(12))
    frames = [each for each in said if each["type"] == "frame"]
    assert len(frames) > 1
    for each in frames:
        (face,), (kept,) = each["faces"], lines[each["id"]]["faces"]
        assert (face["label"], face["confidence"], face["track"]) == (kept["label"], kept["confidence"], kept["track"])
        assert (each["width"], each["height"]) == (80, 60)
    assert "takes no messages" in next(each["text"] for each in said if each["type"] == "error")
    assert "seen    12 frames" in told
    assert "face 0" not in told
