"""A session that was recorded, `frames.jsonl` and `frames.csv` of `ferlab live`, to be scored as it was shown."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ferlab.errors import DataError
from ferlab.files import check_regular
from ferlab.labels import AFFECT
from ferlab.live.encrypted import SEALED
from ferlab.live.frame import Faces
from ferlab.live.scoring import Recording
from ferlab.live.session import FRAMES, PLACE, SAID, TABLE
from ferlab.live.truth import read_truth

SHOWN, RAW = "as shown", "unsmoothed"
LINE = 2**20  # bytes
TIMES = ("detector", "classifier", "end_to_end", "age")


@dataclass(frozen=True)
class Header:
    """The columns of a session's table.

    Attributes:
        names: all of them.
        labels: of the model; none of one without expressions.
        affect: whether there are valence and arousal.
        named: whether it says who it was.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    affect: bool
    named: bool


def header_of(folder: Path) -> Header:
    """What a session's table holds; DataError if it is no session, or an encrypted one."""
    if (folder / SEALED).exists() and not (folder / TABLE).exists():
        raise DataError(
            f"session {folder} must be readable, got an encrypted one; ferlab live decrypt session={folder} "
            "key=… out=… writes one that is"
        )
    try:
        check_regular(folder / TABLE)
        with open(folder / TABLE, encoding="utf-8", newline="") as file:
            names = tuple(next(csv.reader([file.readline(LINE)]), []))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"session must be a folder of ferlab live, got {folder}: {TABLE}: {reason}") from error
    rest = names[len(PLACE) :]
    named = rest[-1:] == ("name",)  # of who it was
    rest = rest[: len(rest) - named]
    affect = rest[-len(AFFECT) :] == AFFECT
    rest = rest[: len(rest) - len(AFFECT) * affect]
    said = rest[: len(SAID)] == SAID
    if names[: len(PLACE)] != PLACE or not (affect or said) or len(set(names)) < len(names):
        raise DataError(f"{folder / TABLE} must have the columns of ferlab live, got others; name another session")
    return Header(names, rest[len(SAID) :] if said else (), affect, named)


def session_labels(folder: Path) -> tuple[str, ...]:
    """The labels of the model of a session; DataError if it had none, or is no session."""
    labels = header_of(folder).labels
    if not labels:
        raise DataError(
            f"{folder / TABLE} must be of a model with expressions, got other columns; name another session"
        )
    return labels


def read_session(folder: Path, truth: Path) -> Recording:
    """What was shown and what was true.

    Raises:
        DataError: one of the files cannot be read or means nothing; names the line.
    """
    labels = session_labels(folder)
    known = read_truth(truth, labels)
    recording = Recording(folder.name or str(folder), labels)
    last = float("-inf")
    for number, line in lines_of(folder / FRAMES):
        try:
            frame, time, faces, told, ms = _frame(line, labels)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
            raise DataError(f"{folder / FRAMES} line {number}: must be a frame of ferlab live, got {reason}") from error
        if time < last:
            raise DataError(f"{folder / FRAMES} line {number}: time must not fall, got {time:g}; it was changed")
        last = time
        if known.excludes(time):
            continue
        recording.add(time, faces, np.zeros((len(faces), 0)), known.at(frame, time, faces.ids.tolist()), told)
        for name, value in ms.items():
            recording.ms.setdefault(name, []).append(value)
    if last == float("-inf"):
        raise DataError(f"{folder / FRAMES} must hold frames, got none")
    recording.annotate(known, last)
    return recording


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a session's file with their numbers from 1; DataError if one is cut or has more than LINE bytes."""
    try:
        check_regular(path)
        with open(path, "rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LINE), b""), 1):
                if not line.endswith(b"\n"):
                    raise DataError(f"{path} line {number}: must end, and have at most {LINE:,} bytes; it was cut")
                yield number, line
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; check the path") from error


def _frame(line: bytes, labels: tuple[str, ...]) -> tuple[int, float, Faces, dict[str, list[int]], dict[str, float]]:
    row: dict[str, Any] = json.loads(line)
    given = row["faces"]
    boxes = np.array([face["box"] for face in given], np.float64).reshape(len(given), 4)
    ids = np.array([face["track"] for face in given], np.int64).reshape(-1)
    time = float(row["time"])
    if not np.isfinite(boxes).all() or not np.isfinite(time):
        raise ValueError("a number that is not finite")
    faces = Faces(boxes.astype(np.float32), np.ones(len(given), np.float32),
                  np.full((len(given), 5, 2), np.nan, np.float32), ids)  # fmt: skip
    told = {SHOWN: "label", RAW: "unsmoothed"}
    shown = {name: [labels.index(face[key]) for face in given] for name, key in told.items()}
    return int(row["frame"]), time, faces, shown, {name: float(row[f"{name}_ms"]) for name in TIMES}
