"""The messages of the page's WebSocket: what a client may send, and what it is answered."""

import json
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ferlab.errors import ConfigError, FerlabError, suggest
from ferlab.live.parts import Tuning
from ferlab.live.pipeline import Seen
from ferlab.live.session import plain
from ferlab.live.smooth import Smoothing

HEADER = struct.Struct("<Id")  # of a frame: its id, and its time in s; a JPEG follows
FRAME_BYTES = 2 * 2**20  # of a frame with its header
TEXT_BYTES = 64 * 2**10  # of any other message
UNANSWERED = 2  # frames of a client that may wait
LATEST_S = 1e9  # of a frame's time
LARGEST_FACE = 4096  # pixels that `smallest` may ask for
SOURCES = ("camera", "picture", "video")
Tell = Callable[[dict[str, Any]], Awaitable[None]]  # sends a client a message


class MessageError(FerlabError):
    """A message that is not what it must be; it costs no more than that message.

    Args:
        about: the kind of message.
        text: one line.
        number: of the frame.
    """

    def __init__(self, about: str, text: str, number: int | None = None) -> None:
        super().__init__(text)
        self.about, self.number = about, number


@dataclass(frozen=True)
class Sent:
    """A frame as it came.

    Attributes:
        number: the client's id of it.
        time: of its capture, s.
        jpeg: the picture.
        came: when it was here, s of the server's clock.
    """

    number: int
    time: float
    jpeg: memoryview
    came: float


def frame_of(message: bytes, came: float) -> Sent:
    """The frame in a binary message; MessageError if there is none."""
    if len(message) <= HEADER.size:
        raise MessageError("frame", f"a frame must have a header of {HEADER.size} bytes and a JPEG, got {len(message)}")
    number, time = HEADER.unpack_from(message)
    if not 0 <= time < LATEST_S:  # NaN is not
        raise MessageError("frame", f"a frame's time must be seconds from 0, got {time:g}", number)
    return Sent(number, time, memoryview(message)[HEADER.size :], came)


def message_of(text: str) -> dict[str, Any]:
    """A text message; MessageError if it is not an object with a `type`."""
    if len(text) > TEXT_BYTES:
        raise MessageError("message", f"a message must have at most {TEXT_BYTES:,} bytes, got {len(text):,}")
    try:
        found = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise MessageError("message", "a message must be JSON, got something else") from error
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise MessageError("message", 'a message must be an object with a "type", got none')
    return found


def _no_number(name: str) -> float:
    raise ValueError(name)  # NaN and Infinity are Python's own


def start_of(message: Mapping[str, Any]) -> tuple[str, bool]:
    """What source begins, and whether its pictures are shown mirrored; MessageError if it does not say so."""
    _known(message, ("source", "mirrored"), "message")
    source, mirrored = message.get("source"), message.get("mirrored")
    if source not in SOURCES:
        raise MessageError("message", f"a source must be {', '.join(SOURCES)}, got {shown(source)}")
    if not isinstance(mirrored, bool):
        raise MessageError("message", f"mirrored must be true or false, got {shown(mirrored)}")
    return str(source), mirrored


def tuned(message: Mapping[str, Any], now: Tuning, presets: Mapping[str, Smoothing]) -> Tuning:
    """What a message of settings makes of those at hand: what it leaves out, or gives as null, stays.

    Args:
        message: its `smooth` changes its `preset`.
        now: the settings at hand.
        presets: those that may be named; a client names no file.

    Raises:
        MessageError: a key or a value that means nothing.
    """
    _known(message, ("preset", "smooth", "score", "smallest"), "settings")
    name, smooth = message.get("preset"), message.get("smooth")
    smooth = {} if smooth is None else smooth
    if name is not None and (not isinstance(name, str) or name not in presets):
        raise MessageError("settings", f"unknown preset {shown(name)}; {suggest(str(name)[:40], presets)}")
    if not isinstance(smooth, dict):
        raise MessageError("settings", f"smooth must be an object, got {shown(smooth)}")
    _known(smooth, [each.name for each in fields(Smoothing)], "settings")
    given = {key: value for key, value in smooth.items() if value is not None}
    changed: dict[str, Any] = {k: str(v) if k == "filter" else _number(k, v) for k, v in given.items()}
    score, smallest = (
        getattr(now, key) if message.get(key) is None else _number(key, message[key]) for key in ("score", "smallest")
    )
    if not 0 < score <= 1:
        raise MessageError("settings", f"score must be above 0 and at most 1, got {score:g}")
    if not 1 <= smallest <= LARGEST_FACE:
        raise MessageError("settings", f"smallest must be from 1 to {LARGEST_FACE} pixels, got {smallest:g}")
    try:
        smoothing = replace(now.smoothing if name is None else presets[name], **changed)
    except ConfigError as error:
        raise MessageError("settings", str(error)) from error
    return Tuning(smoothing, score, round(smallest))


def settings(tuning: Tuning, presets: Mapping[str, Smoothing]) -> dict[str, Any]:
    """The settings at hand, as `hello` and the answer to a message of settings have them."""
    name = next((name for name, each in presets.items() if each == tuning.smoothing), None)
    smooth = asdict(tuning.smoothing)
    return {"preset": name, "smooth": smooth, "score": tuning.score, "smallest": tuning.smallest}


def answer(sent: Sent, seen: Seen, spans: Mapping[str, float], names: bool) -> dict[str, Any]:
    """What is known of a frame.

    Args:
        sent: the frame.
        seen: what was found in it.
        spans: of `queue`, `decode` and `server`, ms.
        names: whether to say who it is.
    """
    took = {"detector": seen.detector_ms, "classifier": seen.classifier_ms, "pipeline": seen.pipeline_ms}
    return {"type": "answer", "id": sent.number, "time": sent.time, **content(seen, {**spans, **took}, names)}


def content(seen: Seen, ms: Mapping[str, float], names: bool) -> dict[str, Any]:
    """What is known of a frame, of whatever source."""
    height, width = seen.frame.image.shape[:2]
    faces = plain(seen, len(seen.names), names)["faces"]
    return {"width": width, "height": height, "faces": faces, "ms": {name: round(v, 2) for name, v in ms.items()}}


def error(failed: MessageError) -> dict[str, Any]:
    """What is sent of a message that could not be taken."""
    return {"type": "error", "about": failed.about, "id": failed.number, "text": " ".join(str(failed).split())[:300]}


def encoded(message: Mapping[str, Any]) -> str:
    """A message as text."""
    return json.dumps(message, allow_nan=False, separators=(",", ":"))  # ASCII: half a surrogate is no UTF-8


def _known(message: Mapping[str, Any], keys: "list[str] | tuple[str, ...]", about: str) -> None:
    if unknown := message.keys() - {*keys, "type"}:
        name = min(unknown)
        raise MessageError(about, f"unknown key {shown(name)}; {suggest(name[:40], keys)}")


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LATEST_S:
        raise MessageError("settings", f"{key} must be a number, got {shown(value)}")
    return value


def shown(value: Any) -> str:
    """What came, short enough for an error."""
    return json.dumps(value)[:40]
