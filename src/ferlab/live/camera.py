"""A camera or a stream: the newest frame, whatever the speed of what comes after. Its own thread reads."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Protocol, Self

import cv2
import numpy as np

from ferlab.errors import ConfigError, DataError, FerlabError, suggest
from ferlab.live.frame import Frame

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # it speaks to the terminal by itself
OPEN_S = 10.0  # seconds for a camera to open and give its first frame; some take minutes and then fail
SILENCE_S = 5.0  # seconds without a frame after which it is gone
AGAIN = 5  # times that a camera which gives no frame is opened again, such as one that was unplugged
BACK_OFF_S = 0.5  # seconds before the first of them; twice as long before each more
WATCHED_S = 2.0  # seconds of frames before anything is said of them
SLOW_FPS = 20.0  # of a camera itself, below which a hint is given
POLL_S = 0.1  # seconds after which a wait looks whether it is to end
FLAT = 3.0  # grey levels between the darkest and the brightest hundredth below which a frame shows nothing
BACKENDS = {
    name.removeprefix("CAP_").lower(): getattr(cv2, name)
    for name in ("CAP_ANY", "CAP_V4L2", "CAP_AVFOUNDATION", "CAP_DSHOW", "CAP_MSMF", "CAP_GSTREAMER", "CAP_FFMPEG")
}


class Capture(Protocol):
    """What OpenCV's VideoCapture has."""

    def read(self) -> tuple[bool, Any]:
        """Whether there is a frame, and the frame, (h, w, 3) uint8 BGR."""
        ...

    def release(self) -> None:
        """Let the camera go."""
        ...


@dataclass
class Counts:
    """What a camera did.

    Attributes:
        backend: of OpenCV that opened it.
        begun: when its first frame came, by the clock, s.
        captured: frames that it gave.
        dropped: those of them that nobody took, for newer ones came.
        flat: frames in a row, up to now, that show nothing, as a covered or a virtual camera sends them.
        frozen: frames in a row, up to now, that are the one before, as no real camera sends them.
        reopened: times that it gave no frame and was opened again.
        seconds: from its first frame to its last.
    """

    backend: str | None = None
    begun: float = 0.0
    captured: int = 0
    dropped: int = 0
    flat: int = 0
    frozen: int = 0
    reopened: int = 0
    seconds: float = 0.0

    @property
    def fps(self) -> float | None:
        """Frames a second that the camera itself gives; None before its second frame."""
        return (self.captured - 1) / self.seconds if self.seconds else None


