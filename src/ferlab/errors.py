"""Errors that a user can mend. Each message is one line: what, what it must be, what it was, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class FerlabError(Exception):
    """Base of every error that ends a command with one line instead of a traceback."""

    exit_code = 1


class ConfigError(FerlabError):
    """A command, key, option or value that ferlab does not know."""

    exit_code = 2


class DataError(FerlabError):
    """A dataset that is missing, malformed or not what it claims to be."""


class LabelError(FerlabError):
    """A label that has no canonical name, or two label sets that cannot be mapped onto each other."""


class SpecError(FerlabError):
    """A model specification that contradicts itself, or an input that it does not take."""


class BundleError(FerlabError):
    """A bundle that is missing, damaged, foreign or does not fit its specification."""


class ExportError(FerlabError):
    """An exported file that is missing, damaged, foreign, or that does not answer like its bundle."""


class TrainingError(FerlabError):
    """A training run that cannot go on."""


class LiveError(FerlabError):
    """A live session that cannot go on."""


def printable(text: str) -> str:
    r"""The text with what could move a terminal's cursor, ring, turn its text around or not be encoded, as escapes.

    Names, labels and messages come from elsewhere: `\x1b[2J` in one is shown, not done.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def suggest(word: str, known: Iterable[str]) -> str:
    """The end of an error sentence that names the nearest known word, or all of them when none is near.

    A word's beginning, and the last part of a dotted key, are near.
    """
    lower = {option.lower(): option for option in known}
    parts = [o for o in lower if word and (o.startswith(word.lower()) or o.endswith(f".{word.lower()}"))]
    near = parts or get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{lower[near[0]]}'?"
    return "one of: " + ", ".join(lower.values()) if len(lower) <= 20 else "see --help"
