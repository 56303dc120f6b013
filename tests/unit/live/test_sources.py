import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from ferlab.errors import DataError
from ferlab.live.camera import Camera
from ferlab.live.frame import Frame
from ferlab.live.sources import AHEAD, Ahead, Played, is_camera, opened, picture_files, pictures

IMAGE = np.zeros((4, 6, 3), np.uint8)


class Counted:
    """Frames of a file that notes how far it was read, and that it was closed."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count, self.error, self.read, self.closed = count, error, 0, threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        try:
            for i in range(self.count):
                self.read += 1
                yield Frame(i, i / 25, IMAGE)
            if self.error:
                raise self.error
        finally:
            self.closed.set()


def test_nothing_is_dropped_and_little_is_held() -> None:
    source = Counted(50)
    with Ahead(source) as frames:
        found = []
        for frame in frames:
            time.sleep(0.001)
            found.append(frame.index)
            assert source.read <= len(found) + AHEAD + 1
    assert found == list(range(50))
    assert source.closed.is_set()


def test_an_error_comes_after_the_frames_before_it() -> None:
    found = []
    with Ahead(Counted(3, DataError("cut off"))) as frames, pytest.raises(DataError, match="cut off"):
        found.extend(frame.index for frame in frames)
    assert found == [0, 1, 2]


def test_leaving_early_closes_the_file_and_ends_the_thread() -> None:
    source, before = Counted(1000), threading.active_count()
    reading = iter(source)  # held, so that it is not closed for being gone
    with Ahead(reading) as frames:
        assert next(iter(frames)).index == 0
    assert source.closed.is_set()
    assert threading.active_count() == before
    assert source.read <= AHEAD + 3


def test_a_file_is_played_at_its_own_speed() -> None:
    now, waits = [10.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    source = Counted(3)
    played = Played(iter(source), lambda: now[0], sleep)
    assert played.read()[0]
    now[0] += 0.03
    assert played.read()[0]
    now[0] += 1  # too late for the third: it is not waited for
    assert played.read()[0]
    assert waits == pytest.approx([0, 0.01, 0])
    assert played.read() == (False, None)
    played.release()
    assert source.closed.is_set()


def test_a_played_file_is_a_camera_that_ends() -> None:
    with Camera("clip", lambda: Played(iter(Counted(4)))) as camera:
        found = [frame.index for frame in camera]
    assert found[-1] == 3
    assert camera.counts.captured == 4
    assert 0.09 < camera.counts.seconds < 1


def test_pictures_come_by_number_with_their_times(tmp_path: Path) -> None:
    for number in (10, 9, 100):
        cv2.imencode(".png", np.full((4, 6, 3), number, np.uint8))[1].tofile(tmp_path / f"a b_{number}.png")
    (tmp_path / "notes.txt").write_text("")
    files = picture_files(str(tmp_path))
    found = list(pictures(files, 10))
    assert [frame.image[0, 0, 0] for frame in found] == [9, 10, 100]
    assert [(frame.index, frame.time) for frame in found] == [(0, 0), (1, 0.1), (2, 0.2)]
    assert picture_files(str(tmp_path / "*0.png")) == files[1:]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        list(pictures(picture_files(str(tmp_path)), 10))


def test_what_a_source_can_be(tmp_path: Path) -> None:
    assert [is_camera(each) for each in ("0", "12", "rtsp://host/a", "http://host", "a.mp4", "0.mp4", "")] == [
        True, True, True, True, False, False, False,
    ]  # fmt: skip
    for source, said in [
        (tmp_path, r"found nothing: looked for pictures \(.*\.png.*\) in .*; check the path"),
        ("nowhere/*.jpg", r"looked for a camera's number, .*, a video, or files that match 'nowhere/\*\.jpg' in"),
        ("nowhere.mp4", r"source must be a video, got no file nowhere\.mp4; check the path"),
    ]:
        with pytest.raises(DataError, match=said):
            opened(str(source))
    assert opened("0").source == "0"
    (tmp_path / "clip.mp4").touch()
    assert isinstance(opened(str(tmp_path / "clip.mp4")), Ahead)
    assert isinstance(opened(str(tmp_path / "clip.mp4"), paced=True), Camera)