class Hints:
    """What is wrong with a camera, each thing said once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, counts: Counts, say: Callable[[str], None]) -> None:
        """Say what is new."""
        many = None if counts.fps is None or counts.seconds < WATCHED_S else WATCHED_S * counts.fps
        hints = {
            "the camera sends frames that show nothing: is it covered, or a virtual one without a picture?":
                many is not None and counts.flat > many,
            "the camera sends the same frame again and again: is it frozen, or a virtual one without a picture?":
                many is not None and counts.frozen > max(many, counts.flat),
            f"the camera itself gives {counts.fps or 0:.0f} frames/s: more light may help, or another backend":
                many is not None and (counts.fps or 0) < SLOW_FPS,
            "the camera was away, was opened again and is back": counts.reopened > 0,
        }  # fmt: skip
        for line, true in hints.items():
            if true and (kind := line[:20]) not in self._said:
                self._said.add(kind)
                say(line)


def open_capture(source: str, backend: str = "any") -> Capture:
    """OpenCV's capture of a camera, by its number, or of an RTSP or HTTP address.

    Raises:
        DataError: it cannot be opened, or it is a clip.
        ConfigError: no such backend here.
    """
    here = ["any", *(name for name, number in BACKENDS.items() if cv2.videoio_registry.hasBackend(number))]
    if backend not in here:
        raise ConfigError(f"backend must be one of this machine's, got {backend}; {suggest(backend, here)}")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # its warnings on the way; the error below says it
    name, stream = shown(source), "://" in source
    capture = cv2.VideoCapture(int(source) if source.isdigit() else source, BACKENDS[backend])
    if not capture.isOpened():
        if stream:
            raise DataError(f"stream {name} cannot be opened; check the address, the server, and user and password")
        raise DataError(
            f"camera {name} cannot be opened (backend {backend}); check that it is plugged in, allowed and not in use, "
            "or try another number or backend"
        )
    if stream and (count := int(capture.get(cv2.CAP_PROP_FRAME_COUNT))) > 0:
        capture.release()  # at its end it would be taken for a camera that is gone, and begin again
        raise DataError(f"{name} must be a live stream, got a clip of {count:,} frames; download it and give the file")
    return capture


def shown(source: str) -> str:
    """A source as it is shown and stored: an address without user and password."""
    return re.sub(r"(?<=://)[^/]*@", "…@", source)


class Camera:
    """Gives the newest frame of a camera. A context, which lets the camera go.

    Args:
        source: its number as text, or an address.
        open_it: makes the capture, in the camera's thread: it may take long or for ever.
        clock: of the frames' times, s, monotonic; they are counted from the first frame.
        patience: seconds for the first frame.
        silence: seconds without a frame after which the camera is gone.
        again: times that it is opened again when it gives no frame; 0 takes that for its end.
        stopped: whether to end.
        sleep: waits before it is opened again, s.
    """

    def __init__(
        self,
        source: str,
        open_it: Callable[[], Capture],
        clock: Callable[[], float] = time.monotonic,
        patience: float = OPEN_S,
        silence: float = SILENCE_S,
        again: int = 0,
        stopped: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.source, self.counts = shown(source), Counts()
        self._open, self._clock, self._patience, self._silence = open_it, clock, patience, silence
        self._again, self._stopped, self._sleep = again, stopped, sleep
        self._news = Condition()
        self._frame: Frame | None = None
        self._error: Exception | None = None
        self._over, self._away = False, False
        self._before: Any = None
        self._thread = Thread(target=self._read, name=f"camera {source}", daemon=True)  # it may hang in a driver

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._news:
            self._over = True
        self._thread.join(1.0)

    def age(self, frame: Frame) -> float:
        """Seconds since a frame was captured."""
        return self._clock() - self.counts.begun - frame.time

    def __iter__(self) -> Iterator[Frame]:
        """Frames from now on, each the newest when it is asked for, until the stream ends.

        Raises:
            DataError: the camera cannot be opened, gives no frame in time, or is gone.
        """
        patience = self._patience
        while not self._stopped():
            frame, over, error = self._next(patience)
            if error is not None:
                raise error if isinstance(error, FerlabError) else DataError(f"camera {self.source} failed: {error}")
            if frame is None and (over or self._stopped()):
                return
            if frame is None:
                what = "after it was opened; unplugged?" if self.counts.captured else "yet; is it in use, or too slow?"
                raise DataError(f"camera {self.source} must give a frame within {patience:g} s, got none {what}")
            patience = self._silence
            yield frame

    def _next(self, patience: float) -> tuple[Frame | None, bool, Exception | None]:
        """The newest frame, once there is one, whether it was the last, and what went wrong."""
        deadline = time.monotonic() + patience
        with self._news:
            while self._frame is None and not self._over and not self._stopped():
                if not self._away and time.monotonic() > deadline:
                    break
                self._news.wait(POLL_S)
            frame, self._frame = self._frame, None
            return frame, self._over, self._error

    def _read(self) -> None:
        """The camera's thread: keep the newest frame, and open a camera again that gives none."""
        try:
            self._read_until_silent(self._open())
            failed = 0
            while failed < self._again and not self._over:
                self._away = True
                self._sleep(BACK_OFF_S * 2**failed)
                before = self.counts.captured
                with suppress(DataError, cv2.error):
                    self._read_until_silent(self._open())
                came = self.counts.captured > before
                failed, self.counts.reopened = 0 if came else failed + 1, self.counts.reopened + came
            if self._again and not self._over:
                raise DataError(
                    f"camera {self.source} gives no frames any more, and {self._again} tries to open it again failed; "
                    "check that it is plugged in"
                )
        except Exception as error:  # it is raised where the frames are taken
            self._error = error
        with self._news:
            self._over = True
            self._news.notify()

    def _read_until_silent(self, capture: Capture) -> None:
        """Keep the frames of a capture until it gives none, and let it go."""
        if hasattr(capture, "getBackendName"):
            self.counts.backend = capture.getBackendName()
        try:
            while not self._over:
                there, image = capture.read()
                if not there or image is None:
                    return
                self._keep(np.ascontiguousarray(image[:, :, ::-1]))
        finally:
            capture.release()

    def _keep(self, image: Any) -> None:
        now, counts = self._clock(), self.counts
        few = image[::8, ::8]
        low, high = np.percentile(few, [1, 99])
        same = np.array_equal(few, self._before)
        self._before = few.copy()
        with self._news:
            self._away = False
            if not counts.captured:
                counts.begun = now
            counts.dropped += self._frame is not None
            counts.flat = counts.flat + 1 if high - low < FLAT else 0
            counts.frozen = counts.frozen + 1 if same else 0
            counts.seconds = now - counts.begun
            self._frame = Frame(counts.captured, counts.seconds, image)
            counts.captured += 1
            self._news.notify()
