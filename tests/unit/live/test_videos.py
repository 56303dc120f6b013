import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from ferlab.errors import DataError
from ferlab.live.videos import frames, is_video

CODECS = {"mp4": "mp4v", "mov": "mp4v", "avi": "MJPG", "mkv": "mp4v"}


def write(path: Path, count: int = 8) -> Path:
    """A video of 25 frames a second, red and brighter from one to the next."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*CODECS[path.suffix[1:]]), 25, (64, 48))
    assert writer.isOpened()
    for i in range(count):
        writer.write(np.full((48, 64, 3), (0, 0, 30 * i), np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize("suffix", CODECS)
def test_every_frame_comes_once_in_rgb_with_its_time(tmp_path: Path, suffix: str) -> None:
    found = list(frames(write(tmp_path / f"a b.{suffix}")))
    assert [frame.index for frame in found] == list(range(8))
    assert [frame.time for frame in found] == pytest.approx([i / 25 for i in range(8)], abs=1e-3)
    assert found[7].image.shape == (48, 64, 3)
    assert found[7].image.flags["C_CONTIGUOUS"]
    assert np.abs(found[7].image.reshape(-1, 3).mean(0) - [210, 0, 0]).max() < 12


def test_a_video_is_told_by_its_suffix() -> None:
    assert is_video(Path("a/B.MP4"))
    assert not is_video(Path("mp4.png"))


@pytest.mark.parametrize(
    "content", [b"", b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n", b"ffconcat version 1.0\nfile other.mp4\n"]
)
def test_playlists_and_other_files_are_refused(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"clip\.mp4 must be a video \(MP4, MOV, AVI, MKV or WebM\), got none"):
        list(frames(path))
    assert capfd.readouterr().err == ""


def test_a_video_that_was_cut_off_is_said_after_its_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.avi", 40)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    read = []
    with pytest.raises(DataError, match=r"must have 40 frames, got \d+ that can be read; copy it again"):
        read.extend(frame.index for frame in frames(path))
    assert read == list(range(len(read)))
    assert 5 < len(read) < 30
    with pytest.raises(DataError, match=r"cannot read .*: No such file"):
        list(frames(tmp_path / "none.mp4"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs there")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(DataError, match="it is no regular file"):
        list(frames(tmp_path / "pipe.mp4"))
