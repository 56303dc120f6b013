"""Numbers as a reader sees them, alike on the terminal and on a page."""

from collections.abc import Mapping
from typing import Any

from ferlab.errors import printable

NAME = 32  # characters of a model's name
SHARES = ("accuracy", "macro_f1", "mean_recall", "ece")  # scores that are stated in per cent


def percent(value: float | None) -> str:
    """71.3, or a dash where there is no value."""
    return "–" if value is None else f"{100 * value:.1f}"


def decimal(value: float, digits: int = 3) -> str:
    """0.713."""
    return f"{value:.{digits}f}"


def signed(value: float) -> str:
    """+0.71 or −0.71, with a minus as wide as the plus."""
    return f"{value:+.2f}".replace("-", "−")


def points(value: float) -> str:
    """A difference of two shares in percentage points: +0.4, −1.2."""
    return f"{100 * value:+z.1f}".replace("-", "−")


def p_value(value: float) -> str:
    """0.039, or that it is below a thousandth."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def shortened(name: str, width: int = NAME) -> str:
    """A name of at most `width` characters: a long one loses its middle, for runs differ at either end."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"


def no_formula(text: str) -> str:
    """The text, printable, with an apostrophe before it if a spreadsheet would run it, as OWASP's page on CSV injection
    says.
    """
    shown = printable(text)
    return f"'{shown}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else shown


def plain(value: Any) -> str:
    """A nested value in one line: a: 1, b: [2, 3]."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(plain(item) for item in value) + "]"
    return "none" if value is None else str(value)


def stated(metric: str, value: float | None) -> str:
    """A score, or its spread, as a table of models shows it."""
    return "–" if value is None else percent(value) if metric in SHARES else f"{value:.3f}".replace("-", "−")
