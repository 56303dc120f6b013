"""What ferlab shows on a terminal, and into a pipe: the one place that makes a console.

Names, labels, paths and servers' messages come from elsewhere. Here they stay text, whatever they hold.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from ferlab.errors import printable

Item = TypeVar("Item")

EVERY = 30.0  # seconds between lines that say how far something is, where there is no terminal
PIPE = 10_000  # columns: a pipe has no edge at which a name or a path would have to be broken


class Screen(Console):
    r"""A console on which `[old]` is no markup, and `\x1b[2J` is shown, not done.

    A str is one line: a line end in it is an escape too. Own text in colours, or of several lines, is a rich `Text`.
    A notebook gets plain text: Jupyter says that it is a terminal, and does not understand most of one's codes.

    Args:
        pipe: columns where there is no terminal.
        settings: rich's, such as `stderr`.
    """

    def __init__(self, pipe: int = PIPE, **settings: Any) -> None:
        if in_notebook():
            settings = {"force_terminal": False, "force_jupyter": False} | settings
        super().__init__(markup=False, emoji=False, highlight=False, **settings)
        if not (self.is_terminal or self.is_jupyter) and "width" not in settings:
            self.width = pipe

    def say(self, *lines: str | Text, style: str = "") -> None:
        """Print lines whole: a path that is to be copied is not broken at the terminal's edge."""
        for each in lines or ("",):
            self.print(each, style=style, soft_wrap=True)

    def render_str(self, text: str, **settings: Any) -> Text:
        """What rich makes of every str, those in tables too."""
        return super().render_str(printable(text), **settings | {"markup": False, "emoji": False, "highlight": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What rich makes of everything: also what a `Text` was given moves no cursor."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.replace("\n", "").isprintable():
                yield segment
            else:
                yield Segment("\n".join(map(printable, segment.text.split("\n"))), segment.style)


def in_notebook() -> bool:
    """Whether what is printed goes to a notebook."""
    return "IPython" in sys.modules and hasattr(sys.modules["IPython"].get_ipython(), "kernel")


def line(*parts: str | tuple[str, str]) -> Text:
    """One line of parts, each a str or a str and its style."""
    pairs = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((printable(text), style) for text, style in pairs))


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 face", "2,000 faces"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def progress(title: str, steps: Sequence[Item]) -> Iterable[Item]:
    """The steps, with a bar over them on a terminal, and a line every EVERY seconds elsewhere."""
    screen = Screen(stderr=True)
    if not screen.is_terminal:
        now = ""
        with _told(screen, lambda: f"{title}{now}"):
            for number, step in enumerate(steps, 1):
                now = f"{f' {step}' if isinstance(step, str) else ''}, {number:,} of {len(steps):,}"
                yield step
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=screen, transient=True) as bar:
        yield from bar.track(steps, description=printable(title))


@contextmanager
def working(title: str) -> Iterator[None]:
    """Say that something without steps goes on: a spinner on a terminal, and a line every EVERY seconds elsewhere."""
    screen = Screen(stderr=True)
    with screen.status(line(title)) if screen.is_terminal else _told(screen, lambda: title):
        yield


@contextmanager
def _told(screen: Screen, what: Callable[[], str]) -> Iterator[None]:
    """Print `what()` and the time that has gone by, again and again, until the block ends."""
    over, begun = Event(), time.monotonic()

    def tell() -> None:
        while not over.wait(EVERY):
            screen.say(f"{what()}: {time.monotonic() - begun:.0f} s so far")

    thread = Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
