"""Where the time of a training step goes."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """Adds up seconds by name.

    Args:
        wait: called at both ends of each interval, for a device to do what it was given. A GPU that is waited for so
            often works more slowly: leave it out of a run whose speed counts. Without it, the calls alone are timed.
    """

    def __init__(self, wait: Callable[[], object] | None = None) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.wait = wait

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the time inside the block to `name`."""
        started = self._now()
        try:
            yield
        finally:
            self.seconds[name] += self._now() - started

    def _now(self) -> float:
        if self.wait is not None:
            self.wait()
        return time.perf_counter()
