"""Ways that take turns, so that a noisy machine is noisy to all of them, and their ratios round by round."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Spread:
    """A ratio that was measured once a round."""

    median: float
    least: float
    most: float


def ratio(values: Sequence[float], others: Sequence[float]) -> Spread:
    """Values over others, round by round."""
    ratios = [value / other for value, other in zip(values, others, strict=True)]
    return Spread(statistics.median(ratios), min(ratios), max(ratios))


def in_turns(ways: Mapping[str, Callable[[int], float]], rounds: int) -> dict[str, list[float]]:
    """Rates of each way, one a round, after a round of warming up; a way is told the number of the round, from 0."""
    for way in ways.values():
        way(0)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(1, rounds + 1):
        for name, way in ways.items():
            rates[name].append(way(i))
    return rates


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long some work takes; the device is waited for at both ends, and not between them."""
    wait(device)
    started = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - started


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
