"""The schema of a training config: what conf/train.yaml and its groups may say."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from ferlab.errors import ConfigError, suggest
from ferlab.metrics import EPOCH_METRICS
from ferlab.training.engine import EngineOptions
from ferlab.training.fit import FitOptions
from ferlab.training.tracking import TrackerOptions
from ferlab.training.transform import MixOptions

APART = ("seed", "name", "outputs", "resume", "tracker")  # say which run it is and where it goes
# How the same numbers are computed: they differ by rounding at most.
MACHINE = ("device", "threads", "workers", "feed", "channels_last", "compile", "deterministic")


@dataclass
class ModelConfig:
    """conf/model/*.yaml: a name, plain options, and what the specification says of the input.

    Attributes:
        size, mean, std: null for what timm says of its network.
        heads: what the network answers: expression, affect or both.
        weights: to start from: timm, a .safetensors file or a bundle; null is from scratch.
    """

    name: str
    size: int | None
    colour: str
    interpolation: str
    mean: list[float] | None
    std: list[float] | None
    options: dict[str, Any] = field(default_factory=dict)
    heads: list[str] = field(default_factory=lambda: ["expression"])
    weights: str | None = None

    def __post_init__(self) -> None:
        for head in self.heads:
            if head not in EPOCH_METRICS:
                raise ConfigError(f"unknown head '{head}' in model.heads; {suggest(head, EPOCH_METRICS)}")
        if not self.heads:
            raise ConfigError("model.heads must name expression, affect or both, got none; add one")


@dataclass
class AugmentConfig:
    """conf/augment/*.yaml: an albumentations pipeline a face, a BatchAugment, and mixing; any may be null."""

    sample: Any = None
    batch: Any = None
    mix: MixOptions = field(default_factory=MixOptions)


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
    monitor: str = "accuracy"
    patience: int = 0
    sampler: str = "shuffle"
    feed: str = "auto"
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
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more, got {self.seed}")

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
