"""From a training config and a dataset to the objects that the training loop works on."""

import ctypes
import math
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import nn

from ferlab.config import instantiate
from ferlab.data.loaders import Feed, Packed, Resident, Streamed, epoch_order, expected_draws, steps_of
from ferlab.data.packed import packed_shape
from ferlab.data.source import Source, Split
from ferlab.errors import ConfigError, DataError, SpecError
from ferlab.interrupt import StopRequest
from ferlab.losses import Distillation, LabelCounts
from ferlab.metrics import LOWER_IS_BETTER
from ferlab.models import build, load_weights
from ferlab.models.timm_backbone import TIMM_NAMES, published_input
from ferlab.spec import CHANNELS, ModelSpec
from ferlab.training.clock import Clock
from ferlab.training.config import ModelConfig, TrainConfig
from ferlab.training.engine import is_nhwc
from ferlab.training.fit import Fit, Step
from ferlab.training.optim import ema_of, parameter_groups
from ferlab.training.state import State
from ferlab.training.teacher import Teacher, load_teacher
from ferlab.training.transform import Transform


def model_spec(model: ModelConfig, source: Source) -> ModelSpec:
    """What the model's config and the data say together."""
    try:
        return ModelSpec(
            expression=source.labels if "expression" in model.heads else (),
            affect="affect" in model.heads,
            colour=model.colour,  # type: ignore[arg-type]
            interpolation=model.interpolation,  # type: ignore[arg-type]
            face=source.face,
            **input_of(model),
        )
    except SpecError as error:
        raise ConfigError(f"model: {error}") from error


def input_of(model: ModelConfig) -> dict[str, Any]:
    """The specification's size, mean and std: the config's, and where it says null, those of timm's weights."""
    values = {"size": model.size, "mean": model.mean, "std": model.std}
    open_ones = [key for key, value in values.items() if value is None]
    if open_ones:
        name = TIMM_NAMES.get(model.name) or model.options.get("name")
        if name is None:
            raise ConfigError(
                f"model.{open_ones[0]} must be given for {model.name}, got null; only timm's networks have their own"
            )
        published = published_input(name, CHANNELS.get(model.colour, 3))
        values |= {key: published[key] for key in open_ones}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def build_fit(
    config: TrainConfig,
    source: Source,
    spec: ModelSpec,
    fabric: Fabric,
    stop: StopRequest,
    watch: Callable[[Step], None],
    clock: Clock,
) -> Fit:
    """Everything that the training loop needs, at the start of its first epoch."""
    train, validation = source.split("train"), source.split("validation")
    loss = build_loss(config, source, spec).to(fabric.device)
    check_truth(spec, (train, validation))
    augment = None if config.augment.batch is None else instantiate(config.augment.batch)
    sample = None if config.augment.sample is None else instantiate(config.augment.sample)
    order = partial(epoch_order, train, config.trainer.sampler, config.seed)
    steps = steps_of(len(order(0)), config.trainer.batch_size)
    teacher = build_teacher(config, loss, spec, fabric)  # before the state, which sets the random generators
    state = build_state(config, spec, loss, fabric, steps)
    return Fit(
        state=state,
        options=config.trainer,
        seed=config.seed,
        order=order,
        train=build_feed(config, train, spec, fabric.device, sample),
        transform=Transform(len(spec.expression), config.seed, train.draw, augment, config.augment.mix),
        validation=build_feed(config, validation, spec, fabric.device, None),
        truth=validation,
        labels=source.labels,
        monitor=config.trainer.monitor,
        stop=stop,
        watch=watch,
        clock=clock,
        teacher=teacher,
    )


def build_loss(config: TrainConfig, source: Source, spec: ModelSpec) -> nn.Module:
    """The loss that a config describes, told how what it will see is labelled.

    Raises:
        ConfigError: it needs a head that the model lacks, or leaves one untrained.
    """
    mixed = config.augment.mix.share
    if "affect" in spec.heads and mixed == 1 and config.teacher is None:  # a teacher answers for blends too
        raise ConfigError(
            "augment.mix.probability must be below 1 where valence and arousal are trained, for a blend has none, "
            "got 1.0; set augment.mix.probability=0.5"
        )
    counts = label_counts(source.split("train"), config.trainer.sampler, mixed, len(source.labels))
    loss: nn.Module = instantiate(config.loss, counts=counts)
    if set(loss.heads) != set(spec.heads):  # type: ignore[arg-type]
        wanted, name = ",".join(loss.heads), type(loss).__name__  # type: ignore[arg-type]
        raise ConfigError(
            f"loss {name} trains the heads [{wanted}], the model has [{','.join(spec.heads)}]; "
            f"set model.heads=[{wanted}] or another loss"
        )
    return loss


