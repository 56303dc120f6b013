"""A session's folder as the viewer shows it: frames and faces as columns of numbers, and what was noted.

The folder may come from anybody: files of known names alone are read, none through a link, and all in them is checked.
"""

import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.errors import DataError, printable
from ferlab.evaluation.text import plain
from ferlab.files import read_json
from ferlab.labels import AFFECT
from ferlab.live.annotations import ANNOTATIONS
from ferlab.live.record import H264, MPEG4
from ferlab.live.recorded import LINE, Header, header_of, lines_of
from ferlab.live.session import FRAMES, PLACE, SUMMARY, TABLE
from ferlab.live.truth import Truth, read_truth

BYTES = 2 * 2**30  # of frames.jsonl and of frames.csv: ten hours of eight faces
NAMED = 64  # characters of a name
FACTS, FACT = 64, 400  # of session.json that are shown, and characters of each
SIDE = 32768  # pixels of a picture, at most
FULL = 65535  # a probability of 1
NONE = 255  # a label that is none

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class View:
    """A session that can be looked at.

    Attributes:
        folder: it lies in.
        labels: of the model; none of one without expressions.
        frames: (n,) time f8 s, number u4, ms f4 from frame to answer, and first u4, the row of its first face.
        faces: (m,) track u4, box (m, 4) f4 pixels, score f4; of a model with expressions label u1, unsmoothed u1 and
            second u1, 255 for none, uncertain u1, shares (m, k) u2 of 65535; with affect valence f4 and arousal f4.
        names: track -> who it was, if the session says so.
        summary: what session.json says, in lines: name, text.
        picture: width and height of a frame, pixels; of a session that does not say so, what holds all boxes.
        drawn: whether what is known is drawn in the video already.
        truth: what was noted; None without annotations.csv.
        video: the name of its file, or None.
        notes: what a person should know, in sentences.
    """

    folder: Path
    labels: tuple[str, ...]
    frames: Columns
    faces: Columns
    names: Mapping[int, str]
    summary: Sequence[tuple[str, str]]
    picture: tuple[int, int]
    drawn: bool
    truth: Truth | None
    video: str | None
    notes: Sequence[str]


def own_file(folder: Path, name: str) -> Path | None:
    """A regular file of a session; None if there is none, or a link, which may lead anywhere."""
    path = folder / name
    try:
        return path if stat.S_ISREG(path.lstat().st_mode) else None
    except (OSError, ValueError):
        return None


def view_of(folder: Path) -> View:
    """Read a session.

    Raises:
        DataError: no session, an encrypted one, or a file that `ferlab live` does not write like this.
    """
    for name in (TABLE, FRAMES):
        path = folder / name
        if own_file(folder, name) is None and os.path.lexists(path):
            raise DataError(
                f"{path} must be a file, got a link or the like, which may lead anywhere; copy what it names"
            )
        if path.exists() and path.stat().st_size > BYTES:
            raise DataError(f"{path} must have at most {BYTES >> 30} GiB, got more; cut it into parts")
    columns = header_of(folder)
    frames = _frames(folder / FRAMES)
    faces, names = _faces(folder / TABLE, columns, frames)
    found, notes = _summary(folder)
    truth = None
    if own_file(folder, ANNOTATIONS) is not None:
        try:
            truth = read_truth(folder / ANNOTATIONS, columns.labels)
        except DataError as error:
            notes.append(f"annotations are left out: {error}")
    video = next((name for name in (H264, MPEG4) if own_file(folder, name) is not None), None)
    if video == MPEG4:
        notes.append(
            f"{MPEG4} is MPEG-4, which browsers do not play; recordings with PyAV (ferlab[video]) can be played"
        )
    settings = found.get("settings")
    drawn = isinstance(settings, dict) and settings.get("record") == "overlay"
    size = picture(found.get("picture"), faces["box"])
    return View(folder, columns.labels, frames, faces, names, facts(found), size, drawn, truth, video, notes)


def _frames(path: Path) -> Columns:
    times: list[float] = []
    numbers: list[int] = []
    ms: list[float] = []
    count = 0
    for count, line in lines_of(path):
        try:
            row = json.loads(line)
            time, number, took = float(row["time"]), int(row["frame"]), float(row["end_to_end_ms"])
            if not (math.isfinite(time) and math.isfinite(took) and 0 <= number < 2**32):
                raise ValueError("a number that is none of a frame's")
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise _no_frame(path, count, f"{type(error).__name__}: {error}") from error
        if times and (time < times[-1] or number <= numbers[-1]):
            raise _no_frame(path, count, "a time or a number that falls")
        times.append(time)
        numbers.append(number)
        ms.append(took)
    if not count:
        raise DataError(f"{path} must hold frames, got none")
    return {"time": np.array(times, "<f8"), "number": np.array(numbers, "<u4"), "ms": np.array(ms, "<f4")}


def _no_frame(path: Path, line: int, reason: str) -> DataError:
    return DataError(f"{path} line {line}: must be a frame of ferlab live, got {' '.join(reason.split())[:120]}")


