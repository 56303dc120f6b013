"""What a person notes while a session runs: annotations.csv, which `live.truth` reads. Whole after whatever ends it."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from ferlab.errors import DataError, suggest
from ferlab.evaluation.text import no_formula
from ferlab.live.store import Store
from ferlab.live.truth import EVENT, KINDS, LABEL

ANNOTATIONS = "annotations.csv"
COLUMNS = ("kind", "start", "end", "track", "label")
TEXT = 200  # characters of an event, or of why a span is excluded


@dataclass(frozen=True)
class Opened:
    """A span that is open: since when, s, of which track, and its label or text."""

    kind: str
    start: float
    track: int | None
    label: str


class Annotations:
    """Writes a row for each moment, for each span that opens, without its end, and for each that closes.

    Args:
        store: takes the file, which is made with the first row.
        labels: of the model.
    """

    def __init__(self, store: Store, labels: Sequence[str]) -> None:
        self._store, self._labels = store, tuple(labels)
        self._opened: list[Opened] = []
        self._begun = False
        self.rows = 0

    def note(self, kind: str, time: float, label: str = "", track: int | None = None, on: bool = True) -> None:
        """Add what a person said.

        A label of a face closes the one that it had.

        Args:
            kind: one of `truth.KINDS`.
            time: s, of the session.
            label: of the model, or any text in one line; where a span closes it may be left out.
            track: whose label it is; None is everybody's.
            on: whether a span opens or closes.

        Raises:
            DataError: nothing to close, an unknown kind or label, a text that is too long.
            OSError: it cannot be written; no part of a row is there.
        """
        text = " ".join(label.split())
        if kind not in KINDS:
            raise DataError(f"kind must be one of {', '.join(KINDS)}, got '{kind[:40]}'")
        if len(text) > TEXT:
            raise DataError(f"label must have at most {TEXT} characters, got {len(text):,}; shorten it")
        if kind == LABEL and text not in self._labels and (on or text):
            raise DataError(f"label must be one of the model's, got '{text[:40]}'; {suggest(text, self._labels)}")
        whose = track if kind == LABEL else None
        if kind == EVENT:
            self._write(EVENT, time, None, None, text)
            return
        same = [each for each in self._opened if (each.kind, each.track) == (kind, whose)]
        if not on and not any(text in ("", each.label) for each in same):
            raise DataError(f"{kind} must be open to be closed, got none that is; open it first")
        for each in same:
            self._end(each, time)
        if on:
            self._write(kind, time, None, whose, text)
            self._opened.append(Opened(kind, time, whose, text))

    def close(self, time: float) -> None:
        """Close all spans that are open; OSError if that cannot be written: they last to the end all the same."""
        for each in list(self._opened):
            self._end(each, time)

    @property
    def opened(self) -> list[Opened]:
        """The spans that are open."""
        return list(self._opened)

    def _end(self, span: Opened, time: float) -> None:
        self._write(span.kind, span.start, max(span.start, time), span.track, span.label)
        self._opened.remove(span)

    def _write(self, kind: str, start: float, end: float | None, track: int | None, label: str) -> None:
        rows: list[Sequence[object]] = [] if self._begun else [COLUMNS]
        rows.append(
            [
                kind,
                f"{start:.4f}",
                "" if end is None else f"{end:.4f}",
                "" if track is None else track,
                no_formula(label),
            ]
        )
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._store.add(ANNOTATIONS, text.getvalue().encode(errors="backslashreplace"))
        self._begun, self.rows = True, self.rows + 1
