"""The folder of a run: outputs/<date>/<time>_<name>/."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ferlab.errors import TrainingError
from ferlab.files import lock, sweep, write_json, write_text


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

    def append(self, row: Mapping[str, float]) -> None:
        """Add one epoch to metrics.jsonl."""
        with open(self.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(dict(row)) + "\n")

    def rows(self, epochs: int) -> list[dict[str, float]]:
        """The first `epochs` epochs of metrics.jsonl; what a killed process wrote after them is left out."""
        if not self.metrics.exists():
            return []
        rows = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines()[:epochs]:
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise TrainingError(f"{self.metrics} must hold JSON lines, got '{line[:40]}'; restore it") from error
        return rows

    def rewind(self, epochs: int) -> list[dict[str, float]]:
        """Cut metrics.jsonl back to the epochs that the checkpoint knows, and return them."""
        rows = self.rows(epochs)
        write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in rows))
        return rows

    def read_record(self) -> dict[str, Any]:
        """What `write_record` wrote; TrainingError if it is missing or damaged."""
        try:
            record: dict[str, Any] = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TrainingError(f"{self.path} must be a run's folder with run.json: {error}; check the path") from error
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
