import time
from collections.abc import Iterator
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest

from ferlab.errors import DataError, FerlabError
from ferlab.live.camera import Camera, Counts, Hints, open_capture, shown

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


class Scripted:
    """A camera that gives frames as they are told to it, and then ends, hangs or fails."""

    def __init__(self, frames: Iterator[np.ndarray | None]) -> None:
        self.frames, self.released = frames, Event()

    def read(self) -> tuple[bool, np.ndarray | None]:
        image = next(self.frames, None)
        return image is not None, image

    def release(self) -> None:
        self.released.set()


def numbered(count: int, ask: Event | None = None) -> Iterator[np.ndarray]:
    for i in range(count):
        if ask is not None:
            ask.wait(5)
            ask.clear()
        image = PICTURE.copy()
        image[0, 0] = (i, 0, 0)  # blue first, as OpenCV has it
        yield image


def test_frames_are_rgb_and_numbered_and_the_camera_is_let_go() -> None:
    ask = Event()
    capture = Scripted(numbered(3, ask))
    found = []
    with Camera("0", lambda: capture) as camera:
        ask.set()
        for frame in camera:
            found.append(frame)
            ask.set()
    assert [frame.index for frame in found] == [0, 1, 2]
    assert [frame.image[0, 0].tolist() for frame in found] == [[0, 0, i] for i in range(3)]
    assert found[0].time <= found[1].time <= found[2].time
    assert capture.released.wait(1)
    assert (camera.counts.captured, camera.counts.dropped) == (3, 0)


def test_a_slow_consumer_gets_the_newest_and_the_others_are_counted() -> None:
    capture = Scripted(numbered(50))
    with Camera("0", lambda: capture) as camera:
        assert capture.released.wait(5)  # all were given before any was taken
        (last,) = camera
    assert last.index == 49
    assert last.image[0, 0, 2] == 49
    assert (camera.counts.captured, camera.counts.dropped) == (50, 49)


def test_its_own_rate_is_apart_from_what_is_done_with_it() -> None:
    now = iter(np.arange(0, 10, 0.1))
    with Camera("0", lambda: Scripted(numbered(11)), clock=lambda: float(next(now))) as camera:
        list(camera)
    assert camera.counts.fps == pytest.approx(10)


@pytest.mark.parametrize("value", [0, 16])
def test_a_camera_that_sends_nothing_is_told_by_its_frames(value: int) -> None:
    flat = np.full((24, 32, 3), value, np.uint8)
    with Camera("0", lambda: Scripted(iter([PICTURE, flat, flat, flat]))) as camera:
        list(camera)
    assert camera.counts.flat == 3
    with Camera("0", lambda: Scripted(iter([flat, PICTURE]))) as camera:
        list(camera)
    assert camera.counts.flat == 0


def test_a_frozen_camera_is_told_by_its_frames() -> None:
    with Camera("0", lambda: Scripted(iter([PICTURE, PICTURE, PICTURE]))) as camera:
        list(camera)
    assert (camera.counts.frozen, camera.counts.flat) == (2, 0)


def test_an_unplugged_camera_is_opened_again_and_goes_on() -> None:
    captures = iter([Scripted(numbered(2)), DataError("not there"), Scripted(numbered(0)), Scripted(numbered(3))])
    waits: list[float] = []

    def open_it() -> Scripted:
        found = next(captures, DataError("gone"))
        if isinstance(found, DataError):
            raise found
        return found

    camera = Camera("0", open_it, again=3, sleep=waits.append)
    with camera, pytest.raises(DataError, match="camera 0 gives no frames any more, and 3 tries to open it again fail"):
        list(camera)
    assert (camera.counts.captured, camera.counts.reopened) == (5, 1)
    assert waits == [0.5, 1, 2, 0.5, 1, 2]


def test_a_wait_for_a_camera_can_be_ended() -> None:
    begun = time.monotonic()
    with Camera("0", lambda: time.sleep(1), stopped=lambda: time.monotonic() - begun > 0.2) as camera:
        assert list(camera) == []
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (Counts(captured=91, seconds=3.0), []),
        (Counts(captured=21, seconds=3.0), ["the camera itself gives 7 frames/s: more light may help"]),
        (Counts(captured=91, seconds=3.0, flat=70, frozen=70), ["the camera sends frames that show nothing"]),
        (Counts(captured=91, seconds=3.0, frozen=70), ["the camera sends the same frame again and again"]),
        (Counts(captured=91, seconds=3.0, flat=40, frozen=40, reopened=1), ["the camera was away, was opened again"]),
        (Counts(captured=2, seconds=1.0, flat=2), []),  # too early to say
    ],
)
def test_what_is_wrong_with_a_camera_is_said_once(counts: Counts, said: list[str]) -> None:
    told: list[str] = []
    hints = Hints()
    for _ in range(3):
        hints.say(counts, told.append)
    assert [line[: len(start)] for line, start in zip(told, said, strict=True)] == said


def test_a_stream_that_is_a_clip_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = SimpleNamespace(isOpened=lambda: True, get=lambda what: 300.0, release=lambda: None)
    monkeypatch.setattr("cv2.VideoCapture", lambda source, backend: clip)
    with pytest.raises(
        DataError, match=r"http://host/a\.mp4 must be a live stream, got a clip of 300 frames; download it"
    ):
        open_capture("http://host/a.mp4")
    assert open_capture("0") is clip


def test_no_password_is_shown() -> None:
    assert shown("rtsp://me:sec@ret@host:554/a") == "rtsp://…@host:554/a"
    assert [shown(each) for each in ("0", "a@b.mp4", "http://host/@x")] == ["0", "a@b.mp4", "http://host/@x"]


def hang(*arguments: object) -> Iterator[np.ndarray]:
    yield PICTURE
    time.sleep(0.5)


@pytest.mark.parametrize(
    ("open_it", "said"),
    [
        (lambda: time.sleep(0.5), r"camera 7 must give a frame within 0\.1 s, got none yet; is it in use"),
        (
            lambda: Scripted(hang()),
            r"camera 7 must give a frame within 0\.1 s, got none after it was opened; unplugged\?",
        ),
        (lambda: 1 / 0, "camera 7 failed: division by zero"),
        (lambda: open_capture("1234"), r"camera 1234 cannot be opened \(backend any\); check that it is plugged in"),
        (lambda: open_capture("0", "msmf"), "backend must be one of this machine's, got msmf; one of: any"),
        (
            lambda: open_capture("rtsp://me:secret@127.0.0.1:9/a"),
            "stream rtsp://…@127.0.0.1:9/a cannot be opened; check",
        ),
    ],
)
def test_a_camera_that_fails_says_so_in_time(open_it, said: str) -> None:
    begun = time.monotonic()
    with (
        pytest.raises(FerlabError, match=said),
        Camera("7", open_it, patience=0.1 if "0" in said else 5, silence=0.1) as it,
    ):
        list(it)
    assert time.monotonic() - begun < 5


def test_a_slow_camera_is_told_once_whatever_its_rate_becomes() -> None:
    told: list[str] = []
    hints = Hints()
    for captured, seconds in ((58, 3.0), (70, 3.6), (28, 3.0)):  # 19.0, 19.2 and 9 frames/s
        hints.say(Counts(captured=captured, seconds=seconds), told.append)
    assert [line[:27] for line in told] == ["the camera itself gives 19 "]