def label_counts(train: Split, sampler: str, mixed: float, classes: int) -> LabelCounts:
    """The labels of an epoch's targets, on average: of what the sampler draws, so that class weights and priors correct
    what it leaves and never correct twice; of the votes where they are the targets, so that the mean weight is 1; of
    valence and arousal outside mixed batches.
    """
    draws = expected_draws(train, sampler)
    if train.votes is not None:
        faces: npt.NDArray[Any] = draws @ train.votes
    else:
        labelled = train.labels >= 0
        faces = np.bincount(train.labels[labelled], draws[labelled], minlength=classes)
    known = 0.0 if train.affect is None else float(draws @ np.isfinite(train.affect).sum(1))
    return LabelCounts(float(draws.sum()), faces.tolist(), known * (1 - mixed))


def build_teacher(config: TrainConfig, loss: nn.Module, spec: ModelSpec, fabric: Fabric) -> Teacher | None:
    """The teacher that the config names, if the loss listens to one; see `load_teacher`.

    Raises:
        ConfigError: one of both without the other, or a teacher that does not fit.
    """
    if isinstance(loss, Distillation):
        if config.teacher is None:
            raise ConfigError("loss=distill needs a teacher, got none; add teacher=, a bundle's or its run's folder")
        return load_teacher(config.teacher, spec, fabric, is_nhwc(config.trainer.channels_last, fabric.device))
    if config.teacher is not None:
        raise ConfigError(
            f"loss {type(loss).__name__} learns nothing from a teacher, got teacher={config.teacher}; use loss=distill"
        )
    return None


def check_truth(spec: ModelSpec, splits: Sequence[Split]) -> None:
    """Every head must have labels to learn from and to be judged by; DataError for a split without any."""
    for split in splits:
        if "expression" in spec.heads and not (split.labels >= 0).any():
            raise DataError(f"the {split.name} split has no expression label; set model.heads=[affect], or other data")
        if "affect" in spec.heads and (split.affect is None or not np.isfinite(split.affect).any()):
            raise DataError(
                f"the {split.name} split has no valence and arousal; set model.heads=[expression], or other data "
                "such as affectnet"
            )


def build_state(config: TrainConfig, spec: ModelSpec, loss: nn.Module, fabric: Fabric, steps: int) -> State:
    """Network, optimizer, schedule and moving average, from the seed."""
    trainer = config.trainer
    torch.manual_seed(config.seed)  # the same first weights in every process
    net = build(spec, config.model.name, config.model.options)
    # A resumed run gets its weights from the checkpoint; the file that it started from may be gone.
    weights = load_weights(net, config.model.weights) if config.model.weights and not config.resume else None
    groups = parameter_groups(net, loss, config.optimizer["lr"], config.optimizer["weight_decay"], trainer.backbone_lr)
    optimizer = instantiate(config.optimizer, params=groups)
    maximise = trainer.monitor not in LOWER_IS_BETTER
    schedule = instantiate(config.scheduler, optimizer=optimizer, steps=steps, epochs=trainer.epochs, maximise=maximise)
    nhwc = is_nhwc(trainer.channels_last, fabric.device)
    net.to(memory_format=torch.channels_last if nhwc else torch.contiguous_format)
    compiled: Any = torch.compile(net) if trainer.compile else net
    module, wrapped = fabric.setup(compiled, optimizer)
    torch.manual_seed(config.seed + fabric.global_rank)  # from here on, dropout differs between processes
    return State(fabric, net, module, loss, wrapped, schedule, ema_of(net, trainer.ema), weights=weights)


def build_feed(config: TrainConfig, split: Split, spec: ModelSpec, device: torch.device, sample: Any) -> Feed:
    """What `trainer.feed` says. auto is resident where the prepared faces fit a quarter of the memory and no per-face
    pipeline is wanted, else streamed; so is validation's, but that packed is packed for both.
    """
    trainer = config.trainer
    fits = math.prod(packed_shape(split, spec)) < _memory(device) / 4
    nhwc = is_nhwc(trainer.channels_last, device)
    feed = trainer.feed if split.name == "train" or trainer.feed == "packed" else "auto"
    if feed == "auto":
        feed = "resident" if fits and sample is None else "streamed"
    if feed != "streamed" and sample is not None:
        raise ConfigError(
            f"trainer.feed={feed} takes batches only, got an albumentations pipeline; use augment=batched"
        )
    if feed != "streamed":
        kept = Resident if feed == "resident" else Packed
        return kept(split, spec, device, nhwc)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # On the CPU the network itself keeps all cores busy, so a worker would only take turns with it.
    automatic = 0 if device.type == "cpu" else min(cores, 12)
    workers = automatic if trainer.workers is None else trainer.workers
    return Streamed(split, spec, device, sample, nhwc, config.seed, workers)


def _memory(device: torch.device) -> int:
    """Bytes that `device` has."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if sys.platform == "win32":
        status = _MemoryStatus(ctypes.sizeof(_MemoryStatus))
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.total)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of Windows."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("others", ctypes.c_uint64 * 6),
    )
