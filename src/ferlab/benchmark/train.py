"""`ferlab benchmark train`: how fast training is beside others, beside what it could be, and where the time goes."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ferlab import config
from ferlab.benchmark.others import DTYPES, Loop, precision_of, timm, tutorial, workers_of, write_pictures
from ferlab.benchmark.peak import gemm_rate, gemm_side, step_flops
from ferlab.benchmark.turns import in_turns, ratio, seconds, wait
from ferlab.data.loaders import Batch, Part, Streamed, plan
from ferlab.data.source import Source
from ferlab.errors import ConfigError
from ferlab.interrupt import StopRequest
from ferlab.provenance import commit, environment, peak_mb
from ferlab.spec import ModelSpec
from ferlab.training.build import build_fit, model_spec
from ferlab.training.clock import Clock
from ferlab.training.config import AugmentConfig, TrainConfig
from ferlab.training.engine import launch
from ferlab.training.fit import Fit, train_epoch
from ferlab.training.state import Position
from ferlab.training.tracking import Tracker, TrackerOptions

FERLAB, BOUND, PEAK = "ferlab", "its bound: one resident batch", "matrix product"


@dataclass
class BenchmarkConfig(TrainConfig):
    """conf/benchmark.yaml."""

    steps: int = 30
    rounds: int = 5
    out: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, got {getattr(self, name)}")


def read_config(overrides: Sequence[str]) -> BenchmarkConfig:
    """The checked config, with a tiny constant rate: it changes no speed, and the weights cannot run away."""
    options = config.typed(config.compose("benchmark", overrides), BenchmarkConfig)
    options.scheduler = {"_target_": "ferlab.training.optim.constant"}
    options.optimizer["lr"] = 1e-5
    options.trainer.freeze_epochs = 0  # what is frozen in the first rounds would be trained in others
    return options


@dataclass(frozen=True)
class Way:
    """A way of training the network.

    Attributes:
        name: of it, with others that differ in the workers alone.
        augmentation, workers: what becomes of the pictures, and how many processes prepare them.
        net: the network.
        step: one step of training it.
        rate: round -> images/s.
    """

    name: str
    augmentation: str
    workers: int
    net: nn.Module
    step: Callable[[], object]
    rate: Callable[[int], float]

    @property
    def title(self) -> str:
        """What no other way is called."""
        return f"{self.name}, {self.workers} workers"


def measure(options: BenchmarkConfig) -> dict[str, Any]:
    """Time the training step as `ferlab train` runs it, other ways to train, and what bounds it, in turns.

    Returns:
        Plain values for JSON and for `tables.train`.
    """
    imports_mb = peak_mb()
    fabric = launch(options.trainer)
    source: Source = config.instantiate(options.data)
    spec = model_spec(options.model, source)
    run = build_fit(options, source, spec, fabric, StopRequest(), lambda step: None, Clock())
    run = shortened(run, options.steps)
    rate(run, 0)
    training_mb = peak_mb()
    dtype = DTYPES.get(precision_of(run), torch.float32)
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(source.split("train"), spec, options.steps, options.trainer.batch_size, Path(folder))
        others, (mine, bound) = other_ways(options, spec, run, Path(folder)), own_ways(options, run)
        ways = [*others, mine, bound]
        looks = [look(way) for way in ways]
        turns = {way.title: way.rate for way in ways} | {PEAK: lambda i: gemm_rate(fabric.device, dtype)}
        rates = in_turns(turns, options.rounds)
    own = rates[mine.title]
    best = [max(each) for each in zip(*(rates[way.title] for way in others), strict=True)]
    flops = step_flops(run.state.net, spec)
    return {
        "model": options.model.name,
        "size": spec.size,
        "data": source.protocol,
        "batch_size": options.trainer.batch_size,
        "precision": precision_of(run),
        "ways": [
            {
                "name": way.name,
                "workers": way.workers,
                **seen,
                "augmentation": way.augmentation,
                "images_per_s": rates[way.title],
                "ferlab_over_it": asdict(ratio(own, rates[way.title])),
            }
            for way, seen in zip(ways, looks, strict=True)
        ],
        "ferlab_over": {
            "best_of_the_others": asdict(ratio(own, best)),
            "bound": asdict(ratio(own, rates[bound.title])),
        },
        "peak": {
            "flops_an_image": flops,
            "side": gemm_side(fabric.device),
            "dtype": str(dtype).removeprefix("torch."),
            "flops_per_s": rates[PEAK],
            "ferlab_share": asdict(ratio([flops * each for each in own], rates[PEAK])),
        },
        "step_ms": where_time_goes(run),
        "tracking_ms_an_epoch": 1e3 * _tracking_s(),
        "epoch_s": len(source.split("train")) / statistics.median(own),
        "memory_mb": _memory(imports_mb, training_mb),
        "environment": environment(fabric.device),
        "commit": commit(),
    }


def _memory(imports: float | None, whole: float | None) -> dict[str, float] | None:
    """Peak MiB of the imports and what training adds to it, which can be nothing; None where it cannot be told."""
    return None if imports is None or whole is None else {"imports": imports, "training": whole - imports}


def shortened(run: Fit, steps: int) -> Fit:
    """The run with epochs of so many steps, from the start again where an epoch has fewer."""
    return replace(run, order=lambda epoch: np.resize(run.order(epoch), steps * run.options.batch_size))


def other_ways(options: BenchmarkConfig, spec: ModelSpec, run: Fit, folder: Path) -> list[Way]:
    """The tutorials' loop as people write it, the same in the run's precision and layout, and timm's; each with and
    without workers.
    """
    device, ways = run.state.fabric.device, []
    for name, read, tuned, augmentation in (
        ("tutorial", tutorial, False, "albumentations, standard"),
        ("tutorial, tuned", tutorial, True, "albumentations, standard"),
        ("timm", timm, True, "timm's default"),
    ):
        for workers in (0, workers_of(device)):
            pictures = read(folder, spec, options.trainer.batch_size, workers, device)
            loop = Loop(options, spec, run, pictures, tuned, options.steps)
            ways.append(Way(name, augmentation, workers, loop.net, loop.step, loop.rate))
    return ways


def own_ways(options: BenchmarkConfig, run: Fit) -> tuple[Way, Way]:
    """The run as configured, and the same step without reading and augmenting."""
    as_it_is = lambda batch, epoch: (batch.images, batch.targets)  # noqa: E731
    bound = replace(run, train=OneBatch(run), transform=as_it_is)
    workers = run.train.loader.num_workers if isinstance(run.train, Streamed) else 0

    def way(name: str, augmentation: str, workers: int, run: Fit) -> Way:
        step = partial(rate, shortened(run, 1), 0)
        return Way(name, augmentation, workers, run.state.net, step, partial(rate, run))

    return way(FERLAB, describe(options.augment), workers, run), way(BOUND, "done before", 0, bound)


def look(way: Way) -> dict[str, str]:
    """What a step of it computes in, as seen at the network's layers: "precision" and "layout"."""
    seen = {"precision": "–", "layout": "–"}

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        seen["precision"] = str(output.dtype).removeprefix("torch.")
        if output.ndim == 4:
            nchw, nhwc = output.is_contiguous(), output.is_contiguous(memory_format=torch.channels_last)
            if nchw != nhwc:  # a single channel or pixel is both
                seen["layout"] = "NCHW" if nchw else "channels_last"

    layers = [module for module in way.net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    way.step()
    for hook in hooks:
        hook.remove()
    return seen


def describe(augment: AugmentConfig) -> str:
    """An augmentation in a few words."""
    kinds = {"albumentations": augment.sample, "on batches": augment.batch}
    parts = [name for name, node in kinds.items() if node is not None]
    mixed = augment.mix.probability > 0 and max(augment.mix.mixup, augment.mix.cutmix) > 0
    return ", ".join([*parts, *["mixing"] * mixed]) or "none"


class OneBatch:
    """A feed that gives one augmented batch again and again: what is left is the step itself."""

    def __init__(self, run: Fit) -> None:
        order = run.order(0)[: run.options.batch_size]
        parts = plan(order, run.options.batch_size, run.options.accumulate, run.seed, epoch=0)
        self.ready = [run.transform(batch, 0) for batch in run.train.batches(0, parts)]

    def batches(self, epoch: int, parts: Sequence[Part]) -> Iterator[Batch]:
        """The same pixels for every step."""
        for i, part in enumerate(parts):
            yield Batch(part, *self.ready[i % len(self.ready)])


def rate(run: Fit, epoch: int) -> float:
    """Images/s of one epoch."""
    run.state.position = Position(epoch=epoch)
    return len(run.order(epoch)) / seconds(lambda: train_epoch(run), run.state.fabric.device)


def where_time_goes(run: Fit) -> dict[str, float]:
    """Milliseconds of a step by part, from an epoch in which the device is waited for after each part."""
    device = run.state.fabric.device
    clocked = replace(run, clock=Clock(partial(wait, device)))
    rate(clocked, 0)
    steps = len(run.order(0)) / run.options.batch_size
    return {name: 1e3 * taken / steps for name, taken in clocked.clock.seconds.items()}


def _tracking_s() -> float:
    """Median seconds of an epoch's call to MLflow, on a fresh local database."""
    row = {f"metric/{i}": float(i) for i in range(12)}
    with tempfile.TemporaryDirectory() as folder:
        tracker = Tracker(TrackerOptions(uri=f"sqlite:///{folder}/mlflow.db"), print)
        tracker.start("benchmark", {}, {}, None, [])
        taken = []
        for epoch in range(20):
            started = time.perf_counter()
            tracker.log_epochs([row | {"epoch": epoch}])
            taken.append(time.perf_counter() - started)
        tracker.finish("FINISHED")
    return statistics.median(taken)
