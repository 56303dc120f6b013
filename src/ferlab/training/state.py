"""Everything that training changes, and its checkpoint: written atomically, read back without unpickling objects."""

import pickle
import random
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from ferlab.errors import TrainingError
from ferlab.files import replacing, why_unwritable
from ferlab.models import Loaded, Net
from ferlab.training.optim import Schedule

FORMAT = 2


@dataclass
class Position:
    """Where a run is.

    Attributes:
        epoch: epochs finished.
        step: optimizer steps done in the epoch under way.
        loss, correct, labelled, seen: sums over the faces of that epoch so far; correct and labelled count those with
            an expression label.
        seconds: spent in that epoch so far.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    correct: float = 0.0
    labelled: float = 0.0
    seen: int = 0
    seconds: float = 0.0


@dataclass
class Best:
    """The best epoch so far, from 1, by the monitored metric; epoch 0 is none yet."""

    value: float = 0.0
    epoch: int = 0


@dataclass
class State:
    """The mutable parts of a run.

    Attributes:
        fabric: devices and processes.
        net: the network itself.
        module: the network as Fabric wraps it; this one is called for training.
        loss: (outputs, targets) -> scalar mean; it may have weights of its own to learn.
        optimizer, schedule: see optim.py.
        ema: the moving average of the weights, or None.
        position, best: see there.
        weights: what the network started from, or None for from scratch; a resumed run has no need to know.
    """

    fabric: Fabric
    net: Net
    module: Any
    loss: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    ema: Any
    position: Position = field(default_factory=Position)
    best: Best = field(default_factory=Best)
    weights: Loaded | None = None

    @property
    def answering(self) -> Net:
        """The network that validation and the bundle use: the average where there is one."""
        net: Net = self.net if self.ema is None else self.ema.module
        return net

    def to_dict(self) -> dict[str, Any]:
        """Tensors and plain values. Every process must call it: each has random states of its own."""
        return {
            "format": FORMAT,
            "net": self.net.state_dict(),
            "loss": self.loss.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.scheduler.state_dict(),
            "scaler": self.fabric._precision.state_dict(),
            "random": _gather(self.fabric, _random_state()),
            "position": asdict(self.position),
            "best": asdict(self.best),
        }

    def restore(self, values: dict[str, Any]) -> None:
        """Go back to what `to_dict` saw; TrainingError if that was another run's."""
        try:
            self._restore(values)
        except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise TrainingError(f"the checkpoint must be this run's, got another's ({reason}); restore it") from error

    def _restore(self, values: dict[str, Any]) -> None:
        self.net.load_state_dict(values["net"])
        self.loss.load_state_dict(values["loss"])
        if self.ema is not None:
            self.ema.module.load_state_dict(values["ema"])
        self.optimizer.load_state_dict(values["optimizer"])
        self.schedule.scheduler.load_state_dict(values["schedule"])
        self.fabric._precision.load_state_dict(values["scaler"])
        self.position = Position(**values["position"])
        self.best = Best(**values["best"])
        if len(values["random"]) != self.fabric.world_size:
            raise TrainingError(
                f"a run must be resumed on as many processes as it ran on, {len(values['random'])}, "
                f"got {self.fabric.world_size}; start as many"
            )
        _set_random_state(values["random"][self.fabric.global_rank])


def save_checkpoint(state: State, path: Path) -> None:
    """Write the state; on any failure the checkpoint that was there stays.

    Raises:
        TrainingError: the disk is full or cannot be written.
    """
    values = state.to_dict()
    if not state.fabric.is_global_zero:
        return
    try:
        with replacing(path) as temporary, open(temporary, "wb") as file:  # torch's own says not what failed
            torch.save(values, file)
    except (OSError, RuntimeError) as error:
        raise TrainingError(
            f"cannot write the checkpoint {path}: {why_unwritable(error)}; the one before is intact: free some space, "
            f"then ferlab train resume={path.parents[1]}"
        ) from error


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote; TrainingError if there is nothing or it is damaged."""
    try:
        check_archive(path)
        values: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(
            f"{path.parents[1]} has no checkpoint to resume from; start it again with --from"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"{path} is not a whole checkpoint: {reason}; restore it, or start again with --from"
        ) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise TrainingError(f"{path} must be a checkpoint of format {FORMAT}; use the ferlab that wrote it")
    return values


def check_archive(path: Path) -> None:
    """Compare every part of a zip archive with its checksum, which torch does not.

    Raises:
        FileNotFoundError: no such file.
        BadZipFile: no archive, or a damaged one, or one that claims more than the file holds.
    """
    if not path.is_file():  # a pipe is never opened
        raise FileNotFoundError(path)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if not stored or sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise zipfile.BadZipFile("its parts must be uncompressed and inside it, as torch writes them")
        if (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"{damaged} in it is damaged, by its checksum")


def _random_state() -> dict[str, Any]:
    """The global generators, as tensors and plain values. ferlab's own draws need none of them, dropout does."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "python": random.getstate(),
    }


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
    if state.get("mps") is not None and torch.backends.mps.is_available():  # checkpoints made before have none
        torch.mps.set_rng_state(state["mps"].cpu())
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    random.setstate(state["python"])


def _gather(fabric: Fabric, value: Any) -> list[Any]:
    """`value` of every process, by rank."""
    if fabric.world_size == 1:
        return [value]
    values: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(values, value)
    return values
