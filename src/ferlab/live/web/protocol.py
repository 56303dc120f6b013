"""The messages of the page's WebSocket: what a client may send, and what it is answered."""

import json
import math
import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ferlab.errors import FerlabError
from ferlab.live.pipeline import Seen
from ferlab.live.session import plain
from ferlab.spec import Image

HEADER = struct.Struct("<Id")  # of a frame: its id, and its time in s; a JPEG follows
FRAME_BYTES = 2 * 2**20  # of a frame with its header
TEXT_BYTES = 64 * 2**10  # of any other message
SIDE, PIXELS = 4096, 8_000_000  # of a picture, at most
UNANSWERED = 2  # frames of a client that may wait
SOURCES = ("camera", "picture", "video")


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
    if not (math.isfinite(time) and time >= 0):
        raise MessageError("frame", f"a frame's time must be seconds from 0, got {time}", number)
    return Sent(number, time, memoryview(message)[HEADER.size :], came)


def decoded(sent: Sent) -> Image:
    """The picture of a frame, (h, w, 3) uint8 RGB; MessageError for what is no JPEG, or too large a one."""
    width, height = jpeg_size(sent)
    if max(width, height) > SIDE or width * height > PIXELS:
        what = f"at most {SIDE} pixels a side and {PIXELS / 1e6:g} megapixels"
        raise MessageError("frame", f"a frame must have {what}, got {width}×{height}", sent.number)
    image = cv2.imdecode(np.frombuffer(sent.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise MessageError("frame", "a frame must be a JPEG, got one that does not decode", sent.number)
    return np.asarray(image, np.uint8)


def jpeg_size(sent: Sent) -> tuple[int, int]:
    """Width and height that a JPEG says it has, before anything is decoded; MessageError if it is none."""
    data, at = sent.jpeg, 2
    if bytes(data[:2]) == b"\xff\xd8" and bytes(data[-2:]) == b"\xff\xd9":
        while at + 9 <= len(data) and data[at] == 0xFF:
            kind = data[at + 1]
            if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):  # the start of a frame, of any process
                height, width = struct.unpack_from(">HH", data, at + 5)
                if height and width:
                    return width, height
                break
            at += 1 if kind == 0xFF else 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    raise MessageError("frame", f"a frame must be a whole JPEG, got {len(data):,} other bytes", sent.number)


def message_of(text: str) -> dict[str, Any]:
    """A text message; MessageError if it is not an object with a `type`."""
    if len(text) > TEXT_BYTES:
        raise MessageError("message", f"a message must have at most {TEXT_BYTES:,} bytes, got {len(text):,}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError("message", "a message must be JSON, got something else") from error
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise MessageError("message", 'a message must be an object with a "type", got none')
    return found


def answer(sent: Sent, seen: Seen, queue: float, decode: float, server: float, names: bool) -> dict[str, Any]:
    """What is known of a frame; `queue`, `decode` and `server` are s."""
    height, width = seen.frame.image.shape[:2]
    took = {"queue": 1e3 * queue, "decode": 1e3 * decode, "detector": seen.detector_ms}
    took |= {"classifier": seen.classifier_ms, "pipeline": seen.pipeline_ms, "server": 1e3 * server}
    return {
        "type": "answer",
        "id": sent.number,
        "time": sent.time,
        "width": width,
        "height": height,
        "faces": plain(seen, len(seen.names), names)["faces"],
        "ms": {name: round(value, 2) for name, value in took.items()},
    }


def error(failed: MessageError) -> dict[str, Any]:
    """What is sent of a message that could not be taken."""
    return {"type": "error", "about": failed.about, "id": failed.number, "text": " ".join(str(failed).split())[:300]}


def encoded(message: dict[str, Any]) -> str:
    """A message as text."""
    return json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
