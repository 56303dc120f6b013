"""Spans of time, each a start, an end in s that is left out, and what it is a span of."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
Span = tuple[float, float, T]
NEAR = 1e-6  # s between an end and the next start that is no gap: times are rounded in files


def without(spans: Iterable[Span[T]], holes: Iterable[tuple[float, float]]) -> list[Span[T]]:
    """What is left of spans outside of holes, which may overlap each other."""
    left = list(spans)
    for begin, until in holes:
        if begin < until:
            left = [piece for span in left for piece in _cut(span, begin, until)]
    return left


def _cut(span: Span[T], begin: float, until: float) -> Iterator[Span[T]]:
    start, end, what = span
    if end <= begin or start >= until:
        yield span
        return
    if start < begin:
        yield start, begin, what
    if end > until:
        yield until, end, what


def merged(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same time in spans that are in order and apart; empty ones are left out."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1] + NEAR:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def numbered(spans: Sequence[Span[T]], first: int = 0) -> list[tuple[int, Span[T]]]:
    """Spans in their order, each with a number that is one more after every gap."""
    found: list[tuple[int, Span[T]]] = []
    for start, end, what in spans:
        number = first
        if found:
            number, (_, before, _) = found[-1]
            number += start > before + NEAR
        found.append((number, (start, end, what)))
    return found
