"""Times one model in a process that does nothing else: `python -m ferlab.benchmark.stopwatch`.

The request is JSON on standard input, as `measure` takes it; the reply is JSON on standard output: what `measure`
returns, or `{"error": …}`. What the runtimes print goes to standard error. Loads torch only for what needs it.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from ferlab.errors import FerlabError
from ferlab.formats import RUNTIMES, open_model
from ferlab.provenance import peak_mb
from ferlab.runner import Runner
from ferlab.spec import Image

FEWEST = 10  # calls for each batch: of fewer, a 95th percentile says nothing
WARM_UP = 3  # calls: some runtimes specialise the graph in the first two


def main() -> None:
    """Serve one request."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)
        try:
            reply = measure(**json.load(sys.stdin))
        except FerlabError as error:
            reply = {"error": str(error)}
        json.dump(reply, answer)


def measure(path: str, faces: str, threads: int, batches: Sequence[int], seconds: float) -> dict[str, Any]:
    """Open a model and time its calls, faces in and answers out.

    Args:
        path: a bundle or an exported file.
        faces: an .npy file of prepared faces, (n, c, s, s) uint8.
        threads: of the runtime.
        batches: faces a call, smallest first, so that the memory after each is that of batches up to it.
        seconds: of calls for each batch.

    Returns:
        start_ms: from Python alone to the first answer: loading the runtime, opening the file and one call.
        load_ms: opening the file alone, its seal checked, with the runtime loaded.
        base_mb: peak resident memory before the runtime is loaded, MiB; None where it cannot be told.
        runtime: name -> version.
        batches: see `time_calls`; with peak_mb, the peak of the process by then.
    """
    images = np.load(faces)
    base_mb = peak_mb()
    started = time.perf_counter()
    runtime = load_runtime(path, threads)
    runner = open_model(path, threads=threads)
    runner.answers(images[:1])
    start_ms = 1e3 * (time.perf_counter() - started)
    found = [{**time_calls(runner, images, batch, seconds), "peak_mb": peak_mb()} for batch in batches]
    del runner
    gc.collect()
    started = time.perf_counter()
    open_model(path, threads=threads)  # last, because two open models would be two in the peak
    load_ms = 1e3 * (time.perf_counter() - started)
    return {"start_ms": start_ms, "load_ms": load_ms, "base_mb": base_mb, "runtime": runtime, "batches": found}


def load_runtime(path: str, threads: int) -> dict[str, str]:
    """Import what opens the model; returns the packages' versions."""
    file = Path(path)
    packages = RUNTIMES[file.suffix].packages if file.is_file() and file.suffix in RUNTIMES else ("torch",)
    modules = {package: import_module(package) for package in packages}
    if "torch" in modules:
        modules["torch"].set_num_threads(threads)
    return {name: str(getattr(module, "__version__", "unknown")) for name, module in modules.items()}


def time_calls(runner: Runner, images: Image, batch: int, seconds: float) -> Mapping[str, float]:
    """Time calls of `batch` faces for `seconds`, after warming up.

    Returns:
        batch, calls: how many faces a call and how many calls.
        p50_ms, p95_ms: percentiles of a call.
        images_per_s: faces over the time of all calls.
    """
    usable = np.resize(images, (max(len(images) // batch, 1) * batch, *images.shape[1:]))  # from the start again
    parts = cycle(np.split(usable, len(usable) // batch))
    for _ in range(WARM_UP):
        runner.answers(next(parts))
    times: list[float] = []
    while len(times) < FEWEST or sum(times) < seconds:
        faces = next(parts)
        started = time.perf_counter()
        runner.answers(faces)
        times.append(time.perf_counter() - started)
    p50, p95 = np.percentile(times, (50, 95))
    return {
        "batch": batch,
        "calls": len(times),
        "p50_ms": 1e3 * float(p50),
        "p95_ms": 1e3 * float(p95),
        "images_per_s": batch * len(times) / sum(times),
    }


if __name__ == "__main__":
    main()
