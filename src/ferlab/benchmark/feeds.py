"""`ferlab benchmark feeds`: what each way of reading faces costs a training run, in time and in memory."""

import copy
import os
import platform
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ferlab import config
from ferlab.benchmark.others import precision_of
from ferlab.benchmark.train import BenchmarkConfig, rate, shortened
from ferlab.benchmark.turns import in_turns, ratio
from ferlab.data.source import Source
from ferlab.errors import ConfigError
from ferlab.interrupt import StopRequest
from ferlab.provenance import commit, environment
from ferlab.training.build import build_fit, model_spec
from ferlab.training.clock import Clock
from ferlab.training.engine import launch

ROLLUP = Path("/proc/self/smaps_rollup")  # Linux's account of a process's memory
# Name -> trainer.feed and trainer.workers.
WAYS = {
    "resident": ("resident", 0),
    "packed": ("packed", 0),
    "streamed, 0 workers": ("streamed", 0),
    "streamed, 2 workers": ("streamed", 2),
}


def measure(options: BenchmarkConfig) -> dict[str, Any]:
    """Time the same training step on faces that are resident, packed and streamed, in turns.

    Returns:
        Plain values for JSON and for `tables.feeds`.

    Raises:
        ConfigError: not on Linux, or an augmentation that only streamed faces take.
    """
    if not ROLLUP.exists():
        raise ConfigError(
            f"benchmark feeds must run on Linux, whose /proc says what memory is used, got {platform.system()}; "
            "use ferlab benchmark train"
        )
    if options.augment.sample is not None:
        raise ConfigError("benchmark feeds needs an augmentation of batches, which all feeds take; use augment=batched")
    fabric = launch(options.trainer)
    source: Source = config.instantiate(options.data)
    spec = model_spec(options.model, source)
    runs = {}
    for name, (feed, workers) in WAYS.items():
        chosen = copy.deepcopy(options)
        chosen.trainer.feed, chosen.trainer.workers = feed, workers
        run = build_fit(chosen, source, spec, fabric, StopRequest(), lambda step: None, Clock())
        runs[name] = shortened(run, options.steps)
    memory: dict[str, list[float]] = {name: [] for name in runs}

    def timed(name: str, i: int) -> float:
        value = rate(runs[name], i)
        memory[name].append(_memory_mb())
        return value

    rates = in_turns({name: partial(timed, name) for name in runs}, options.rounds)
    return {
        "model": options.model.name,
        "size": spec.size,
        "data": source.protocol,
        "batch_size": options.trainer.batch_size,
        "precision": precision_of(runs["resident"]),
        "images_per_s": rates,
        "of_resident": {name: asdict(ratio(values, rates["resident"])) for name, values in rates.items()},
        "memory_mb": memory,
        "environment": environment(fabric.device),
        "commit": commit(),
    }


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