def _faces(path: Path, columns: Header, frames: Columns) -> tuple[Columns, dict[int, str]]:
    """The columns of the faces, and who they were; sets `first` of the frames."""
    table = _table(path, columns)
    numbers = np.array(table["frame"])
    place = np.minimum(np.searchsorted(frames["number"], numbers), len(frames["number"]) - 1)
    if (frames["number"][place] != numbers).any() or (np.diff(place) < 0).any():
        raise DataError(f"{path} must have the frames of {FRAMES} in their order, got others; it was changed")
    frames["first"] = np.searchsorted(place, np.arange(len(frames["number"]))).astype("<u4")

    def numbered(name: str, least: float, most: float, kind: str) -> npt.NDArray[Any]:
        values = np.array(table[name])
        if not ((values >= least) & (values <= most)).all():  # NaN is not
            raise DataError(f"{path}, column {name[:NAMED]}: must be numbers from {least:g} to {most:g}, got others")
        return values.astype(kind)

    def texts(name: str, known: Mapping[str, int]) -> npt.NDArray[Any]:
        column = table[name].combine_chunks()
        words = [known.get(each, -1) for each in column.dictionary.to_pylist()]
        codes = np.array([*words, -1], "<i4")[np.array(column.indices)]
        if (codes < 0).any():
            raise DataError(f"{path}, column {name}: must be labels of the model, got others; it was changed")
        found: npt.NDArray[Any] = codes.astype("<u1")
        return found

    far = 1e7  # pixels
    boxes = [numbered(name, -far, far, "<f4") for name in PLACE[3:7]]
    found: Columns = {"track": numbered("track", 0, 2**31, "<u4"), "box": np.stack(boxes, 1),
                      "score": numbered("score", 0, 1, "<f4")}  # fmt: skip
    if columns.labels:
        known = {name: i for i, name in enumerate(columns.labels)}
        found |= {name: texts(name, known) for name in ("label", "unsmoothed")}
        found |= {
            "second": texts("second", {**known, "": NONE}),
            "uncertain": np.array(table["uncertain"]).astype("<u1"),
        }
        shares = [np.round(FULL * numbered(name, 0, 1, "<f4")) for name in columns.labels]
        found["shares"] = np.stack(shares, 1).astype("<u2")
    if columns.affect:
        found |= {name: numbered(name, -1, 1, "<f4") for name in AFFECT}
    return found, _names(table, found["track"]) if columns.named else {}


def _table(path: Path, columns: Header) -> Any:
    """frames.csv as Arrow's table."""
    import pyarrow as pa
    from pyarrow import csv

    kinds = {name: pa.float32() for name in columns.names}
    kinds |= {"frame": pa.int64(), "track": pa.int64(), "time": pa.float64(), "uncertain": pa.bool_()}
    kinds |= dict.fromkeys(("label", "second", "unsmoothed", "name"), pa.dictionary(pa.int32(), pa.string()))
    try:
        return csv.read_csv(
            path,
            read_options=csv.ReadOptions(block_size=2 * LINE),
            convert_options=csv.ConvertOptions(column_types=kinds, null_values=[], strings_can_be_null=False),
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} must be as ferlab live wrote it: {' '.join(str(error).split())[:200]}") from error


def _names(table: Any, tracks: npt.NDArray[Any]) -> dict[int, str]:
    """Who a track was, as the last of its rows with a name says."""
    column = table["name"].combine_chunks()
    words, codes = column.dictionary.to_pylist(), np.array(column.indices)
    pairs = np.unique(np.stack([tracks, codes], 1), axis=0).tolist() if len(codes) else []
    return {track: printable(words[code])[:NAMED] for track, code in pairs if words[code]}


def _summary(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What session.json holds, and what is to be said of it."""
    path = own_file(folder, SUMMARY)
    if path is None:
        return {}, [f"there is no {SUMMARY}: the program ended before the session did, or runs still"]
    try:
        return read_json(path), []
    except (OSError, ValueError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:120]
        return {}, [f"{SUMMARY} cannot be read: {reason}"]


def picture(said: Any, boxes: npt.NDArray[Any]) -> tuple[int, int]:
    """Width and height of a frame, as session.json says, or as large as the boxes (n, 4) need."""
    if isinstance(said, list) and len(said) == 2 and all(type(side) is int and 0 < side <= SIDE for side in said):
        return said[0], said[1]
    reach = (boxes[:, :2] + boxes[:, 2:]).max(0, initial=0)
    wide, high = (min(SIDE, max(least, math.ceil(side))) for side, least in zip(reach, (640, 480), strict=True))
    return wide, high


def facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What session.json says, a name and a line each."""
    found = []
    for name, value in list(summary.items())[:FACTS]:
        text = " ".join(printable(plain(value)).split())
        found.append((printable(name)[:NAMED], text if len(text) <= FACT else f"{text[:FACT]}…"))
    return found
