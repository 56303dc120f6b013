"""A session's video: H.264 by PyAV, with the frames' own times, or MPEG-4 by OpenCV. Both can be read after kill −9."""

import shutil
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from ferlab.live.pipeline import Seen
from ferlab.live.store import Folder, Store
from ferlab.spec import Image

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import OutputContainer

H264, MPEG4 = "video.mp4", "video.mkv"
TICKS = 90_000  # a second, of times in an MP4: divides by 24, 25 and 30, and as fine as a camera's
PART_S = 1.0  # seconds of a fragment: what kill −9 costs at most, and what is held in memory
KEY = 60  # frames from one that can be decoded alone to the next
GRID = 30  # frames a second of OpenCV's video, which has no times of its own
SPARED = 64 * 2**20  # bytes that a video leaves free on the disk: an hour of lines for one face, at 30 frames a second


class Encoder(Protocol):
    """Writes one video; OSError where that cannot be done."""

    def write(self, seconds: float, image: Image) -> None:
        """Add a picture, (h, w, 3) uint8 RGB, all of one size, that was taken then; later than the one before."""
        ...

    def close(self) -> None:
        """End the video."""
        ...


class Recorder:
    """Writes a frame after the other to a video of the session: a `Sink`.

    Pictures of another size than the first are fitted into it.

    Args:
        store: takes the video.
        picture: gives what is recorded of the frame at hand.
        say: told which encoder it is.
    """

    name = "video"

    def __init__(self, store: Store, picture: Callable[[], Image], say: Callable[[str], None]) -> None:
        self._store, self._picture = store, picture
        self._encoder: Encoder | None = None
        self._size, self._frames, self._begun, self._seconds = (0, 0), 0, 0.0, 0.0
        self._looked = -PART_S
        self.file = H264 if has_av() else MPEG4
        own = f"H.264, the frames at their own times, in {H264}"
        other = f"MPEG-4, {GRID} frames/s, in {MPEG4}; H.264 with the frames' own times needs the extra video"
        say(f"video   {own if self.file == H264 else other}")

    def write(self, seen: Seen) -> None:
        """Add a frame; OSError if that cannot be done, or too little of the disk is free."""
        image = self._picture()
        if self._encoder is None:
            self._size, self._begun = even(image), seen.frame.time
            self._encoder = self._opened()
        seconds = seen.frame.time - self._begun
        if seconds - self._looked >= PART_S:
            self._looked = seconds
            if shutil.disk_usage(self._store.path).free < SPARED:
                raise OSError(f"less than {SPARED >> 20} MiB are free on the disk, which are left for what is said")
        self._encoder.write(seconds, fitted(image, self._size))
        self._frames, self._seconds = self._frames + 1, seconds

    def close(self) -> None:
        """End the video; OSError if its last part cannot be written."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.close()

    def summary(self) -> dict[str, Any]:
        """For session.json."""
        return {"file": self.file, "frames": self._frames, "seconds": round(self._seconds, 3)}

    def _opened(self) -> Encoder:
        if self.file == H264:
            return Fragments(self._store, self._size)
        if not isinstance(self._store, Folder):
            raise TypeError("OpenCV writes files alone")
        return Matroska(self._store, self._size)


class Fragments:
    """H.264 in fragments of a second, each whole by itself: no index is missing after kill −9."""

    def __init__(self, store: Store, size: tuple[int, int]) -> None:
        import av

        self._av, self._file = av, _Written(store)
        flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": str(round(PART_S * 1e6))}
        self._container: OutputContainer = av.open(self._file, "w", format="mp4", options=flags)
        options = {"preset": "superfast", "tune": "zerolatency", "crf": "23", "threads": "1"}
        self._stream = self._container.add_stream("libx264", rate=GRID, options=options)
        self._stream.width, self._stream.height, self._stream.pix_fmt = (*size, "yuv420p")
        self._stream.codec_context.time_base, self._stream.codec_context.gop_size = Fraction(1, TICKS), KEY
        self._last = -1

    def write(self, seconds: float, image: Image) -> None:
        """See `Encoder.write`."""
        frame = self._av.VideoFrame.from_ndarray(image, format="rgb24")
        self._last = max(self._last + 1, round(seconds * TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._encode(frame)

    def close(self) -> None:
        """See `Encoder.close`."""
        try:
            if not self._file.failed:
                self._encode(None)
        finally:
            self._container.close()

    def _encode(self, frame: "VideoFrame | None") -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except self._av.error.FFmpegError as error:
            raise OSError(f"FFmpeg: {error}") from error


class _Written:
    """A file that PyAV writes, and cannot go back in."""

    def __init__(self, store: Store) -> None:
        self._store, self.failed = store, False

    def write(self, content: bytes) -> int:
        if not self.failed:  # after a full disk a part would be missing in between
            try:
                self._store.add(H264, bytes(content))
            except OSError:
                self.failed = True
                raise
        return len(content)


class Matroska:
    """MPEG-4 by OpenCV: so many frames a second that one is repeated or left out where it came late or early.

    Matroska, since an MP4 of OpenCV has its index at the end and cannot be read without.
    """

    def __init__(self, store: Folder, size: tuple[int, int]) -> None:
        store.path.mkdir(parents=True, exist_ok=True)
        self._path = store.path / MPEG4
        if self._path.exists():
            raise FileExistsError(f"{self._path} is there already")
        self._writer = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), GRID, size)
        if not self._writer.isOpened():
            raise OSError(f"OpenCV cannot write {self._path}")
        self._written = 0

    def write(self, seconds: float, image: Image) -> None:
        """See `Encoder.write`."""
        while self._written <= seconds * GRID:
            self._writer.write(image[:, :, ::-1])
            self._written += 1

    def close(self) -> None:
        """See `Encoder.close`."""
        self._writer.release()


def has_av() -> bool:
    """Whether PyAV is there, with an encoder of H.264."""
    try:
        from av.codec import Codec
        from av.codec.codec import UnknownCodecError
    except ImportError:
        return False
    try:
        Codec("libx264", "w")
    except UnknownCodecError:
        return False
    return True


def even(image: Image) -> tuple[int, int]:
    """Width and height of a picture, each made even: H.264 has a colour for four pixels."""
    height, width = image.shape[:2]
    return width + width % 2, height + height % 2


def fitted(image: Image, size: tuple[int, int]) -> Image:
    """The picture in a frame of this width and height: an odd side gets one more pixel, another size black bars."""
    if (found := even(image)) != size:
        scale = min(wanted / got for wanted, got in zip(size, found, strict=True))
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        down, right = size[1] - image.shape[0], size[0] - image.shape[1]
        return np.pad(image, ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)))
    return np.pad(image, ((0, size[1] - image.shape[0]), (0, size[0] - image.shape[1]), (0, 0)), "edge")
