"""Frames of a camera, a stream or a video with their faces and answers, as they come."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

from ferlab.errors import ConfigError, DataError, LiveError, SpecError
from ferlab.live.camera import Camera, open_capture
from ferlab.live.frame import Frame
from ferlab.live.pipeline import Pipeline, Seen
from ferlab.live.videos import frames, is_video

GIVE_UP = 5  # frames that fail one after the other, after which the session ends
BACK_OFF_S = 0.1  # seconds to wait after the first of them; twice as long after each more


def is_camera(source: str) -> bool:
    """Whether the source is a camera's number or an address, and not a file."""
    return source.isdigit() or "://" in source


def opened(source: str, backend: str = "any") -> AbstractContextManager[Iterable[Frame]]:
    """The frames of a source, as a context: of a camera or a stream the newest, of a video all.

    Args:
        source: a camera's number, an rtsp:// or http:// address, or the path of a video.
        backend: of OpenCV, for cameras; see `camera.BACKENDS`.

    Raises:
        DataError: none of these. What cannot be opened is told by the first frame.
    """
    if is_camera(source):
        return Camera(source, partial(open_capture, source, backend))
    path = Path(source).expanduser()
    if not is_video(path):
        raise DataError(
            f"source must be a camera's number, an rtsp:// or http:// address or a video, got '{source}'; "
            "ferlab predict takes pictures"
        )
    if not path.is_file():
        raise DataError(f"source must be a video, got no file {path}; check the path")
    return nullcontext(frames(path))


def watch(
    source: Iterable[Frame],
    pipeline: Pipeline,
    failed: Callable[[Exception], None] = lambda error: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Seen]:
    """Every frame of an opened source with its faces.

    Args:
        source: frames.
        pipeline: what becomes of each.
        failed: told of a frame that could not be answered, which is left out.
        sleep: waits, s.

    Raises:
        ConfigError, SpecError: the model and the detector do not fit.
        DataError: the source cannot be opened, or is gone.
        LiveError: GIVE_UP frames failed one after the other.
    """
    failures = 0
    for frame in source:
        try:
            seen = pipeline(frame)
        except (ConfigError, SpecError):
            raise
        except Exception as error:  # whatever a runtime raises may be over with the next frame
            failures += 1
            failed(error)
            if failures == GIVE_UP:
                raise LiveError(
                    f"{GIVE_UP} frames failed one after the other, the last with {type(error).__name__}: "
                    f"{' '.join(str(error).split())[:200]}; see what changed, and start again"
                ) from error
            sleep(BACK_OFF_S * 2 ** (failures - 1))
            continue
        failures = 0
        yield seen
