"""What is known of a clip: whose expression was which, when, from a CSV file or JSON lines.

A row holds `frame` (its number, from 0) or `start` and `end` (s, the end left out); `label`; and whose it is: a box
(`left`, `top`, `width`, `height`, pixels; in JSON lines also `box`, a list of these), or `track`, the id that ferlab
gave, or neither where one person is seen. `person` names who it is, over all rows; `time` is taken and not used.
"""

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from ferlab.errors import DataError, LabelError, suggest
from ferlab.files import check_regular
from ferlab.labels import canonical

BOX = ("left", "top", "width", "height")
COLUMNS = ("frame", "time", "start", "end", "person", "track", *BOX, "label")
SUFFIXES = (".csv", ".jsonl")
LINE = 4096  # characters
ROWS = 2_000_000  # an hour of eight people has half of it
LARGEST = 1e6  # pixels, and seconds: eleven days
NAME = 64  # characters of a person's name


@dataclass(frozen=True)
class Entry:
    """What the truth says of one face.

    Attributes:
        person: whose it is, a number from 0 by first appearance.
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
    """

    frames: Mapping[int, list[Entry]] = field(default_factory=dict)
    spans: Sequence[tuple[float, float, Entry]] = ()

    def at(self, frame: int, time: float) -> list[Entry]:
        """What is known in a frame, by its number and its time in s."""
        if self.frames:
            return self.frames.get(frame, [])
        return [entry for start, end, entry in self.spans if start - 1e-6 <= time < end - 1e-6]


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

    def read(self, rows: Iterator[tuple[int, dict[str, Any]]]) -> Truth:
        frames: dict[int, list[Entry]] = defaultdict(list)
        spans: list[tuple[float, float, Entry]] = []
        ends: dict[int, list[tuple[float, float, int]]] = defaultdict(list)  # of a person, with the line
        placed = True
        line = 1
        for line, row in rows:
            entry = self._entry(line, row)
            placed = placed and (entry.box is not None or entry.track is not None)
            if "frame" in row:
                number = int(self._number(line, row, "frame", whole=True))
                if any(other.person == entry.person for other in frames[number]):
                    raise self._fault(line, "frame", "one row a person and frame", f"{number} twice")
                frames[number].append(entry)
            elif "start" in row:
                start, end = self._number(line, row, "start"), self._number(line, row, "end")
                if end <= start:
                    raise self._fault(line, "end", f"after the start, {start:g}", f"{end:g}")
                ends[entry.person].append((start, end, line))
                spans.append((start, end, entry))
            else:
                raise self._fault(line, "frame", "given, or start and end", "nothing")
        if not frames and not spans:
            raise self._fault(line, "", "followed by rows", "none")
        if frames and spans:
            raise self._fault(line, "frame", "in every row, or start and end in every row", "some of both")
        if not placed and len(self.persons) > 1:
            raise self._fault(line, "person", "told apart by a box or a track", f"{len(self.persons)} people")
        self._check_apart(ends)
        return Truth(dict(frames), spans)

    def _check_apart(self, ends: Mapping[int, list[tuple[float, float, int]]]) -> None:
        for each in ends.values():
            each.sort()
            for (_, end, _), (start, _, line) in pairwise(each):
                if start < end - 1e-9:
                    raise self._fault(line, "start", f"at or after the end of the span before, {end:g}", f"{start:g}")

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
        return Entry(person, self._label(line, row.get("label", "")), box, track)

    def _label(self, line: int, name: Any) -> int:
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
