"""`ferlab benchmark train`: how fast training is, how fast it could be, and where the time goes."""

import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ferlab import config
from ferlab.benchmark.plain_loop import PlainLoop
from ferlab.commands.recipe import TrainConfig, build_fit, model_spec
from ferlab.data.loaders import Batch, Part, plan
from ferlab.data.source import Source
from ferlab.files import write_json
from ferlab.provenance import commit, environment
from ferlab.train.clock import Clock
from ferlab.train.engine import launch
from ferlab.train.fit import Fit, train_epoch
from ferlab.train.interrupt import StopRequest
from ferlab.train.state import Position
from ferlab.train.tracking import Tracker, TrackerOptions

Rates = Mapping[str, Sequence[float]]


@dataclass
class BenchmarkConfig(TrainConfig):
    """conf/benchmark.yaml."""

    steps: int = 30
    rounds: int = 5
    out: str | None = None


def read_config(overrides: Sequence[str]) -> BenchmarkConfig:
    """The checked config, with a tiny constant rate: it changes no speed, and the weights cannot run away."""
    options = config.typed(config.compose("benchmark", overrides), BenchmarkConfig)
    options.scheduler = {"_target_": "ferlab.train.optim.constant"}
    options.optimizer["lr"] = 1e-5
    return options


def measure(options: BenchmarkConfig) -> None:
    """Time the training step as `ferlab train` runs it, its bound, and a plain PyTorch loop, in turns."""
    imports_mb = _peak_mb()
    fabric = launch(options.trainer)
    source: Source = config.instantiate(options.data)
    spec = model_spec(options.model, source)
    run = build_fit(options, source, spec, fabric, StopRequest(), lambda step: None, Clock(fabric.device))
    faces, whole_epoch = options.steps * options.trainer.batch_size, run.order
    run = replace(run, order=lambda epoch: np.resize(whole_epoch(epoch), faces))
    as_it_is = lambda batch, epoch: (batch.images, batch.targets)  # noqa: E731
    bound = replace(run, train=OneBatch(run), transform=as_it_is, clock=Clock(fabric.device))
    rate(run, 0, faces)
    peak_mb = _peak_mb()
    with tempfile.TemporaryDirectory() as folder:
        loss, train_split = run.state.loss, source.split("train")
        plain = PlainLoop(options, train_split, spec, loss, run.teacher, fabric.device, faces, Path(folder))
        ways: dict[str, Callable[[int], float]] = {
            "end to end": lambda i: rate(run, i, faces),
            "bound: one resident batch": lambda i: rate(bound, i, faces),
            "plain loop, 0 workers": lambda i: plain.rate(0),
            "plain loop, 2 workers": lambda i: plain.rate(2),
        }
        rates = in_turns(ways, options.rounds, run.clock)
    epoch_s = len(source.split("train")) / statistics.median(rates["end to end"])
    figures = {
        "model": options.model.name,
        "data": source.protocol,
        "batch_size": options.trainer.batch_size,
        "precision": str(fabric._precision.precision),
        "images_per_s": rates,
        "ratios": _ratios(rates),
        "step_ms": {name: 1e3 * s / (options.rounds * options.steps) for name, s in run.clock.seconds.items()},
        "tracking_ms_an_epoch": 1e3 * _tracking_s(),
        "epoch_s": epoch_s,
        "memory_mb": {"imports": imports_mb, "training": peak_mb - imports_mb},
        "environment": environment(fabric.device),
        "commit": commit(),
    }
    _show(figures, Console(highlight=False))
    if options.out:
        write_json(Path(options.out), figures)


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


def rate(run: Fit, epoch: int, faces: int) -> float:
    """Images/s of one shortened epoch."""
    run.state.position = Position(epoch=epoch)
    _wait(run.state.fabric.device)
    started = time.perf_counter()
    train_epoch(run)
    _wait(run.state.fabric.device)
    return faces / (time.perf_counter() - started)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turns(
    ways: Mapping[str, Callable[[int], float]], rounds: int, clock: Clock | None = None
) -> dict[str, list[float]]:
    """Rates of each way, one a round, after a round of warming up, of which `clock` forgets what it saw."""
    for way in ways.values():
        way(0)
    if clock is not None:
        clock.seconds.clear()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(1, rounds + 1):
        for name, way in ways.items():
            rates[name].append(way(i))
    return rates


def _ratios(rates: Rates) -> dict[str, dict[str, float]]:
    """End to end against the bound and against the faster plain loop, round by round."""
    mine = np.array(rates["end to end"])
    plain = np.array([rates[name] for name in rates if name.startswith("plain")])
    others = {"of the bound": np.array(rates["bound: one resident batch"]), "times the faster plain loop": plain.max(0)}
    values = {name: mine / other for name, other in others.items()}
    return {n: {"median": float(np.median(v)), "min": float(v.min()), "max": float(v.max())} for n, v in values.items()}


def _tracking_s() -> float:
    """Median seconds of an epoch's call to MLflow, on a fresh local database."""
    row = {f"metric/{i}": float(i) for i in range(12)}
    with tempfile.TemporaryDirectory() as folder:
        tracker = Tracker(TrackerOptions(uri=f"sqlite:///{folder}/mlflow.db"), print)
        tracker.start("benchmark", {}, {}, None, [])
        seconds = []
        for epoch in range(20):
            started = time.perf_counter()
            tracker.log_epochs([row | {"epoch": epoch}])
            seconds.append(time.perf_counter() - started)
        tracker.finish("FINISHED")
    return statistics.median(seconds)


def _peak_mb() -> float:
    """Peak resident memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _show(figures: Mapping[str, Any], console: Console) -> None:
    env = figures["environment"]
    console.print(f"{figures['model']}, batch {figures['batch_size']}, {figures['precision']}: {figures['data']}")
    console.print(f"{env['device']}, {env['threads']} threads, torch {env['packages']['torch']}")
    speed = Table("images/s", "median", "min", "max", title=f"{len(figures['images_per_s']['end to end'])} rounds")
    for name, values in figures["images_per_s"].items():
        speed.add_row(name, *(f"{v:,.0f}" for v in (statistics.median(values), min(values), max(values))))
    for name, ratio in figures["ratios"].items():
        speed.add_row(f"end to end {name}", *(f"{ratio[k]:.3f}" for k in ("median", "min", "max")), style="bold")
    console.print(speed)
    total = sum(figures["step_ms"].values())
    tracking_ms = figures["tracking_ms_an_epoch"]
    split = Table("a training step", "ms", "share")
    for name, ms in figures["step_ms"].items():
        split.add_row(name, f"{ms:.2f}", f"{ms / total:.1%}")
    console.print(split)
    share = tracking_ms / 1e3 / figures["epoch_s"]
    console.print(f"tracking: {tracking_ms:.1f} ms an epoch of {figures['epoch_s']:.1f} s: {share:.2%}")
    memory = figures["memory_mb"]
    console.print(f"memory: {memory['training']:,.0f} MiB beside the imports' {memory['imports']:,.0f}")
