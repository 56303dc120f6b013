"""Flicker against response: a way of smoothing made weaker and stronger, so that ways are compared at equal flicker.

One pair of numbers can be had at will: smooth more, and there is less flicker and a later response.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ferlab.live.measures import Course
from ferlab.live.scoring import Recording, Scores, courses, score, smoothed
from ferlab.live.smooth import FILTERS, PRESETS, Smoothing

FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # of window and streak
BASE = "stable"  # the preset whose filter is also replaced by the others
LONGEST = 59.0  # seconds


@dataclass(frozen=True)
class Point:
    """A way of smoothing at one strength: its window and streak times `factor`."""

    factor: float
    smoothing: Smoothing
    scores: Scores


def scaled(smoothing: Smoothing, factor: float) -> Smoothing:
    """The same, over times that are so many times as long."""
    window, streak = (min(LONGEST, value * factor) for value in (smoothing.window, smoothing.streak))
    return replace(smoothing, window=window, streak=streak)


def ways(presets: Mapping[str, Smoothing]) -> dict[str, Smoothing]:
    """What is swept: each preset, and the filters that none of them has, in the place of that of BASE."""
    used = {each.filter for each in presets.values()}
    others = {f"{name} filter": replace(PRESETS[BASE], filter=name) for name in FILTERS if name not in used}
    return {**presets, **others}


def scored(recordings: Sequence[Recording], smoothing: Smoothing, window: float) -> Scores:
    """The scores of all clips together under a smoothing."""
    found: list[Course] = []
    for recording in recordings:
        found += courses(recording, smoothed(recording, smoothing)).values()
    return score(found, window)


def curve(
    smoothing: Smoothing, scores: Callable[[Smoothing], Scores], factors: Sequence[float] = FACTORS
) -> list[Point]:
    """The smoothing at each strength, weakest first; one that has no times is a single point."""
    fixed = not smoothing.streak and (not smoothing.window or smoothing.filter == "none")
    settings = {factor: scaled(smoothing, factor) for factor in ((1.0,) if fixed else factors)}
    return [Point(factor, how, scores(how)) for factor, how in settings.items()]


def quickest(points: Sequence[Point], flicker: float) -> Point | None:
    """The point with the shortest mean response among those with at most so many spurious switches in 5 s, or None."""
    steady = [point for point in points if point.scores.spurious <= flicker]
    return min(steady, key=lambda point: point.scores.response_mean, default=None)
