"""SIGINT and SIGTERM: finish the step, save, leave."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Which signal asked the run to stop, if one did."""

    signal: int | None = None


@contextmanager
def listening(*more: int) -> Iterator[StopRequest]:
    """Turn the first of SIGINT, SIGTERM and `more` into a request that a loop reads; a second SIGINT stops at once."""
    request = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        if request.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal = number

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, *more)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
