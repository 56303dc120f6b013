import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from ferlab.live.frame import Faces, Frame
from ferlab.live.parts import Tuning
from ferlab.live.pipeline import Seen
from ferlab.live.smooth import PRESETS, Shown
from ferlab.live.web import protocol
from ferlab.live.web.protocol import MessageError

NOW = Tuning(PRESETS["stable"], 0.6, 40)


def test_a_frame_is_an_id_a_time_and_a_jpeg() -> None:
    sent = protocol.frame_of(struct.pack("<Id", 7, 1.25) + b"jpeg", 3.0)
    assert (sent.number, sent.time, bytes(sent.jpeg), sent.came) == (7, 1.25, b"jpeg", 3.0)
    for time in (float("nan"), float("inf"), -0.01, 1e10):
        with pytest.raises(MessageError, match="time must be seconds from 0") as caught:
            protocol.frame_of(struct.pack("<Id", 7, time) + b"jpeg", 3.0)
        assert protocol.error(caught.value)["id"] == 7
    with pytest.raises(MessageError, match="header of 12 bytes and a JPEG, got 12"):
        protocol.frame_of(struct.pack("<Id", 7, 1.25), 3.0)


NOTHING = [
    "", "nothing", "[1]", "{}", '{"type": 1}', '{"type": "stop", "at": NaN}', "[" * 60_000, "1" * 9_000,
    '{"type": "' + "x" * 2**16 + '"}',
]  # fmt: skip


@pytest.mark.parametrize("text", NOTHING, ids=range(len(NOTHING)))
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(MessageError) as caught:
        protocol.message_of(text)
    assert len(protocol.encoded(protocol.error(caught.value))) < 300


def test_settings_change_what_they_name_alone() -> None:
    changed = protocol.tuned({"type": "settings", "smooth": {"window": 1, "filter": None}}, NOW, PRESETS)
    assert (changed.smoothing.window, changed.smoothing.filter) == (1, PRESETS["stable"].filter)
    assert (changed.score, changed.smallest) == (0.6, 40)
    again = protocol.tuned({"preset": "raw", "smooth": None, "score": 0.5, "smallest": 12}, changed, PRESETS)
    assert again == Tuning(PRESETS["raw"], 0.5, 12)
    assert protocol.settings(again, PRESETS)["preset"] == "raw"
    assert protocol.settings(changed, PRESETS)["preset"] is None
    assert protocol.tuned({"type": "settings"}, changed, PRESETS) == changed


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"preset": "stabel"}, "did you mean 'stable'"),
        ({"preset": "/etc/smooth.json"}, "unknown preset"),
        ({"preset": ["raw"]}, "unknown preset"),
        ({"smooth": []}, "smooth must be an object"),
        ({"smooth": {"windw": 1}}, "did you mean 'window'"),
        ({"smooth": {"window": "1"}}, "window must be a number"),
        ({"smooth": {"window": True}}, "window must be a number"),
        ({"smooth": {"window": -1}}, "window must be from 0 to 60 seconds, got -1"),
        ({"smooth": {"filter": "mean"}}, "unknown filter 'mean'"),
        ({"smooth": {"filter": {"a": 1}}}, "unknown filter"),
        ({"score": 0}, "score must be above 0"),
        ({"score": 10**400}, "score must be a number"),
        ({"smallest": 0}, "smallest must be from 1"),
        ({"scor": 1}, "did you mean 'score'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(message: dict, said: str) -> None:
    with pytest.raises(MessageError, match=said) as caught:
        protocol.tuned(message, NOW, PRESETS)
    assert caught.value.about == "settings"


def test_a_start_says_what_begins() -> None:
    assert protocol.start_of({"type": "start", "source": "video", "mirrored": True}) == ("video", True)
    for message in ({"source": "film", "mirrored": True}, {"source": "camera", "mirrored": 1}, {"mirrored": True}):
        with pytest.raises(MessageError):
            protocol.start_of(message)


def test_an_answer_has_every_label_and_a_name_only_where_one_is_asked() -> None:
    faces = Faces.found(np.array([[1, 2, 30, 40]]))
    faces = replace(faces, ids=np.array([3]), answers={"expression": np.array([[0.3, 0.5, 0.2]])})
    frame = Frame(0, 2.0, np.zeros((48, 64, 3), np.uint8))
    seen = Seen(frame, faces, np.array([[0.9, 0.1, 0.0]]), [Shown(1, False, 0)], ("a", "b", "c"), 1.0, 2.0, 3.0)
    sent = protocol.frame_of(struct.pack("<Id", 9, 2.0) + b"j", 0.0)
    told = protocol.answer(sent, seen, {"queue": 0.1234, "decode": 1.0, "server": 5.0}, False)
    assert {key: told[key] for key in ("type", "id", "time", "width", "height")} == {
        "type": "answer", "id": 9, "time": 2.0, "width": 64, "height": 48,
    }  # fmt: skip
    (face,) = told["faces"]
    assert face["expression"] == {"b": 0.5, "a": 0.3, "c": 0.2}
    assert (face["label"], face["second"], face["unsmoothed"], face["track"]) == ("b", "a", "a", 3)
    assert "name" not in face
    assert told["ms"] == {
        "queue": 0.12, "decode": 1.0, "server": 5.0, "detector": 1.0, "classifier": 2.0, "pipeline": 3.0,
    }  # fmt: skip
    assert protocol.answer(sent, seen, {}, True)["faces"][0]["name"] is None


def test_text_that_is_no_text_can_be_sent() -> None:
    with pytest.raises(MessageError) as caught:
        protocol.tuned(json.loads('{"preset": "\\ud800"}'), NOW, PRESETS)
    assert protocol.encoded(protocol.error(caught.value)).encode()
