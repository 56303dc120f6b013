"""What a session leaves: a line a frame and a row a face while it runs, and a summary at its end. No pictures."""

import csv
import io
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import numpy as np

from ferlab.errors import ConfigError, DataError
from ferlab.evaluation.text import no_formula
from ferlab.files import why_unwritable
from ferlab.live.encrypted import SEALED
from ferlab.live.pipeline import Seen
from ferlab.live.store import Store
from ferlab.spec import ModelSpec

FRAMES, TABLE, SUMMARY = "frames.jsonl", "frames.csv", "session.json"
PLACE = ("frame", "time", "track", "left", "top", "width", "height", "score")
SAID = ("label", "confidence", "uncertain", "second", "unsmoothed")


@dataclass
class Tally:
    """Sums over the frames, of a size that does not grow with them.

    Attributes:
        frames, faces: how many.
        tracks: ids that were given.
        labels: label that was shown -> faces.
        uncertain: faces whose label was.
        errors: frames that failed.
        media: time of the last frame since the first, s: of a video, how much of it was seen.
        picture: width and height of the first frame, pixels, in which boxes are told.
        begun, date: when it began, by the monotonic clock in s, and in UTC.
        ms: name of a duration -> milliseconds of the last frames.
    """

    frames: int = 0
    faces: int = 0
    tracks: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    uncertain: int = 0
    errors: int = 0
    begun: float = field(default_factory=time.monotonic)
    date: datetime = field(default_factory=lambda: datetime.now(UTC))
    media: float = 0.0
    picture: tuple[int, int] | None = None
    ms: dict[str, list[float]] = field(default_factory=dict)

    _first: float = 0.0
    LAST = 100_000  # frames whose durations are kept: an hour at 28 frames a second

    def count(self, seen: Seen) -> None:
        """Add a frame."""
        if not self.frames:
            height, width = seen.frame.image.shape[:2]
            self._first, self.picture = seen.frame.time, (width, height)
        self.media = seen.frame.time - self._first
        self.frames, self.faces = self.frames + 1, self.faces + len(seen.faces)
        self.tracks = max(self.tracks, int(seen.faces.ids.max(initial=-1)) + 1)
        self.labels.update(seen.names[face.label] for face in seen.shown)
        self.uncertain += sum(face.uncertain for face in seen.shown)
        for name, value in _took(seen).items():
            values = self.ms.setdefault(name, [])
            values.append(value)
            del values[: -self.LAST]

    def summary(self) -> dict[str, Any]:
        """Plain values for session.json."""
        seconds = time.monotonic() - self.begun
        return {
            "frames": self.frames,
            "seconds": round(seconds, 3),
            "fps": round(self.frames / seconds, 2) if seconds else None,
            "media_seconds": round(self.media, 3),
            "picture": self.picture and list(self.picture),
            "faces": self.faces,
            "tracks": self.tracks,
            "labels": dict(self.labels.most_common()),
            "uncertain": self.uncertain,
            "errors": self.errors,
            "ms": {
                name: {"p50": round(statistics.median(v), 2), "p95": round(float(np.percentile(v, 95)), 2)}
                for name, v in self.ms.items()
            },
        }


def _took(seen: Seen) -> dict[str, float]:
    """What is said of a frame's durations, ms."""
    names = ("age", "detector", "classifier", "end_to_end")
    return {name: getattr(seen, f"{name}_ms") for name in names}


def plain(seen: Seen, top: int, names: bool = False) -> dict[str, Any]:
    """A frame as frames.jsonl has it; times in s, durations in ms, boxes in pixels; who it is only if `names`."""
    faces: list[dict[str, Any]] = []
    for each in seen.people:
        face = {"track": each.track, "box": [round(v, 1) for v in each.box], "score": round(each.score, 3)}
        if each.label is not None and each.confidence is not None:
            face |= {
                "label": each.label,
                "confidence": round(each.confidence, 4),
                "uncertain": each.uncertain,
                "second": each.second,
                "expression": {name: round(share, 4) for name, share in list(each.expression.items())[:top]},
                "unsmoothed": each.unsmoothed,
            }
        if each.valence is not None and each.arousal is not None:
            face |= {"valence": round(each.valence, 4), "arousal": round(each.arousal, 4)}
        faces.append(face | ({"name": each.name} if names else {}))
    took = {f"{name}_ms": round(value, 2) for name, value in _took(seen).items()}
    return {"frame": seen.frame.index, "time": round(seen.frame.time, 4), "faces": faces, **took}


