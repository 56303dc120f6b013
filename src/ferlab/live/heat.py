"""An NVIDIA card that is too hot gets half of the work, until it has cooled: cards slow down by themselves at the end,
and then without a word.
"""

import time
from collections.abc import Callable
from importlib import import_module

HOT, COOL = 85.0, 80.0  # °C above which there are pauses, and below which there are none again
EVERY_S = 5.0  # seconds between readings


class Heat:
    """Pauses, while a card is hot, for as long as the work between two calls took.

    Args:
        celsius: the card's temperature, °C.
        say: told, in a sentence, when that begins and ends.
        clock, sleep: s.
    """

    def __init__(
        self,
        celsius: Callable[[], float],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._celsius, self._say, self._clock, self._sleep = celsius, say, clock, sleep
        self._hot, self._worked_since, self._next = False, clock(), clock()

    def __call__(self) -> None:
        """Pause if it is hot; to be called once a frame."""
        now = self._clock()
        if now >= self._next:
            self._next, found = now + EVERY_S, self._celsius()
            if found > HOT and not self._hot:
                self._say(f"the card has {found:.0f} °C, above {HOT:.0f}: half as many frames until it has cooled")
            if found < COOL and self._hot:
                self._say(f"the card has cooled to {found:.0f} °C: all frames again")
            self._hot = found > (COOL if self._hot else HOT)
        if self._hot:
            self._sleep(min(now - self._worked_since, 1.0))
        self._worked_since = self._clock()


def cooling(device: str, say: Callable[[str], None]) -> Callable[[], None]:
    """What is to be called once a frame for this device: `Heat` for an NVIDIA card, and nothing for others.

    Its temperature is read by nvidia-ml-py; where that cannot be, it is said.
    """
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return lambda: None
    try:
        nvml = import_module("pynvml")
        nvml.nvmlInit()
        card = nvml.nvmlDeviceGetHandleByIndex(int(index or 0))

        def celsius() -> float:
            return float(nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU))

        celsius()
    except Exception as error:  # a package that is missing, or errors of its own and of the driver's library
        say(f"the card's temperature cannot be read ({' '.join(str(error).split())[:80]}): pip install nvidia-ml-py")
        return lambda: None
    return Heat(celsius, say)
