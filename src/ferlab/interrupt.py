"""SIGINT and SIGTERM: finish the step or the frame, save, leave."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Which signal asked the run to stop, if one did."""

    signal: int | None = None


@contextmanager
def listening(*more: int) -> Iterator[StopRequest]:
    """Turn the first of SIGINT, SIGTERM and `more` into a request that a loop reads; a second SIGINT stops at once.

    Signals reach the main thread alone: what runs in another one cannot be stopped by them.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

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
