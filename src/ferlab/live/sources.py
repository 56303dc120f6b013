"""What can be watched: a camera or a stream, a video, pictures in a row. A thread of its own reads it."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from glob import glob
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from ferlab.data.imagefolder import SUFFIXES
from ferlab.data.images import read_image
from ferlab.errors import DataError
from ferlab.live.camera import AGAIN, Camera, open_capture
from ferlab.live.frame import Frame
from ferlab.live.videos import frames, is_video

AHEAD = 4  # frames that are read before they are asked for: decoding and answering overlap, and memory stays small
POLL_S = 0.1  # seconds after which a thread that waits sees that it is to end


def is_camera(source: str) -> bool:
    """Whether the source is a camera's number or an address, and not a file."""
    return source.isdigit() or "://" in source


def opened(
    source: str,
    backend: str = "any",
    fps: float = 25.0,
    paced: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> AbstractContextManager[Iterable[Frame]]:
    """The frames of a source, as a context: of a camera or a stream the newest, of files all.

    Args:
        source: a camera's number, an rtsp:// or http:// address, the path of a video, a folder of pictures or a glob.
        backend: of OpenCV, for cameras; see `camera.BACKENDS`.
        fps: of pictures.
        paced: play files at their own speed, as a camera: who is too slow gets the newest frame.
        stopped: whether to end while a camera is waited for.

    Raises:
        DataError: none of these. What cannot be opened is told by the first frame.
    """
    if is_camera(source):
        return Camera(source, partial(open_capture, source, backend), again=AGAIN, stopped=stopped)
    path = Path(source).expanduser()
    if is_video(path) and not path.is_dir():
        if not path.is_file():
            raise DataError(f"source must be a video, got no file {path}; check the path")
        read = frames(path)
    else:
        read = pictures(picture_files(source), fps)
    return Camera(source, lambda: Played(read), stopped=stopped) if paced else Ahead(read)


class Ahead:
    """Frames, each read by a thread while the ones before are used; none is dropped. A context, which ends the thread.

    Args:
        frames: is iterated, and closed if it can be, by that thread alone.
        depth: frames that may wait.
    """

    def __init__(self, frames: Iterable[Frame], depth: int = AHEAD) -> None:
        self._frames, self._over = frames, Event()
        self._queue: Queue[Frame | Exception | None] = Queue(depth)
        self._thread = Thread(target=self._read, name="read ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def __iter__(self) -> Iterator[Frame]:
        """All frames in their order; what reading raises comes after those before it."""
        while True:
            try:
                found = self._queue.get(timeout=POLL_S)  # with a limit: on Windows Ctrl-C does not end a wait
            except Empty:
                continue
            if isinstance(found, Exception):
                raise found
            if found is None:
                return
            yield found

    def _read(self) -> None:
        frames = iter(self._frames)
        end: Exception | None = None
        try:
            for frame in frames:
                if not self._put(frame):
                    break
        except Exception as error:  # it is raised where the frames are taken
            end = error
        finally:
            if hasattr(frames, "close"):
                frames.close()
        self._put(end)

    def _put(self, found: Frame | Exception | None) -> bool:
        """Wait for a place in the queue; False if nobody wants it any more."""
        while not self._over.is_set():
            with suppress(Full):
                self._queue.put(found, timeout=POLL_S)
                return True
        return False


class Played:
    """Frames of a file at their own speed, as a camera gives them: a `Capture`.

    Args:
        frames: with times from the file's start.
        clock, sleep: s.
    """

    def __init__(
        self,
        frames: Iterator[Frame],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._frames, self._clock, self._sleep = frames, clock, sleep
        self._start: float | None = None

    def read(self) -> tuple[bool, Any]:
        """See `Capture.read`; waits until the next frame is due."""
        frame = next(self._frames, None)
        if frame is None:
            return False, None
        if self._start is None:
            self._start = self._clock() - frame.time
        self._sleep(max(0.0, self._start + frame.time - self._clock()))
        return True, frame.image[:, :, ::-1]

    def release(self) -> None:
        """See `Capture.release`."""
        if hasattr(self._frames, "close"):
            self._frames.close()


def picture_files(source: str) -> list[Path]:
    """The pictures of a folder by suffix, or all files of a glob, in the order of the numbers in their names.

    Raises:
        DataError: there is none.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        found = [each for each in path.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file()]
        what = f"pictures ({', '.join(sorted(SUFFIXES))}) in {path}"
    else:
        found = [Path(name) for name in glob(str(path), recursive=True) if Path(name).is_file()]
        what = (
            f"a camera's number, an rtsp:// or http:// address, a video, or files that match '{source}' in {Path.cwd()}"
        )
    if not found:
        raise DataError(f"source must be something to watch, found nothing: looked for {what}; check the path")
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """So that frame_9.png comes before frame_10.png."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(path))]


def pictures(files: Sequence[Path], fps: float) -> Iterator[Frame]:
    """Picture files as frames, `fps` of them a second; DataError for one that cannot be read."""
    for index, file in enumerate(files):
        yield Frame(index, index / fps, read_image(file))
