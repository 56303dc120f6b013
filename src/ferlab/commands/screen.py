"""What commands show on a terminal, and into a pipe."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import track

Item = TypeVar("Item")

PIPE = 10_000  # columns: a pipe has no edge at which a name or a path would have to be broken


def console(pipe: int = PIPE) -> Console:
    """Standard output: as wide as the terminal, or `pipe` columns where there is none."""
    result = Console(highlight=False)
    if not result.is_terminal:
        result.width = pipe
    return result


def progress(title: str, steps: Sequence[Item]) -> Iterable[Item]:
    """The steps, with a bar over them on a terminal and nothing elsewhere."""
    bar = Console(stderr=True)
    return track(steps, escape(title), console=bar, transient=True, disable=not bar.is_terminal)
