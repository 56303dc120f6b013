"""What is known of a clip: whose expression was which, when, from a CSV file or JSON lines.

A row holds `frame` (its number, from 0) or `start` and `end` (s, the end left out); `label`; and whose it is: a box
(`left`, `top`, `width`, `height`, pixels; in JSON lines also `box`, a list of these), or `track`, the id that ferlab
gave, or neither where one person is seen. `person` names who it is, over all rows; `time` is taken and not used.

`kind` makes a row one of a session's annotations: `label`, a span of a track's or, without one, of everybody who has
no span of its own then; `exclude`, a span that counts nowhere; `event`, a moment, `start`, with any text as `label`.
Who annotates while it happens writes a row when a span opens, without its `end`, and the whole row when it closes; what
is not closed lasts to the end.
"""

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from ferlab.errors import DataError, LabelError, suggest
from ferlab.files import check_regular
from ferlab.labels import canonical
from ferlab.live.spans import Span, merged, numbered, without

BOX = ("left", "top", "width", "height")
LABEL, EXCLUDE, EVENT = KINDS = ("label", "exclude", "event")
COLUMNS = ("kind", "frame", "time", "start", "end", "person", "track", *BOX, "label")
SUFFIXES = (".csv", ".jsonl")
LINE = 4096  # characters
ROWS = 2_000_000  # an hour of eight people has half of it
LARGEST = 1e6  # pixels, and seconds: eleven days
NAME = 64  # characters of a person's name


@dataclass(frozen=True)
class Entry:
    """What the truth says of one face.

    Attributes:
        person: whose it is, a number; who is told of in spans with a gap between them is another person after it.
        label: id of the label.
        box: left, top, width and height in pixels, or None.
        track: id that ferlab gave, or None.
    """

    person: int
    label: int
    box: tuple[float, float, float, float] | None = None
    track: int | None = None


@dataclass(frozen=True)
class Truth:
    """The truth of one clip.

    Attributes:
        frames: frame -> what is known in it; empty if it is told in spans.
        spans: start and end in s, and what is known between them.
        everybody: the same of each face whose track has no span in `spans`.
        excluded: start and end in s of what counts nowhere, apart and in order; no span reaches into them.
        events: s, and what happened then.
    """

    frames: Mapping[int, list[Entry]] = field(default_factory=dict)
    spans: Sequence[Span[Entry]] = ()
    everybody: Sequence[Span[Entry]] = ()
    excluded: Sequence[tuple[float, float]] = ()
    events: Sequence[tuple[float, str]] = ()

    def at(self, frame: int, time: float, tracks: Sequence[int] = ()) -> list[Entry]:
        """What is known in a frame, by its number, its time in s and the tracks of the faces in it."""
        if self.frames:
            return self.frames.get(frame, [])
        found = [entry for start, end, entry in self.spans if _within(time, start, end)]
        everybody = [entry for start, end, entry in self.everybody if _within(time, start, end)]
        if everybody:
            told = {entry.track for _, _, entry in self.spans}
            apart = len(self.everybody)  # from one face's person to the next one's
            found += [
                replace(entry, person=entry.person + apart * track, track=track)
                for entry in everybody
                for track in tracks
                if track not in told
            ]
        return found

    def excludes(self, time: float) -> bool:
        """Whether a frame of this time, s, counts nowhere."""
        return any(_within(time, start, end) for start, end in self.excluded)


def _within(time: float, start: float, end: float) -> bool:
    return start - 1e-6 <= time < end - 1e-6


def beside(video: Path) -> Path:
    """The truth beside a video, of the same name; DataError if there is none."""
    for suffix in SUFFIXES:
        if (path := video.with_suffix(suffix)).is_file():
            return path
    names = " or ".join(video.with_suffix(suffix).name for suffix in SUFFIXES)
    raise DataError(f"{video} must have its truth beside it, got no {names}; set truth=…")


