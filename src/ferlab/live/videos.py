"""Frames of video files, one after the other, by OpenCV's FFmpeg."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ferlab.errors import DataError
from ferlab.files import check_regular
from ferlab.live.frame import Frame

VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # it speaks to the terminal by itself; the error here says it
TRUNCATED = 2  # frames that a file may have less than it claims: the count is an estimate


def is_video(path: Path) -> bool:
    """Whether a file is one by its suffix."""
    return path.suffix.lower() in VIDEOS


def frames(path: Path) -> Iterator[Frame]:
    """Every frame of a video, its time in s from the first.

    A file that is a playlist, whatever its suffix, is refused: it would choose the files and servers that are read.

    Raises:
        DataError: no video, or one that ends before it should; the frames before have been given then.
    """
    try:
        check_regular(path)
        with open(path, "rb") as file:
            start = file.read(12)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    known = start[4:8] == b"ftyp" or (start[:4] == b"RIFF" and start[8:] == b"AVI ") or start[:4] == b"\x1aE\xdf\xa3"
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG) if known else None
    try:
        if capture is None or not capture.isOpened():
            raise DataError(f"{path} must be a video (MP4, MOV, AVI, MKV or WebM), got none; replace or convert it")
        number = 0
        while capture.grab():
            seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            image = capture.retrieve()[1]
            yield Frame(number, seconds, np.ascontiguousarray(image[:, :, ::-1]))
            number += 1
        claimed = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if number + TRUNCATED < claimed:
            raise DataError(f"{path} must have {claimed:,} frames, got {number:,} that can be read; copy it again")
    finally:
        if capture is not None:
            capture.release()
