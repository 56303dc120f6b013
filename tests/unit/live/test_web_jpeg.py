import struct

import cv2
import numpy as np
import pytest

from ferlab.live.web.jpeg import PIXELS, SCANS, SIDE, decoded, size
from ferlab.live.web.protocol import MessageError, Sent

PICTURE = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)


def jpeg(image: np.ndarray = PICTURE, *options: int) -> bytes:
    return cv2.imencode(".jpg", image, list(options))[1].tobytes()


def sent(content: bytes) -> Sent:
    return Sent(4, 0.0, memoryview(content), 0.0)


def resized(content: bytes, width: int, height: int) -> bytes:
    """The same file with another size in its header."""
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def test_a_jpeg_is_decoded_as_it_is_from_a_file() -> None:
    content = jpeg()
    assert size(sent(content)) == (50, 30)
    assert np.array_equal(decoded(sent(content)), cv2.imdecode(np.frombuffer(content, np.uint8), 1)[:, :, ::-1])
    assert decoded(sent(jpeg(PICTURE[:, :, 0]))).shape == (30, 50, 3)


def test_what_is_no_plain_jpeg_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("it was decoded")

    content, ends = jpeg(), b"\xff\xd9"
    others = {
        "cut": content[:-2],
        "cut in its header": content[:100] + ends,
        "png": cv2.imencode(".png", PICTURE)[1].tobytes(),
        "empty": b"",
        "nothing in it": b"\xff\xd8" + ends,
        "progressive": jpeg(PICTURE, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "no width": resized(content, 0, 30),
        "too wide": resized(content, SIDE + 1, 30),
        "too large": resized(content, 3000, PIXELS // 3000 + 1),
        "a bomb": resized(content, 65535, 65535),
        "many scans": content[:-2] + b"\xff\xda\x00\x08" * (SCANS + 1) + ends,
    }
    monkeypatch.setattr("ferlab.live.web.jpeg.cv2.imdecode", never)
    for what, each in others.items():
        with pytest.raises(MessageError, match="a frame must ") as caught:
            decoded(sent(each))
        assert (caught.value.about, caught.value.number) == ("frame", 4), what


def test_no_marker_hides_the_size_that_libjpeg_would_see() -> None:
    bomb = resized(jpeg(), 65535, 65535)
    frame = bomb.index(b"\xff\xc0")
    small = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 8, 8) + bytes(10)
    # Read as if TEM had a length, the first bytes of the true frame would be one, and would lead to the small one.
    hidden = bomb[:2] + b"\xff\x01" + bomb[frame:] + bytes(0xFFC0) + small + b"\xff\xd9"
    at = 4 + struct.unpack_from(">H", hidden, 4)[0]
    hidden = hidden[:at] + small + hidden[at:]
    with pytest.raises(MessageError, match="sequential JPEG with its size"):
        size(sent(hidden))


def test_bytes_of_any_kind_are_a_picture_or_refused() -> None:
    rng, content = np.random.default_rng(1), bytearray(jpeg())
    for _ in range(200):
        changed = bytearray(content)
        for at in rng.integers(2, len(content) - 2, 3):
            changed[at] = rng.integers(0, 256)
        try:
            width, height = size(sent(bytes(changed)))
        except MessageError:
            continue
        assert 0 < width < 2**16
        assert 0 < height < 2**16