def read_truth(path: Path, labels: Sequence[str]) -> Truth:
    """Read a file of truth.

    Args:
        path: .csv or .jsonl.
        labels: of the model; those of the file are spelt as any dataset does.

    Raises:
        DataError: it cannot be read, or means nothing; names line and column.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"truth must be a file ending in {' or '.join(SUFFIXES)}, got {path}; rename or convert it")
    try:
        check_regular(path)
        with open(path, "rb") as file:
            rows = _csv(path, file) if path.suffix.lower() == ".csv" else _jsonl(path, file)
            return _Reader(path, labels).read(rows)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; check the path") from error


def _fault(path: Path, line: int, column: str, must: str, got: Any, remedy: str = "correct it") -> DataError:
    where = f", column {column}" if column else ""
    return DataError(f"{path} line {line}{where}: must be {must}, got {str(got)[:NAME]!r}; {remedy}")


def _lines(path: Path, file: IO[bytes]) -> Iterator[tuple[int, str]]:
    for number in range(1, ROWS + 2):
        raw = file.readline(4 * LINE + 1)
        if not raw:
            return
        if len(raw) > 4 * LINE:
            raise _fault(path, number, "", f"a line of at most {LINE:,} characters", raw[:20])
        try:
            yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise _fault(path, number, "", "UTF-8", raw[error.start : error.start + 4], "save it as UTF-8") from error
    raise DataError(f"{path} must have at most {ROWS:,} rows, got more; cut it into clips")


def _csv(path: Path, file: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and cells by column; a cell that is empty is not there."""
    table = csv.reader((text for _, text in _lines(path, file)), strict=True)
    try:
        header = [name.strip() for name in next(table, [])]
        for name in header:
            _check_column(path, 1, name)
        if len(set(header)) < len(header):
            raise _fault(path, 1, "", "columns that differ", ",".join(header))
        for cells in table:
            if len(cells) not in (0, len(header)):
                raise _fault(path, table.line_num, "", f"{len(header)} cells", f"{len(cells)} cells")
            if cells:
                found = zip(header, map(str.strip, cells), strict=True)
                yield table.line_num, {name: cell for name, cell in found if cell}
    except csv.Error as error:
        raise _fault(path, table.line_num, "", "CSV", error) from error


