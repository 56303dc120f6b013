"""`ferlab benchmark feeds`: what each way of reading faces costs a training run, in time and in memory."""

import copy
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ferlab import config
from ferlab.benchmark.train import BenchmarkConfig, in_turns, rate
from ferlab.commands.recipe import build_fit, model_spec
from ferlab.data.loaders import Rows
from ferlab.data.source import Source
from ferlab.errors import ConfigError
from ferlab.files import write_json
from ferlab.provenance import commit, environment
from ferlab.train.clock import Clock
from ferlab.train.engine import launch
from ferlab.train.interrupt import StopRequest

# Name -> trainer.feed and trainer.workers.
WAYS = {
    "resident": ("resident", 0),
    "packed": ("packed", 0),
    "streamed, 0 workers": ("streamed", 0),
    "streamed, 2 workers": ("streamed", 2),
}


def measure(options: BenchmarkConfig) -> None:
    """Time the same training step on faces that are resident, packed and streamed, in turns."""
    if options.augment.sample is not None:
        raise ConfigError("benchmark feeds needs an augmentation of batches, which all feeds take; use augment=batched")
    fabric = launch(options.trainer)
    source: Source = config.instantiate(options.data)
    spec = model_spec(options.model, source)
    faces = options.steps * options.trainer.batch_size
    runs = {}
    for name, (feed, workers) in WAYS.items():
        chosen = copy.deepcopy(options)
        chosen.trainer.feed, chosen.trainer.workers = feed, workers
        clock = Clock(fabric.device)
        run = build_fit(chosen, source, spec, fabric, StopRequest(), lambda step: None, clock)
        runs[name] = replace(run, order=partial(_some, run.order, faces))
    memory: dict[str, list[float]] = {name: [] for name in runs}

    def timed(name: str, i: int) -> float:
        value = rate(runs[name], i, faces)
        memory[name].append(_memory_mb())
        return value

    rates = in_turns({name: partial(timed, name) for name in runs}, options.rounds)
    figures = {
        "model": options.model.name,
        "size": options.model.size,
        "data": source.protocol,
        "batch_size": options.trainer.batch_size,
        "precision": str(fabric._precision.precision),
        "images_per_s": rates,
        "of_resident": {name: _ratio(values, rates["resident"]) for name, values in rates.items()},
        "memory_mb": memory,
        "environment": environment(fabric.device),
        "commit": commit(),
    }
    _show(figures, Console(highlight=False))
    if options.out:
        write_json(Path(options.out), figures)


def _some(order: Callable[[int], Rows], faces: int, epoch: int) -> Rows:
    """The first `faces` rows of an epoch, from the start again where it is shorter."""
    return np.resize(order(epoch), faces)


def _ratio(values: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Median and extremes of the ratio, round by round."""
    ratios = np.array(values) / np.array(others)
    return {"median": float(np.median(ratios)), "min": float(ratios.min()), "max": float(ratios.max())}


def _memory_mb() -> float:
    """Memory of this process and its workers, MiB, shared pages counted once; without pages of files, such as a packed
    cache's, which the kernel takes back when it needs them.
    """
    own = os.getpid()
    children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
    total = 0
    for pid in (str(own), *children):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        own_pages = ("Pss_Anon:", "Pss_Shmem:")
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(own_pages))
    return total / 1024


def _show(figures: Mapping[str, Any], console: Console) -> None:
    env = figures["environment"]
    console.print(
        f"{figures['model']} at {figures['size']} px, batch {figures['batch_size']}, {figures['precision']}: "
        f"{figures['data']}"
    )
    console.print(f"{env['device']}, {env['threads']} threads, torch {env['packages']['torch']}")
    rounds = len(figures["images_per_s"]["resident"])
    table = Table("feed", "images/s", "of resident", "min", "max", title=f"{rounds} rounds, medians")
    for name, values in figures["images_per_s"].items():
        ratio = figures["of_resident"][name]
        table.add_row(name, f"{statistics.median(values):,.0f}", *(f"{ratio[k]:.3f}" for k in ("median", "min", "max")))
    console.print(table)
    streamed = figures["memory_mb"]["streamed, 2 workers"]
    console.print(
        f"memory with 2 workers: {streamed[0]:,.0f} MiB after the first round, {streamed[-1]:,.0f} after the last"
    )
