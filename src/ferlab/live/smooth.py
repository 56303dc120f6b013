"""Answers that flicker made steady, by time and not by frames, so that a slow camera and a fast one are smoothed alike.

A face's probabilities go through a filter, and a rule then decides which label is shown. Both are causal: they know the
past alone. What looks ahead is for files: see `centred`.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ferlab.errors import ConfigError, suggest
from ferlab.files import read_json

MOST = 10_000  # answers of a face that are held, whatever its frames' times are: a minute at 167 frames a second

Shares = npt.NDArray[np.float64]


class Filter(Protocol):
    """Makes one face's probabilities steadier."""

    def __call__(self, time: float, shares: Shares) -> Shares:
        """The filtered probabilities (k,) of a face that at `time`, in s, was answered `shares` (k,)."""
        ...


def gap(shares: Shares) -> float:
    """By how much the likeliest label leads the next."""
    if len(shares) < 2:
        return 1.0
    second, first = np.partition(shares, -2)[-2:]
    return float(first - second)


@dataclass
class Average:
    """The mean of the last `window` seconds."""

    window: float
    _past: deque[tuple[float, Shares]] = field(default_factory=lambda: deque(maxlen=MOST), init=False, repr=False)

    def __call__(self, time: float, shares: Shares) -> Shares:
        """See `Filter`."""
        return mean_since(self._remember(time, shares), time - self.window)

    def _remember(self, time: float, shares: Shares) -> list[tuple[float, Shares]]:
        self._past.append((time, shares))
        while self._past[0][0] < time - self.window:
            self._past.popleft()
        return list(self._past)


@dataclass
class Adaptive(Average):
    """A mean over less of the window the surer the newest answer is: its last tenth, its last half, or three moments.

    Args:
        snap: lead of the likeliest label from which the last tenth counts alone.
        transition: lead from which the last half does; below it, the first, the middle and the last answer are taken,
            which a doubtful run of frames can tip least.
    """

    snap: float = 0.35
    transition: float = 0.10

    def __call__(self, time: float, shares: Shares) -> Shares:
        """See `Filter`."""
        past, lead = self._remember(time, shares), gap(shares)
        if lead >= self.snap:
            return mean_since(past, time - self.window / 10)
        if lead >= self.transition:
            return mean_since(past, time - self.window / 2)
        middle = min(past, key=lambda each: abs(each[0] - (past[0][0] + time) / 2))
        result: Shares = np.mean([past[0][1], middle[1], shares], axis=0)
        return result


@dataclass
class Exponential:
    """An exponential mean that forgets with `seconds`, and faster the surer an answer is.

    α = 1 − exp(−Δt / (seconds · (1 − gap))), so that two frames of Δt/2 weigh as one of Δt.
    """

    seconds: float
    _state: tuple[float, Shares] | None = field(default=None, init=False, repr=False)

    def __call__(self, time: float, shares: Shares) -> Shares:
        """See `Filter`."""
        if self._state is None:
            self._state = (time, shares)
            return shares
        before, mean = self._state
        constant = self.seconds * (1 - gap(shares))
        weight = 1 - np.exp(-(time - before) / constant) if constant > 0 else 1.0
        result: Shares = mean + weight * (shares - mean)
        self._state = (time, result)
        return result


def mean_since(past: list[tuple[float, Shares]], time: float) -> Shares:
    """The mean of the answers from `time` on; of the newest if there is no other."""
    result: Shares = np.mean([shares for then, shares in past if then >= time] or [past[-1][1]], axis=0)
    return result


@dataclass
class Hold:
    """Which label is shown: another one only after it has led for a while, or at once if it is strong.

    Args:
        streak: seconds for which another label must lead.
        strong: probability from which it is shown at once.
    """

    streak: float
    strong: float = 0.8
    _shown: int | None = field(default=None, init=False, repr=False)
    _rival: tuple[int, float] | None = field(default=None, init=False, repr=False)

    def __call__(self, time: float, shares: Shares) -> int:
        """The label that is shown."""
        best = int(shares.argmax())
        if self._shown is None or best == self._shown:
            self._shown, self._rival = best, None
            return best
        if self._rival is None or self._rival[0] != best:
            self._rival = (best, time)
        if shares[best] >= self.strong or time - self._rival[1] >= self.streak:
            self._shown, self._rival = best, None
        return self._shown


