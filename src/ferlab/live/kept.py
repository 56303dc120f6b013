"""What a session keeps of its frames beside its lines, each if it is asked for: nothing has pictures by default."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

import cv2

from ferlab.errors import ConfigError
from ferlab.files import why_unwritable
from ferlab.live.blur import Blur
from ferlab.live.crop_files import Crops
from ferlab.live.overlay import Overlay
from ferlab.live.pipeline import Seen
from ferlab.live.record import Recorder, has_av
from ferlab.live.settings import LiveConfig
from ferlab.live.store import Store
from ferlab.runner import Runner
from ferlab.spec import Image

SCREENSHOTS = "screenshots"
QUALITY = 95  # of JPEG, so that small text is sharp


class Sink(Protocol):
    """Keeps something of every frame, or of some.

    Attributes:
        name: in session.json, and in what is said.
    """

    name: str

    def write(self, seen: Seen) -> None:
        """Take in a frame; OSError if that cannot be written."""
        ...

    def close(self) -> None:
        """End, once; OSError if that cannot be written."""
        ...

    def summary(self) -> dict[str, Any]:
        """For session.json: plain values."""
        ...


class Kept:
    """What the settings ask for. A context.

    What cannot be written, as on a full disk, ends with a sentence; the session goes on without.

    Args:
        settings: of the session.
        runner: the model.
        store: takes the files.
        say: told what is kept, and what ends.
        shots: whether pictures with the overlay may be asked for, by `shot`.

    Raises:
        ConfigError: a video that cannot be encrypted.
    """

    def __init__(
        self, settings: LiveConfig, runner: Runner, store: Store, say: Callable[[str], None], shots: bool = False
    ) -> None:
        video, shots = settings.video, shots or settings.screenshots is not None
        drawn = video == "overlay" or shots
        overlay = Overlay(runner.labels, settings.show, say) if drawn else None
        self._say, self._views = say, Views(overlay, Blur() if settings.blur else None)
        self._ended: dict[str, str] = {}
        self._sinks: list[Sink] = []
        if settings.encrypt is not None and video is not None and not has_av():
            raise ConfigError(
                "record with encrypt needs PyAV, for OpenCV writes plain files alone; pip install 'ferlab[video]'"
            )
        if video is not None:
            picture = self._views.overlay if video == "overlay" else self._views.plain
            self._sinks.append(Recorder(store, picture, say))
        self._shots = Screenshots(store, self._views.overlay, settings.screenshots) if shots else None
        if self._shots is not None:
            self._sinks.append(self._shots)
        if settings.crops:
            self._sinks.append(Crops(store, runner.spec))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sink in self._sinks:
            if sink.name not in self._ended:
                self._end(sink, None)

    def write(self, seen: Seen) -> None:
        """Keep what is asked for of a frame."""
        self._views.note(seen)
        for sink in self._sinks:
            if sink.name not in self._ended:
                try:
                    sink.write(seen)
                except OSError as error:
                    self._end(sink, error)

    def shot(self) -> str:
        """Keep a picture of the frame at hand with the overlay, and return its file's name.

        Raises:
            OSError: it cannot be written, or there is no frame yet.
        """
        if self._shots is None:
            raise OSError("pictures are not kept here")
        return self._shots.take()

    def summary(self) -> dict[str, Any]:
        """For session.json."""
        return {sink.name: {**sink.summary(), "ended": self._ended.get(sink.name)} for sink in self._sinks}

    def _end(self, sink: Sink, error: OSError | None) -> None:
        try:
            sink.close()
        except OSError as other:
            error = error or other
        self._ended[sink.name] = "with the session" if error is None else why_unwritable(error)
        if error is not None:
            self._say(f"{sink.name:<7} ends: {self._ended[sink.name]}; the session goes on without")


class Views:
    """The pictures of a frame that may be stored: with blurred faces if that is asked for, plain and with the overlay.

    Each is made once a frame, if somebody wants it.

    Args:
        overlay: draws; None if nobody asks for that.
        blur: None leaves faces as they are.
    """

    def __init__(self, overlay: Overlay | None, blur: Blur | None) -> None:
        self._draw, self._blur = overlay, blur
        self._seen: Seen | None = None
        self._plain: Image | None = None
        self._drawn: Image | None = None

    def note(self, seen: Seen) -> None:
        """Take in the next frame."""
        self._seen, self._plain, self._drawn = seen, None, None
        if self._draw is not None:
            self._draw.note(seen)
        if self._blur is not None:
            self._blur.note(seen)

    def plain(self) -> Image:
        """The frame's picture, (h, w, 3) uint8 RGB."""
        assert self._seen is not None
        if self._plain is None:
            image = self._seen.frame.image
            self._plain = image if self._blur is None else self._blur(image)
        return self._plain

    def overlay(self) -> Image:
        """The frame's picture with what is known of it drawn in."""
        assert self._seen is not None
        assert self._draw is not None
        if self._drawn is None:
            self._drawn = self._draw.draw(self._seen, self.plain())
        return self._drawn


class Screenshots:
    """Now and then, or when it is asked for, a picture of a frame with the overlay: a `Sink`.

    Args:
        store: takes the pictures.
        picture: gives that of the frame at hand.
        every: seconds of the source from one to the next; None takes those alone that are asked for.
    """

    name = SCREENSHOTS

    def __init__(self, store: Store, picture: Callable[[], Image], every: float | None) -> None:
        self._store, self._picture, self._every = store, picture, every
        self._next, self._written = float("-inf"), 0
        self._file: str | None = None  # of the frame at hand
        self._taken = False  # and whether it is there

    def write(self, seen: Seen) -> None:
        """See `Sink.write`."""
        self._file, self._taken = f"{SCREENSHOTS}/{seen.frame.index:06d}.jpg", False
        if self._every is not None and seen.frame.time >= self._next:
            self._next = seen.frame.time + self._every
            self.take()

    def take(self) -> str:
        """Keep the frame at hand, once; see `Kept.shot`."""
        if self._file is None:
            raise OSError("there is no frame yet")
        if not self._taken:
            self._store.put(self._file, jpeg(self._picture()))
            self._written, self._taken = self._written + 1, True
        return self._file

    def close(self) -> None:
        """See `Sink.close`."""

    def summary(self) -> dict[str, Any]:
        """See `Sink.summary`."""
        return {"written": self._written}


def jpeg(image: Image) -> bytes:
    """A picture (h, w, 3) uint8 RGB as a JPEG file."""
    return cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