def _jsonl(path: Path, file: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, text in _lines(path, file):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _fault(path, number, "", "a JSON object", text.strip()) from error
        if not isinstance(row, dict):
            raise _fault(path, number, "", "a JSON object", text.strip())
        if (box := row.pop("box", None)) is not None:
            if not isinstance(box, list) or len(box) != len(BOX):
                raise _fault(path, number, "box", "[left, top, width, height]", box)
            row |= dict(zip(BOX, box, strict=True))
        for name in row:
            _check_column(path, number, name)
        yield number, {name: value for name, value in row.items() if value is not None}


def _check_column(path: Path, line: int, name: str) -> None:
    if name not in COLUMNS:
        raise DataError(f"{path} line {line}: unknown column '{name[:NAME]}'; {suggest(name, COLUMNS)}")


class _Reader:
    """Takes rows, checks them, and puts them together."""

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        self.path, self.labels = path, list(labels)
        self.persons: dict[Any, int] = {}
        self.known: dict[str, int] = {}  # a label as it is spelt -> its id
        self.frames: dict[int, list[Entry]] = defaultdict(list)
        # With the line.
        self.spans: dict[int, list[tuple[float, float, Entry, int]]] = defaultdict(list)
        self.everybody: list[tuple[float, float, Entry, int]] = []
        self.excluded: list[tuple[float, float]] = []
        self.events: list[tuple[float, str]] = []

    def read(self, rows: Iterator[tuple[int, dict[str, Any]]]) -> Truth:
        placed = tracked = True
        line = 1
        for line, row in self._closed(rows):
            if row.get("kind") == EVENT:
                self.events.append((self._number(line, row, "start"), str(row.get("label", ""))))
            elif row.get("kind") == EXCLUDE:
                self.excluded.append(self._span(line, row))
            elif row.get("kind") == LABEL and not {"track", *BOX} & row.keys():
                self.everybody.append((*self._span(line, row), Entry(0, self._label(line, row)), line))
            else:
                entry = self._entry(line, row)
                placed = placed and (entry.box is not None or entry.track is not None)
                tracked = tracked and entry.track is not None and "person" not in row
                self._place(line, row, entry)
        if not (self.frames or self.spans or self.everybody or self.excluded or self.events):
            raise self._fault(line, "", "followed by rows", "none")
        if self.frames and (self.spans or self.everybody or self.excluded):
            raise self._fault(line, "frame", "in every row, or start and end in every row", "some of both")
        if not placed and len(self.persons) > 1:
            raise self._fault(line, "person", "told apart by a box or a track", f"{len(self.persons)} people")
        if self.everybody and not tracked:
            raise self._fault(line, "track", "what every other label has where one is everybody's", "a person or a box")
        return self._truth()

    def _closed(self, rows: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows, without those that open a span that another closes; what is left open ends at LARGEST."""
        opened: dict[tuple[Any, ...], tuple[int, dict[str, Any]]] = {}
        for line, row in rows:
            kind = row.get("kind")
            if kind is not None and kind not in KINDS:
                raise self._fault(line, "kind", f"one of {', '.join(KINDS)}, or empty", kind)
            if kind in (LABEL, EXCLUDE):
                whose = tuple(str(row.get(key)) for key in ("kind", "track", "label", "start"))
                if "end" not in row:
                    opened[whose] = line, row
                    continue
                opened.pop(whose, None)
            yield line, row
        for line, row in opened.values():
            yield line, row | {"end": LARGEST}

    def _place(self, line: int, row: Mapping[str, Any], entry: Entry) -> None:
        """Put an entry where it belongs, in a frame or a span."""
        if "frame" in row:
            number = int(self._number(line, row, "frame", whole=True))
            if any(other.person == entry.person for other in self.frames[number]):
                raise self._fault(line, "frame", "one row a person and frame", f"{number} twice")
            self.frames[number].append(entry)
        elif "start" in row:
            self.spans[entry.person].append((*self._span(line, row), entry, line))
        else:
            raise self._fault(line, "frame", "given, or start and end", "nothing")

    def _span(self, line: int, row: Mapping[str, Any]) -> tuple[float, float]:
        """Start and end, s; of an annotation they may be the same, for who opens a span may close it at once."""
        start, end = self._number(line, row, "start"), self._number(line, row, "end")
        if end < start or (end == start and "kind" not in row):
            raise self._fault(line, "end", f"after the start, {start:g}", f"{end:g}")
        return start, end

    def _truth(self) -> Truth:
        everybody, people = self._apart(self.everybody), [self._apart(each) for each in self.spans.values()]
        spans: list[Span[Entry]] = []
        number = 0 if not self.frames else len(self.persons)
        for own in filter(None, people):
            entry = own[0][2]
            rest = without(everybody, [(start, end) for start, end, _ in own])  # goes for who has spans too
            own = sorted([*own, *((a, b, replace(entry, label=each.label)) for a, b, each in rest)], key=_start)
            for stay, (start, end, each) in numbered(without(own, self.excluded), number):
                spans.append((start, end, replace(each, person=stay)))
                number = stay + 1
        others = numbered(without(everybody, self.excluded), number)
        return Truth(
            dict(self.frames), spans, [(start, end, replace(each, person=stay)) for stay, (start, end, each) in others],
            merged(self.excluded), sorted(self.events),
        )  # fmt: skip

    def _apart(self, spans: Sequence[tuple[float, float, Entry, int]]) -> list[Span[Entry]]:
        """Spans of one face in their order, without empty ones; DataError if two overlap, with the line."""
        found = sorted((each for each in spans if each[0] < each[1]), key=_start)
        for (_, end, _, _), (start, _, _, line) in pairwise(found):
            if start < end - 1e-9:
                raise self._fault(line, "start", f"at or after the end of the span before, {end:g}", f"{start:g}")
        return [(start, end, entry) for start, end, entry, _ in found]

    def _entry(self, line: int, row: Mapping[str, Any]) -> Entry:
        box = None
        if any(name in row for name in BOX):
            left, top = (self._number(line, row, name, least=-LARGEST) for name in BOX[:2])
            width, height = (self._number(line, row, name, least=1e-6) for name in BOX[2:])
            box = (left, top, width, height)
        track = int(self._number(line, row, "track", whole=True)) if "track" in row else None
        name = row.get("person", "" if track is None else track)
        if isinstance(name, bool | list | dict) or len(str(name)) > NAME:
            raise self._fault(line, "person", f"a name of at most {NAME} characters", name)
        person = self.persons.setdefault(str(name), len(self.persons))
        return Entry(person, self._label(line, row), box, track)

    def _label(self, line: int, row: Mapping[str, Any]) -> int:
        name = row.get("label", "")
        if not isinstance(name, str) or not name:
            raise self._fault(line, "label", "a label of the model", name or "nothing")
        if name not in self.known:
            found = name
            if name not in self.labels:
                try:
                    found = canonical(name)
                except LabelError:  # said below, with the model's own labels
                    found = name
            if found not in self.labels:
                raise self._fault(line, "label", "a label of the model", name, suggest(found, self.labels))
            self.known[name] = self.labels.index(found)
        return self.known[name]

    def _number(self, line: int, row: Mapping[str, Any], name: str, least: float = 0, whole: bool = False) -> float:
        value = row.get(name, "nothing")
        must = f"a{' whole' if whole else ''} number from {least:g} to {LARGEST:g}"
        if isinstance(value, bool | list | dict):
            raise self._fault(line, name, must, value)
        try:
            number = float(value)
        except (ValueError, OverflowError) as error:
            raise self._fault(line, name, must, value) from error
        if not math.isfinite(number) or not least <= number <= LARGEST or (whole and number != int(number)):
            raise self._fault(line, name, must, value)
        return number

    def _fault(self, line: int, column: str, must: str, got: Any, remedy: str = "correct it") -> DataError:
        return _fault(self.path, line, column, must, got, remedy)


def _start(span: Sequence[Any]) -> float:
    return float(span[0])