@dataclass(frozen=True)
class Smoothing:
    """How answers are smoothed; 0 s switches a part off.

    Attributes:
        filter: "none", "average", "adaptive" or "exponential".
        window: of the filter, s.
        snap, transition: of the adaptive filter, see `Adaptive`.
        streak, strong: see `Hold`.
        certain: probability below which the shown label is called uncertain.
        close: lead below which the second label is named too.

    Raises:
        ConfigError: a number that means nothing.
    """

    filter: str = "exponential"
    window: float = 0.6
    streak: float = 0.4
    strong: float = 0.95
    certain: float = 0.45
    close: float = 0.1
    snap: float = 0.35
    transition: float = 0.10

    def __post_init__(self) -> None:
        for name in ("window", "streak"):
            if not 0 <= getattr(self, name) < 60:
                raise ConfigError(f"{name} must be from 0 to 60 seconds, got {getattr(self, name)}")
        for name in ("strong", "certain", "close", "snap", "transition"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        if self.filter == "centred":
            raise ConfigError("filter=centred looks ahead, which nothing live can; use ferlab predict … centred=0.5")
        if self.filter not in ("none", *FILTERS):
            raise ConfigError(f"unknown filter '{self.filter}'; {suggest(self.filter, ['none', *FILTERS])}")


@dataclass(frozen=True)
class Shown:
    """What is shown of a face.

    Attributes:
        label: id of the label.
        uncertain: whether its probability is below `Smoothing.certain`.
        second: id of the next label, where it is close.
    """

    label: int
    uncertain: bool
    second: int | None


class Smoother:
    """Smooths the answers of every track apart, and forgets a track that was not seen for `patience` seconds.

    Args:
        smoothing: how.
        patience: s; at least the memory of the tracker whose heirs these are.
        heirs: new id -> lost id, whose smoothing goes on; see `Tracker.heirs`.
    """

    def __init__(
        self, smoothing: Smoothing, patience: float = 1.0, heirs: Mapping[int, int] = MappingProxyType({})
    ) -> None:
        self.smoothing, self.patience, self.heirs = smoothing, patience, heirs
        self._tracks: dict[int, tuple[float, Filter | None, Hold]] = {}

    def __call__(self, time: float, ids: Sequence[int], answers: Shares) -> tuple[Shares, list[Shown]]:
        """Smooth one frame.

        Args:
            time: of the frame, s.
            ids: the track of each face.
            answers: (n, k) probabilities.

        Returns:
            The smoothed probabilities (n, k), and what is shown of each face.
        """
        how, smoothed, shown = self.smoothing, [], []
        for number, shares in zip(ids, answers, strict=True):
            _, steady, hold = self._tracks.get(number) or self._begun(number)
            self._tracks[number] = (time, steady, hold)
            found = shares.astype(np.float64) if steady is None else steady(time, shares.astype(np.float64))
            label = hold(time, found)
            others = [i for i in np.argsort(-found, kind="stable").tolist() if i != label]
            close = bool(others) and abs(found[label] - found[others[0]]) < how.close
            smoothed.append(found)
            shown.append(Shown(label, bool(found[label] < how.certain), others[0] if close else None))
        self._tracks = {n: each for n, each in self._tracks.items() if time - each[0] <= self.patience}
        return np.array(smoothed).reshape(answers.shape), shown

    def _begun(self, number: int) -> tuple[float, Filter | None, Hold]:
        """What is known of a track that was not seen yet."""
        lost = self._tracks.get(self.heirs.get(number, -1))
        how = self.smoothing
        return deepcopy(lost) if lost is not None else (0.0, make_filter(how), Hold(how.streak, how.strong))


class Levels:
    """Valence and arousal of every track as the mean of the filter's window; they have no labels that could lead.

    Args:
        smoothing, patience, heirs: see `Smoother`.
    """

    def __init__(
        self, smoothing: Smoothing, patience: float = 1.0, heirs: Mapping[int, int] = MappingProxyType({})
    ) -> None:
        self.window = smoothing.window if smoothing.filter != "none" else 0.0
        self.patience, self.heirs = patience, heirs
        self._tracks: dict[int, tuple[float, Average]] = {}

    def __call__(self, time: float, ids: Sequence[int], values: Shares) -> Shares:
        """The means (n, 2) for values (n, 2) of a frame."""
        if not self.window:
            return values
        means = []
        for number, value in zip(ids, values, strict=True):
            lost = self._tracks.get(self.heirs.get(number, -1))
            _, average = self._tracks.get(number) or (deepcopy(lost) if lost else (time, Average(self.window)))
            self._tracks[number] = (time, average)
            means.append(average(time, value.astype(np.float64)))
        self._tracks = {n: each for n, each in self._tracks.items() if time - each[0] <= self.patience}
        return np.array(means).reshape(values.shape)


def make_filter(how: Smoothing) -> Filter | None:
    """A new filter for one face; None leaves answers as they are."""
    return FILTERS[how.filter](how) if how.filter != "none" and how.window else None


FILTERS: dict[str, Callable[[Smoothing], Filter]] = {
    "average": lambda how: Average(how.window),
    "adaptive": lambda how: Adaptive(how.window, how.snap, how.transition),
    "exponential": lambda how: Exponential(how.window),
}
# Chosen by benchmarks/smoothing.py, on FER+ validation faces.
PRESETS = {
    "raw": Smoothing("none", 0, 0, certain=0, close=0),
    "fast": Smoothing("exponential", 0.3, 0.2, strong=0.9),
    "stable": Smoothing(),
}


def preset(name: str) -> Smoothing:
    """The smoothing of PRESETS called `name`, or that in a .json file of `ferlab live evaluate tune=true`.

    Raises:
        ConfigError: no such name or file, or a file that holds something else.
    """
    if not name.endswith(".json"):
        if name not in PRESETS:
            raise ConfigError(f"unknown preset '{name}'; {suggest(name, PRESETS)}")
        return PRESETS[name]
    path = Path(name).expanduser()
    try:
        found = read_json(path)["smoothing"]
        if unknown := found.keys() - {each.name for each in fields(Smoothing)}:
            raise ValueError(f"unknown key {min(unknown)!r:.40}")
        numbers = {key: float(value) for key, value in found.items() if key != "filter"}
        return Smoothing(str(found["filter"]), **numbers)
    except OSError as error:
        raise ConfigError(f"cannot read preset={path}: {error.strerror or error}; check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise ConfigError(f"preset={path} must be a file of ferlab live evaluate tune=true, got {reason}") from error
