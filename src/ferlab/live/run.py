"""Frames of a camera, a stream or a video with their faces and answers, as they come."""

import time
from collections.abc import Callable, Iterable, Iterator

from ferlab.errors import ConfigError, LiveError, SpecError
from ferlab.live.frame import Frame
from ferlab.live.pipeline import Pipeline, Seen

GIVE_UP = 5  # frames that fail one after the other, after which the session ends
BACK_OFF_S = 0.1  # seconds to wait after the first of them; twice as long after each more


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
