"""Who gets a name in the page: into the gallery, and from there to all who look. Haar stands in for YuNet."""

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from websockets.sync.client import connect

from ferlab.errors import DataError
from ferlab.live import parts
from ferlab.live.gallery import Gallery
from ferlab.live.identity import LOOKS
from ferlab.live.keys import make_key, read_key
from ferlab.live.parts import Parts
from ferlab.live.settings import LiveConfig
from ferlab.live.web import enrolment
from ferlab.live.web.address import taken
from ferlab.live.web.serve import Served

from .page import PATIENCE_S, Client
from .test_enroll import Marked, grace

FACE = cv2.imencode(".jpg", grace())[1].tobytes()

pytestmark = pytest.mark.usefixtures("bundle")


@pytest.fixture
def settings(tmp_path: Path, recogniser_file: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Of a page whose gallery is not there yet."""
    found = Marked()
    found.score = found.smallest = 0
    monkeypatch.setattr(parts, "detector", lambda *rest: found)
    return {"bundle": str(tmp_path / "run"), "identity": str(tmp_path / "g.json"), "open": False,
            "identity_file": str(recogniser_file), "out": str(tmp_path / "out"), "record": None}  # fmt: skip


@contextmanager
def served(told: list[str], **settings: Any) -> Iterator[Served]:
    config = LiveConfig(**settings)
    with Served(taken(config), Parts(config, told.append), lambda line: told.append(str(line))) as page:
        yield page


@contextmanager
def client(page: Served) -> Iterator[Client]:
    with connect(f"ws://127.0.0.1:{page.address.port}/ws", max_size=None) as socket:
        yield Client(socket)


def seen(client: Client, begin: float, seconds: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The face in each of ten frames a second, and the other messages meanwhile."""
    faces, others = [], []
    for i in range(round(10 * seconds)):
        client.frame(i, begin + i / 10, FACE)
        while (message := client.told())["type"] != "answer":
            others.append(message)
        faces += message["faces"]
    return faces, others


def enroll(client: Client, track: Any, name: Any) -> None:
    client.socket.send(json.dumps({"type": "enroll", "track": track, "name": name}))


def test_a_name_is_in_the_gallery_and_everywhere_at_once(tmp_path: Path, settings) -> None:
    told: list[str] = []
    with served(told, **settings) as page, client(page) as one, client(page) as two:
        assert one.hello["can"]["enroll"]
        assert "is new: nobody is known" in told[0]
        track = seen(one, 0.0, 0.5)[0][-1]["track"]
        assert seen(two, 0.0, 2.0)[0][-1]["name"] is None  # it was looked at five times, and nobody was known
        one.says("record", on=True)
        folder = Path(one.told()["folder"])
        enroll(one, track, " Grace  <b>Hopper</b> ")
        faces, others = seen(one, 1.0, 1.5)
        assert others == [{"type": "enrolled", "name": "Grace <b>Hopper</b>", "faces": LOOKS}]
        assert faces[0]["name"] is None
        assert faces[-1]["name"] == "Grace <b>Hopper</b>"
        assert seen(two, 2.1, 3.0)[0][-1]["name"] == "Grace <b>Hopper</b>"
        with client(page) as three:
            assert seen(three, 0.0, 1.0)[0][-1]["name"] == "Grace <b>Hopper</b>"
    file = tmp_path / "g.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Gallery.load(file, None).people["Grace <b>Hopper</b>"].shape == (LOOKS, 16)
    assert "Grace" not in "".join(path.read_text() for path in folder.iterdir())  # names=false


def test_an_encrypted_gallery_keeps_what_others_added_meanwhile(tmp_path: Path, settings) -> None:
    key = tmp_path / "key"
    with served([], **settings, key_file=str(key), names=True) as page, client(page) as one:
        track = seen(one, 0.0, 0.5)[0][-1]["track"]
        other = Gallery(page.site.parts.gallery.recogniser).add("Bob", np.eye(1, 16, dtype=np.float32))
        other.save(tmp_path / "g.json", make_key(key))
        one.says("record", on=True)
        folder = Path(one.told()["folder"])
        enroll(one, track, "Grace")
        assert seen(one, 1.0, 1.5)[1][0]["type"] == "enrolled"
    assert b"Grace" not in (tmp_path / "g.json").read_bytes()
    assert set(Gallery.load(tmp_path / "g.json", read_key(key)).people) == {"Bob", "Grace"}
    assert '"name": "Grace"' in (folder / "frames.jsonl").read_text()  # names=true


def test_what_cannot_be_enrolled_is_told(tmp_path: Path, settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolment, "GIVE_UP_S", 0.3)
    with served([], **settings) as page, client(page) as one:
        for track, name, said in [
            (0, "  ", "name must have 1 to 100 characters, got 0"), (0, "x" * 101, "got 101"), (0, None, "got 0"),
            ("0", "A", "track must be the number of a face"),
        ]:  # fmt: skip
            enroll(one, track, name)
            error = one.told()
            assert (error["type"], error["about"]) == ("error", "enroll")
            assert said in error["text"]
        enroll(one, 77, "A")
        enroll(one, 78, "B")
        assert one.told()["text"] == "face 77 is being enrolled; wait a moment"
        late = json.loads(one.socket.recv(PATIENCE_S))
        assert "face 77 must be seen 5 times within 0.3 s, at least 60 pixels large, got 0 looks" in late["text"]
        monkeypatch.setattr(enrolment, "GIVE_UP_S", 60.0)
        monkeypatch.setattr(Gallery, "save", lambda *rest: (_ for _ in ()).throw(DataError("no space left")))
        track = seen(one, 0.0, 0.5)[0][-1]["track"]
        enroll(one, track, "A")
        (failed,) = seen(one, 1.0, 1.5)[1]
        assert (failed["about"], failed["text"]) == ("enroll", "no space left")
        assert seen(one, 3.0, 0.2)[0][-1]["name"] is None
    assert not (tmp_path / "g.json").exists()
    with served([], **{**settings, "identity": None, "identity_file": None}) as page, client(page) as one:
        assert not one.hello["can"]["enroll"]
        enroll(one, 0, "A")
        assert "start with identity=gallery.json" in one.told()["text"]


def test_looks_that_are_unlike_each_other_are_refused(settings) -> None:
    made = Parts(LiveConfig(**settings), lambda line: None)
    with pytest.raises(DataError, match=r"must look alike from look to look, got a cosine of 0\.[0-3]"):
        made.enroll("A", np.eye(8, 16, dtype=np.float32))
    assert len(made.gallery) == 0
