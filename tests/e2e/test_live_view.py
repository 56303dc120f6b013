"""The session viewer's server, through its command; what its page does is in tests/browser."""

import http.client
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ferlab.cli import main

from .page import PATIENCE_S, Page, served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM for one process there")
HEADER = "frame,time,track,left,top,width,height,score,label,confidence,uncertain,second,unsmoothed,sad,happy"
VIDEO = bytes(range(256)) * 40


def write(folder: Path, **summary: object) -> Path:
    """A session of two frames and a face, whose video is no video, and files that nobody is to have."""
    folder.mkdir()
    row = "0,0,3,1,2,30,40,0.9,happy,0.75,false,,sad,0.25,0.75"
    (folder / "frames.csv").write_text(f"{HEADER}\n{row}\n")
    line = {"frame": 0, "time": 0.0, "faces": [], "end_to_end_ms": 12.5}
    lines = [json.dumps(line), json.dumps(line | {"frame": 4, "time": 0.5})]
    (folder / "frames.jsonl").write_text("\n".join([*lines, ""]))
    (folder / "session.json").write_text(json.dumps(summary))
    (folder / "annotations.csv").write_text(
        "kind,start,end,track,label\nlabel,0,,3,sad\nlabel,0,0.2,,happy\nevent,0.1,,,<b>\n"
    )
    (folder / "video.mp4").write_bytes(VIDEO)
    (folder / "secret.txt").write_text("secret")
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("view")
    hostile = {"ended": "</script>\x1b[2J", "video": "../../secret.txt", "kept": {"video": {"file": "secret.txt"}}}
    write(folder / "s", **hostile, picture=[80, 1e9])
    with served(folder, f"view={folder / 's'}") as started:
        yield started
        assert started.end()[0] == 0
        assert "failed" not in started.rest()


def fetched(page: Page, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
    connection.request("GET", path, headers={key.replace("_", "-"): value for key, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {key.lower(): value for key, value in answer.getheaders()}, content


def test_a_session_as_the_page_takes_it(page: Page) -> None:
    assert fetched(page, "/")[1]["location"] == "/view"
    assert b"viewer.js" in fetched(page, "/view")[2]
    status, headers, content = fetched(page, "/session/about.json")
    assert (status, headers["content-type"], headers["x-content-type-options"]) == (200, "application/json", "nosniff")
    about = json.loads(content)
    assert about["labels"] == ["sad", "happy"]
    assert about["summary"][0] == ["ended", "</script>\\x1b[2J"]
    assert about["picture"] == [640, 480]  # what session.json says is nonsense
    assert about["annotations"]["events"] == [[0.1, "<b>"]]
    assert sorted(map(str, about["annotations"]["labels"])) == ["[0.0, 0.2, None, 1]", "[0.0, 1000000.0, 3, 0]"]
    numbers = fetched(page, "/session/columns.bin")[2]
    read = {
        (each["of"], each["name"]): np.frombuffer(
            numbers, np.dtype(each["kind"].removesuffix("Array").lower()), each["count"], each["at"]
        ).tolist()
        for each in about["columns"]
    }  # fmt: skip
    assert read[("frames", "time")] == [0, 0.5]
    assert read[("frames", "number")] == [0, 4]
    assert read[("frames", "first")] == [0, 1]
    assert read[("faces", "box")] == [1, 2, 30, 40]
    assert read[("faces", "label")] == [1]
    assert [round(each / 65535, 4) for each in read[("faces", "shares")]] == [0.25, 0.75]
    assert all(each["at"] % 8 == 0 for each in about["columns"])


def test_the_video_is_read_in_ranges(page: Page) -> None:
    status, headers, content = fetched(page, "/session/video.mp4")
    assert (status, headers["content-type"], headers["accept-ranges"], content) == (200, "video/mp4", "bytes", VIDEO)
    status, headers, content = fetched(page, "/session/video.mp4", Range="bytes=300-309")
    assert (status, content) == (206, VIDEO[300:310])
    assert headers["content-range"] == f"bytes 300-309/{len(VIDEO)}"
    assert fetched(page, "/session/video.mp4", Range="bytes=-5")[2] == VIDEO[-5:]
    assert fetched(page, "/session/video.mp4", Range="bytes=99999999-")[0] == 416


@pytest.mark.parametrize(
    "path",
    [
        "/session/secret.txt", "/session/frames.csv", "/session/../s/secret.txt", "/session/%2e%2e/s/secret.txt",
        "/session/", "/secret.txt", "/page/../../../../../../etc/hostname", "/page/%2e%2e/serve.py", "/ws", "/feed",
        "/session/video.mkv", "//etc/hostname",
    ],
)  # fmt: skip
def test_nothing_else_is_served(page: Page, path: str) -> None:
    assert fetched(page, path)[0] in (404, 405)


def test_pages_of_elsewhere_are_not_answered(page: Page) -> None:
    assert fetched(page, "/session/about.json", Origin="http://evil.example")[0] == 403
    assert fetched(page, "/session/columns.bin", Host="evil.example")[0] == 421


def test_a_video_that_becomes_a_link_is_not_followed(page: Page, tmp_path: Path) -> None:
    video = Path(page.process.args[-1].removeprefix("view=")) / "video.mp4"
    video.rename(video.with_name("kept"))
    os.symlink(video.parent / "secret.txt", video)
    try:
        assert fetched(page, "/session/video.mp4")[0] == 404
    finally:
        video.unlink()
        video.with_name("kept").rename(video)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["view=nowhere"], 1, "session must be a folder of ferlab live, got nowhere"),
        (["view=sealed"], 1, "got an encrypted one; ferlab live decrypt session=sealed key=… out=… writes one"),
        (["view=s", "source=0"], 2, "source must be left out with view, which watches nothing, got 0"),
        (["view=s", "out=x"], 2, "out must be left out with view"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, monkeypatch, capsys, words, code, said) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "s")
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed" / "session.sealed").write_bytes(b"")
    assert main(["live", "open=false", *words]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
