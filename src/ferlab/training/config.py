"""The schema of a training config: what conf/train.yaml and its groups may say.

It imports no torch, so that a mistake is told at once.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from ferlab.catalogue import choice, model_names
from ferlab.data.source import FEEDS, SAMPLERS
from ferlab.errors import ConfigError, suggest
from ferlab.metrics import EPOCH_METRICS
from ferlab.spec import LARGEST, SMALLEST
from ferlab.training.tracking import TrackerOptions

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
APART = ("seed", "name", "outputs", "resume", "tracker")  # say which run it is and where it goes
# How the same numbers are computed: they differ by rounding at most.
MACHINE = ("device", "threads", "workers", "feed", "channels_last", "compile", "deterministic")


@dataclass(kw_only=True)
class ModelConfig:
    """conf/model/*.yaml: a name, plain options, and what the specification says of the input.

    Attributes:
        size, mean, std: null for what timm says of its network.
        heads: what the network answers: expression, affect or both.
        weights: to start from: timm, a .safetensors file or a bundle; null is from scratch.
    """

    name: str = choice(..., model_names)
    size: int | None
    colour: str = choice(..., "ferlab.spec:CHANNELS")
    interpolation: str = choice(..., lambda: get_args(import_module("ferlab.spec").Interpolation))
    mean: list[float] | None
    std: list[float] | None
    options: dict[str, Any] = field(default_factory=dict)
    heads: list[str] = choice(["expression"], EPOCH_METRICS)
    weights: str | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not SMALLEST <= self.size <= LARGEST:
            raise ConfigError(f"model.size must be {SMALLEST} to {LARGEST} pixels, got {self.size}")
        if not self.heads:
            raise ConfigError("model.heads must name expression, affect or both, got none; add one")


@dataclass
class MixOptions:
    """Keys of `augment.mix`.

    Attributes:
        mixup: α of MixUp's Beta(α, α) (Zhang et al. 2018, arXiv:1710.09412, eq. 1); 0 turns it off.
        cutmix: α of CutMix (Yun et al. 2019, arXiv:1905.04899, eq. 1); 0 turns it off.
        probability: of mixing a batch at all, a step's over all processes. With both on, each has half of it.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        if self.mixup < 0 or self.cutmix < 0 or not 0 <= self.probability <= 1:
            raise ConfigError(f"augment.mix must have α of 0 or more and a probability in [0, 1], got {self}")

    @property
    def share(self) -> float:
        """Of the batches that are mixed, on average."""
        return self.probability if self.mixup or self.cutmix else 0.0


@dataclass
class AugmentConfig:
    """conf/augment/*.yaml: an albumentations pipeline a face, a BatchAugment, and mixing; any may be null."""

    sample: Any = None
    batch: Any = None
    mix: MixOptions = field(default_factory=MixOptions)


@dataclass
class FitOptions:
    """Keys of conf/trainer/*.yaml that shape the loop.

    Attributes:
        epochs: passes over the training split.
        batch_size: faces of an optimizer step, over all processes together.
        accumulate: cut each batch into so many microbatches, which saves memory and changes nothing but batch
            statistics and the correlation in losses.Affect.
        clip: largest norm of the gradient, or None.
        freeze_epochs: train only the heads for so many epochs.
    """

    epochs: int = 28
    batch_size: int = 128
    accumulate: int = 1
    clip: float | None = None
    freeze_epochs: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate"):
            if getattr(self, name) < 1:
                raise ConfigError(f"trainer.{name} must be 1 or more, got {getattr(self, name)}")
        if not 0 <= self.freeze_epochs < self.epochs:
            raise ConfigError(f"trainer.freeze_epochs must be below {self.epochs} epochs, got {self.freeze_epochs}")
        if self.clip is not None and not self.clip > 0:
            raise ConfigError(f"trainer.clip must be positive or null, got {self.clip}")


@dataclass
class EngineOptions:
    """Where and how numbers are computed; keys of conf/trainer/*.yaml.

    Attributes:
        device: auto, cpu, cuda or mps.
        precision: auto, 32-true, bf16-mixed or 16-mixed. auto is bf16 where the hardware multiplies in it.
        threads: CPU threads of a process; 0 leaves torch's choice.
        channels_last: NHWC memory, which convolutions prefer; None decides, see `engine.is_nhwc`.
        compile: torch.compile the network.
        deterministic: same seed, same numbers, at some cost on a GPU; torch warns where it cannot.
    """

    device: str = choice("auto", DEVICES)
    precision: str = choice("auto", PRECISIONS)
    threads: int = 0
    channels_last: bool | None = None
    compile: bool = False
    deterministic: bool = True


@dataclass
class TrainerConfig(FitOptions, EngineOptions):
    """conf/trainer/*.yaml: FitOptions, EngineOptions, and these.

    Attributes:
        ema: decay of the moving average of the weights, or None.
        backbone_lr: the backbone's learning rate as a fraction of the heads'.
        monitor: the validation metric that selects the best epoch.
        patience: stop after so many epochs without a better one; 0 never stops.
        sampler: shuffle, or weighted: each class equally often.
        feed: where training faces come from: resident, prepared once and kept in memory; packed, prepared once and kept
            in the cache on disk; streamed, read and augmented when they are needed; auto decides by size.
        workers: processes that read and augment streamed faces; null decides.
    """

    ema: float | None = None
    backbone_lr: float = 1.0
    monitor: str = choice("accuracy", [name for names in EPOCH_METRICS.values() for name in names])
    patience: int = 0
    sampler: str = choice("shuffle", SAMPLERS)
    feed: str = choice("auto", FEEDS)
    workers: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("threads", "workers", "patience", "backbone_lr"):
            if (getattr(self, name) or 0) < 0:
                raise ConfigError(f"trainer.{name} must be 0 or more, got {getattr(self, name)}")


@dataclass
class TrainConfig:
    """conf/train.yaml."""

    data: Any
    model: ModelConfig
    loss: Any
    optimizer: Any
    scheduler: Any
    augment: AugmentConfig
    trainer: TrainerConfig
    tracker: TrackerOptions
    seed: int
    outputs: str
    teacher: str | None = None
    name: str | None = None
    resume: str | None = None

    def __post_init__(self) -> None:
        known = [name for head in self.model.heads for name in EPOCH_METRICS.get(head, ())]
        if known and self.trainer.monitor not in known:  # an unknown head is told by `config.typed`
            raise ConfigError(
                f"trainer.monitor must be a metric of the model's heads, got '{self.trainer.monitor}'; "
                f"{suggest(self.trainer.monitor, known)}"
            )
        if not 0 <= self.seed < 2**63:  # what torch's generators take
            raise ConfigError(f"seed must be 0 or more and below 2^63, got {self.seed}")
        if self.name is not None and (not self.name or Path(self.name).name != self.name):
            raise ConfigError(f"name must be that of a folder, got '{self.name}'; leave out / and the like")

    @property
    def digest(self) -> str:
        """Sixteen hex digits, the same for runs that differ in their seed, name, place and machine alone.

        `precision` counts, but as it stands: auto may be bf16 on one machine and float32 on another; run.json has both.
        """
        recipe = {key: value for key, value in asdict(self).items() if key not in APART}
        recipe["trainer"] = {key: value for key, value in recipe["trainer"].items() if key not in MACHINE}
        recipe["data"] = _rootless(recipe["data"])
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def _rootless(data: Any) -> Any:
    """A dataset's config, and those in it, without the folders: which faces these are, the data's own digest says."""
    if not isinstance(data, dict):
        return data
    return {key: _rootless(value) for key, value in data.items() if key != "root"}
