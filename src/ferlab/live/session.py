"""What a session leaves: a line a frame while it runs, and a summary at its end. No pictures."""

import json
import platform
import statistics
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from ferlab.errors import ConfigError
from ferlab.files import why_unwritable, write_json
from ferlab.live.pipeline import Seen

FRAMES, SUMMARY = "frames.jsonl", "session.json"


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
        ms: name of a duration -> milliseconds of the last frames.
    """

    frames: int = 0
    faces: int = 0
    tracks: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    uncertain: int = 0
    errors: int = 0
    begun: float = field(default_factory=time.monotonic)
    media: float = 0.0
    ms: dict[str, list[float]] = field(default_factory=dict)

    _first: float = 0.0
    LAST = 100_000  # frames whose durations are kept: an hour at 28 frames a second

    def count(self, seen: Seen, names: tuple[str, ...], end_to_end_ms: float) -> None:
        """Add a frame."""
        self._first = seen.frame.time if not self.frames else self._first
        self.media = seen.frame.time - self._first
        self.frames, self.faces = self.frames + 1, self.faces + len(seen.faces)
        self.tracks = max(self.tracks, int(seen.faces.ids.max(initial=-1)) + 1)
        self.labels.update(names[face.label] for face in seen.shown)
        self.uncertain += sum(face.uncertain for face in seen.shown)
        took = {"detector": seen.detector_ms, "classifier": seen.classifier_ms, "end_to_end": end_to_end_ms}
        for name, value in took.items():
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


def plain(seen: Seen, names: tuple[str, ...], top: int, end_to_end_ms: float) -> dict[str, Any]:
    """A frame as frames.jsonl has it; times in s, durations in ms, boxes in pixels."""
    faces: list[dict[str, Any]] = []
    expression, affect = (seen.faces.answers.get(head) for head in ("expression", "affect"))
    for i in range(len(seen.faces)):
        face: dict[str, Any] = {
            "track": int(seen.faces.ids[i]),
            "box": [round(float(value), 1) for value in seen.faces.boxes[i]],
            "score": round(float(seen.faces.scores[i]), 3),
        }
        if expression is not None:
            shown, shares = seen.shown[i], expression[i]
            best = np.argsort(-shares, kind="stable")[:top].tolist()
            face |= {
                "label": names[shown.label],
                "confidence": round(float(shares[shown.label]), 4),
                "uncertain": shown.uncertain,
                "second": None if shown.second is None else names[shown.second],
                "expression": {names[j]: round(float(shares[j]), 4) for j in best},
                "unsmoothed": names[int(seen.raw[i].argmax())],
            }
        if affect is not None:
            face |= {"valence": round(float(affect[i][0]), 4), "arousal": round(float(affect[i][1]), 4)}
        faces.append(face)
    took = {"detector_ms": seen.detector_ms, "classifier_ms": seen.classifier_ms, "end_to_end_ms": end_to_end_ms}
    return {
        "frame": seen.frame.index,
        "time": round(seen.frame.time, 4),
        "faces": faces,
        **{name: round(value, 2) for name, value in took.items()},
    }


class Session:
    """A folder with frames.jsonl, whole lines after whatever ends the program, and session.json once it ends.

    Args:
        folder: a new one, or one without a session.

    Raises:
        ConfigError: there is a session in it, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # No buffer: a line is with the system when `write` returns, whatever becomes of this process.
            self._lines: IO[bytes] = open(self.folder / FRAMES, "xb", buffering=0)
        except FileExistsError as error:
            raise ConfigError(f"out={self.folder} must hold no session yet, got one; name another folder") from error
        except OSError as error:
            raise ConfigError(f"cannot write to out={self.folder}: {why_unwritable(error)}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a frame; OSError, such as of a full disk, after which the line is not there in part."""
        end = self._lines.tell()
        content = (json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n").encode()
        try:
            if self._lines.write(content) != len(content):
                raise OSError(28, "No space left on device")
        except OSError:
            self._lines.truncate(end)
            raise

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write session.json."""
        machine = {"platform": platform.platform(), "python": platform.python_version()}
        write_json(self.folder / SUMMARY, {**summary, "machine": machine})
