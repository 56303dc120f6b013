"""Pictures of a client: checked by their headers, and only then decoded. Plain JPEGs, as canvases write them."""

import struct

import cv2
import numpy as np

from ferlab.live.web.protocol import MessageError, Sent
from ferlab.spec import Image

SIDE, PIXELS = 4096, 8_000_000  # of a picture, at most
SCANS = 8  # a plain JPEG has one to four; each passes over all of the picture, though it may have but ten bytes
SEQUENTIAL = (0xC0, 0xC1)  # starts of a frame; a progressive one may have thousands of scans
OTHERS = (*range(0xC2, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
ALONE = (0x00, 0x01, *range(0xD0, 0xDB))  # markers without a length, and the scan: none comes before the size


def decoded(sent: Sent) -> Image:
    """The picture of a frame, (h, w, 3) uint8 RGB; MessageError for what is no JPEG, or too large a one."""
    width, height = size(sent)
    if max(width, height) > SIDE or width * height > PIXELS:
        what = f"at most {SIDE:,} pixels a side and {PIXELS / 1e6:g} megapixels"
        raise MessageError("frame", f"a frame must have {what}, got {width}×{height}", sent.number)
    image = cv2.imdecode(np.frombuffer(sent.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise MessageError("frame", "a frame must be a JPEG, got one that does not decode", sent.number)
    return np.asarray(image, np.uint8)


def size(sent: Sent) -> tuple[int, int]:
    """Width and height that a JPEG says it has, before anything is decoded; MessageError if it is no plain one.

    Segments are walked as libjpeg walks them, and what it would read in another way is refused, for it might see
    another size then.
    """
    data, at = sent.jpeg, 2
    if bytes(data[:2]) != b"\xff\xd8" or bytes(data[-2:]) != b"\xff\xd9":
        raise MessageError("frame", f"a frame must be a whole JPEG, got {len(data):,} other bytes", sent.number)
    if bytes(data).count(b"\xff\xda") > SCANS:
        raise MessageError("frame", f"a frame must have at most {SCANS} scans, got more", sent.number)
    while at + 9 <= len(data) and data[at] == 0xFF and data[at + 1] not in (*ALONE, *OTHERS):
        if data[at + 1] in SEQUENTIAL:
            height, width = struct.unpack_from(">HH", data, at + 5)
            if not height or not width:
                break
            return width, height
        at += 1 if data[at + 1] == 0xFF else 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    raise MessageError("frame", "a frame must be a sequential JPEG with its size, got another", sent.number)
