"""The folder of a run: outputs/<date>/<time>_<name>/."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ferlab.errors import TrainingError
from ferlab.files import lock, read_json, read_text, remove_empty, sweep, write_json, write_text

# What is read of a run.json again, which may come from elsewhere: the kind of each value, null aside.
RECORD = {
    "data_digest": str, "spec_digest": str, "commit": str, "precision": str, "environment": dict, "command": str,
    "weights": dict, "teacher": dict, "mlflow_run": str,
}  # fmt: skip


@dataclass(frozen=True)
class RunFolder:
    """Names of what a run leaves behind."""

    path: Path

    @property
    def config(self) -> Path:
        """The composed config: `ferlab train --from` repeats it."""
        return self.path / "config.yaml"

    @property
    def record(self) -> Path:
        """run.json: the data, code and machine that the run used, and its MLflow id."""
        return self.path / "run.json"

    @property
    def metrics(self) -> Path:
        """metrics.jsonl: one line an epoch."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """All that `resume` needs."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def past(self) -> Path:
        """past.bin: the faces that the run sees; see past.py."""
        return self.path / "past.bin"

    @property
    def bundle(self) -> Path:
        """The best epoch's bundle so far."""
        return self.path / "bundle"

    @property
    def predictions(self) -> Path:
        """What the best epoch so far answered for the validation split: `ferlab.evaluation.predictions.Predictions`."""
        return self.path / "validation.safetensors"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, for one process at a time trains in it, and clear what a killed one left there.

        The system lets go when the process ends, however it does.

        Raises:
            TrainingError: another process holds it, or its file system has no locks.
        """
        with open(self.config, "rb+") as file:
            try:
                lock(file.fileno())
            except (BlockingIOError, PermissionError) as error:
                raise TrainingError(
                    f"{self.path} must be free, got another process that trains in it; wait for it, or stop it"
                ) from error
            except OSError as error:
                raise TrainingError(
                    f"cannot lock {self.config}: {error.strerror}; set outputs=… to a folder on another file system"
                ) from error
            for path in (self.checkpoint, self.bundle, self.predictions, self.past, self.metrics, self.record):
                sweep(path)
            yield

    def discard(self) -> None:
        """Remove the folder, and that of the day if it is empty then, unless there is something to go on with in it."""
        if self.checkpoint.exists() or self.bundle.exists():
            return
        for file in (self.config, self.record, self.metrics, self.past):
            file.unlink(missing_ok=True)
        remove_empty([self.checkpoint.parent, self.path, self.path.parent])

    def append(self, row: Mapping[str, float]) -> None:
        """Add one epoch to metrics.jsonl."""
        with open(self.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(dict(row)) + "\n")

    def rows(self, epochs: int) -> list[dict[str, float]]:
        """The first `epochs` epochs of metrics.jsonl; what a killed process wrote after them is left out.

        Raises:
            TrainingError: a line is not the numbers of its epoch.
        """
        try:
            lines = read_text(self.metrics).splitlines()[:epochs]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise TrainingError(f"{self.metrics} must hold a line an epoch, got {error}; restore it") from error
        rows = []
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                if any(type(value) not in (int, float) for value in row.values()) or row["epoch"] != number:
                    raise ValueError
            except (ValueError, AttributeError, KeyError, RecursionError) as error:
                raise TrainingError(
                    f"{self.metrics} must hold the numbers of epoch {number} in line {number}, got '{line[:40]}'; "
                    "restore it"
                ) from error
            rows.append(row)
        return rows

    def rewind(self, epochs: int) -> list[dict[str, float]]:
        """Cut metrics.jsonl back to the epochs that the checkpoint knows, and return them."""
        rows = self.rows(epochs)
        write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in rows))
        return rows

    def read_record(self) -> dict[str, Any]:
        """What `write_record` wrote; TrainingError if it is missing, damaged or something else."""
        try:
            record = read_json(self.record)
        except FileNotFoundError as error:
            raise TrainingError(
                f"{self.path} must be a run's folder, got no run.json in it; the run stopped before its first step, "
                "or the path is another's"
            ) from error
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise TrainingError(f"{self.record} must be what a run wrote: {reason}; restore it") from error
        for key, kind in RECORD.items():
            value = record.get(key)
            if not isinstance(value, kind | None):
                wanted = "text" if kind is str else "keys and values"
                raise TrainingError(f"{self.record} must have {wanted} as '{key}', got {repr(value)[:40]}; restore it")
        if (teacher := record.get("teacher")) and not all(isinstance(teacher.get(k), str) for k in ("path", "sha256")):
            raise TrainingError(
                f"{self.record} must name a teacher by path and sha256, got {str(teacher)[:40]}; restore it"
            )
        return record

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write run.json."""
        write_json(self.record, dict(record))


def new_folder(outputs: Path, name: str) -> RunFolder:
    """A folder that no other run has, also when many start in the same second."""
    now = datetime.now()
    day = outputs / now.strftime("%Y-%m-%d")
    stem = f"{now.strftime('%H-%M-%S')}_{name}"
    for number in range(1, 1000):
        path = day / (stem if number == 1 else f"{stem}_{number}")
        try:
            path.mkdir(parents=True)
            return RunFolder(path)
        except FileExistsError:
            continue
        except OSError as error:
            raise TrainingError(f"cannot create {path}: {error.strerror}; set outputs=… to another folder") from error
    raise TrainingError(f"cannot find a free name for {day / stem}; set name=…")