def columns(spec: ModelSpec, names: bool = False) -> list[str]:
    """Of frames.csv."""
    affect = ("valence", "arousal") if spec.affect else ()
    return [*PLACE, *((*SAID, *spec.expression) if spec.expression else ()), *affect, *(["name"] if names else [])]


def rows(seen: Seen, names: bool = False) -> list[list[Any]]:
    """The faces of a frame as frames.csv has them, with a probability for every label in the model's order."""
    found = []
    for each in seen.people:
        row: list[Any] = [seen.frame.index, round(seen.frame.time, 4), each.track, *(round(v, 1) for v in each.box)]
        row.append(round(each.score, 3))
        if each.label is not None and each.confidence is not None:
            row += [each.label, round(each.confidence, 6), str(each.uncertain).lower(), each.second, each.unsmoothed]
            row += [round(each.expression[name], 6) for name in seen.names]
        row += [round(value, 6) for value in (each.valence, each.arousal) if value is not None]
        found.append([*row, *([each.name] if names else [])])
    return found


class Session:
    """frames.jsonl and frames.csv, whole after whatever ends the program, and session.json at the end. A context.

    Args:
        store: takes the files; it is held open.
        spec: of the model.
        top: labels a face in frames.jsonl; frames.csv has all.
        names: whether to say who it was.

    Raises:
        ConfigError: there is a session in it, or it cannot be written.
    """

    def __init__(self, store: Store, spec: ModelSpec, top: int, names: bool = False) -> None:
        self.store, self.folder, self.spec, self.top, self.names = store, store.path, spec, top, names

    def __enter__(self) -> Self:
        with ExitStack() as held:
            try:
                if any((self.folder / name).exists() for name in (FRAMES, SEALED)):
                    raise FileExistsError
                held.enter_context(self.store)
                self.store.add(FRAMES, b"")
                self.store.add(TABLE, _csv([columns(self.spec, self.names)]))
            except FileExistsError as error:
                raise ConfigError(f"out={self.folder} must hold no session yet, got one; name another folder") \
                    from error  # fmt: skip
            except OSError as error:
                raise ConfigError(f"cannot write to out={self.folder}: {why_unwritable(error)}") from error
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def write(self, seen: Seen) -> None:
        """Add a frame; DataError if that cannot be done, after which no part of a line is there."""
        line = json.dumps(plain(seen, self.top, self.names), ensure_ascii=False, allow_nan=False) + "\n"
        try:
            self.store.add(FRAMES, line.encode(errors="backslashreplace"))
            self.store.add(TABLE, _csv(rows(seen, self.names)))
        except OSError as error:
            raise DataError(
                f"cannot write to {self.folder}: {why_unwritable(error)}; all before frame {seen.frame.index} is there"
            ) from error

    def discard(self) -> None:
        """Remove what was made, for nothing was seen: the camera did not open."""
        self.store.discard()

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write session.json; DataError if that cannot be done."""
        try:
            self.store.put(SUMMARY, (json.dumps(dict(summary), indent=2, allow_nan=False) + "\n").encode())
        except OSError as error:
            raise DataError(f"cannot write {self.folder / SUMMARY}: {why_unwritable(error)}") from error


def _csv(table: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    safe = ([no_formula(cell) if isinstance(cell, str) else cell for cell in row] for row in table)
    csv.writer(text, lineterminator="\n").writerows(safe)
    return text.getvalue().encode(errors="backslashreplace")
