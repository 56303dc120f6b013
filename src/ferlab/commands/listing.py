"""`ferlab list`: what there is to choose from, each with what its file under conf/ says of it."""

from typing import TYPE_CHECKING

from rich.table import Table

from ferlab import catalogue
from ferlab.formats import FORMATS
from ferlab.screen import Screen, line

if TYPE_CHECKING:
    from ferlab.cli import Invocation

TITLES = {
    "data": "datasets", "model": "models", "loss": "losses", "augment": "augmentations", "optimizer": "optimizers",
    "scheduler": "schedules", "experiment": "experiments",
}  # fmt: skip


def show(invocation: "Invocation") -> None:
    """Print every group's options, and the export formats, a line each."""
    screen = Screen()
    known = {group: catalogue.groups("train")[group] for group in TITLES}
    width = max(len(f"{group}={option}") for group, options in known.items() for option in options)
    for group, options in known.items():
        screen.say(line((TITLES[group], "bold")))
        screen.print(_table(width, {f"{group}={option}": catalogue.meaning(group, option) for option in options}))
    screen.say(line(("export formats", "bold")))
    screen.print(_table(width, {f"format={name}": each.summary for name, each in FORMATS.items()}))


def _table(width: int, rows: dict[str, str]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2), pad_edge=False)
    table.add_column(min_width=width + 2, no_wrap=True)
    table.add_column()
    for name, text in rows.items():
        table.add_row(f"  {name}", text)
    return table
