"""How fast a bundle and the files exported from it answer on this machine, and which of them serves best."""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ferlab.benchmark.turns import Spread, ratio
from ferlab.errors import ExportError
from ferlab.evaluation.parity import Parity
from ferlab.spec import Image

EAGER = "torch eager"  # the bundle itself, which everything is compared with

Watch = Callable[[Sequence[int]], Iterable[int]]


@dataclass(frozen=True)
class Candidate:
    """A model to measure.

    Attributes:
        name: the file's format, or EAGER.
        path: the file, or the bundle's folder.
        bytes: of the file, or of the bundle's weights.
        looped: whether it takes one face at a time, so that a larger batch is a loop.
        parity: its answers beside the bundle's.
        faults: in what it is further from the bundle than its format may be.
    """

    name: str
    path: Path
    bytes: int
    looped: bool
    parity: Parity
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """How to measure: see conf/benchmark_export.yaml. Batches in ascending order."""

    threads: tuple[int, ...]
    batches: tuple[int, ...]
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Row:
    """A candidate with one number of threads and one batch: medians over the rounds.

    Attributes:
        name: of the candidate.
        threads, batch: numbers.
        p50_ms, p95_ms: of a call.
        images_per_s: faces over the time of all calls, so that all models bear a busy machine alike: a short call often
            fits between two interruptions, and its median does not show them.
        rounds: images_per_s of each.
        times_eager: images_per_s over those of EAGER with the number of threads that suits it best, round by round.
        start_ms, load_ms, base_mb, peak_mb: see `ferlab.benchmark.stopwatch.measure`; memory is the most of any round.
        calls: over all rounds.
    """

    name: str
    threads: int
    batch: int
    p50_ms: float
    p95_ms: float
    images_per_s: float
    rounds: tuple[float, ...]
    times_eager: Spread
    start_ms: float
    load_ms: float
    base_mb: float | None
    peak_mb: float | None
    calls: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Choice:
    """The fastest of some candidates.

    Attributes:
        row: with the fewest threads that were not slower in every round.
        close: candidates that were faster than it in a round, so that the order may be noise.
    """

    row: Row
    close: tuple[str, ...]


Replies = Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]  # candidate and threads -> the stopwatch's, by round


def measure(candidates: Sequence[Candidate], plan: Plan, images: Image, watch: Watch) -> Replies:
    """Measure every candidate with every number of threads in a process of its own, one at a time, in rounds.

    Args:
        candidates: with names that differ.
        plan: how.
        images: (n, c, s, s) uint8, prepared faces to answer.
        watch: goes through the numbers of the processes, and may draw a bar.

    Raises:
        ExportError: a process failed.
    """
    visits = [(candidate, threads) for candidate in candidates for threads in plan.threads] * plan.rounds
    replies: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        faces = Path(folder) / "faces.npy"
        np.save(faces, images)
        for i in watch(range(len(visits))):
            candidate, threads = visits[i]
            replies.setdefault((candidate.name, threads), []).append(visit(candidate.path, threads, faces, plan))
    return replies


def visit(path: Path, threads: int, faces: Path, plan: Plan) -> Mapping[str, Any]:
    """What `ferlab.benchmark.stopwatch` says of a model in a process of its own; ExportError if it fails."""
    request = {
        "path": str(path),
        "faces": str(faces),
        "threads": threads,
        "batches": plan.batches,
        "seconds": plan.seconds,
    }
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ferlab.benchmark.stopwatch"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},  # else the caller's would bound it
        check=False,
    )
    if done.returncode:
        raise ExportError(f"{path} with {threads} threads could not be measured: {_why(done)}; try ferlab verify")
    reply: Mapping[str, Any] = json.loads(done.stdout)
    if "error" in reply:
        raise ExportError(reply["error"])
    return reply


def _why(done: subprocess.CompletedProcess[str]) -> str:
    """How a process ended, in a few words."""
    if done.returncode < 0:
        return f"its process was ended by {signal.Signals(-done.returncode).name}"
    return " ".join((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1].split())[:200]


def rows(replies: Replies, plan: Plan) -> list[Row]:
    """A row for each candidate, number of threads and batch, in the order of the replies; EAGER must be among them."""
    return [
        _row(replies, name, threads, place) for name, threads in replies for place, _ in enumerate(plan.batches)
    ]  # fmt: skip


def _row(replies: Replies, name: str, threads: int, place: int) -> Row:
    """The row for the batch at `place` of the plan's."""
    mine = replies[name, threads]
    batches = [reply["batches"][place] for reply in mine]
    eager = max((_rates(replies[key], place) for key in replies if key[0] == EAGER), key=statistics.median)
    rounds = _rates(mine, place)
    return Row(
        name=name,
        threads=threads,
        batch=batches[0]["batch"],
        p50_ms=statistics.median(batch["p50_ms"] for batch in batches),
        p95_ms=statistics.median(batch["p95_ms"] for batch in batches),
        images_per_s=statistics.median(rounds),
        rounds=rounds,
        times_eager=ratio(rounds, eager),
        start_ms=statistics.median(reply["start_ms"] for reply in mine),
        load_ms=statistics.median(reply["load_ms"] for reply in mine),
        base_mb=_most(reply["base_mb"] for reply in mine),
        peak_mb=_most(batch["peak_mb"] for batch in batches),
        calls=sum(batch["calls"] for batch in batches),
    )


def _rates(visits: Sequence[Mapping[str, Any]], place: int) -> tuple[float, ...]:
    return tuple(reply["batches"][place]["images_per_s"] for reply in visits)


def _most(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None


def rule(batch: int) -> str:
    """How `best` chooses, in words."""
    return (
        f"most images/s with batch {batch}, median over the rounds, among {EAGER} and the files whose answers are "
        "within the tolerance of their format; with more threads only if they were faster in every round"
    )


def best(rows: Sequence[Row], candidates: Sequence[Candidate], same_answers: bool = False) -> Choice:
    """The fastest candidate at the smallest batch among those without faults.

    Args:
        rows: of all candidates.
        candidates: one of them, EAGER, has no faults.
        same_answers: take only those that give every face the bundle's label and lose no accuracy or CCC.
    """
    batch = min(row.batch for row in rows)
    fit = {each.name for each in candidates if not each.faults and (not same_answers or _same(each.parity))}
    fastest: dict[str, Row] = {}
    for row in sorted((row for row in rows if row.batch == batch and row.name in fit), key=_slowness):
        fastest.setdefault(row.name, row)
    first, *others = fastest.values()
    close = [row.name for row in others if _sometimes_faster(row, first)]
    same = [row for row in rows if (row.name, row.batch) == (first.name, batch)]
    thrifty = min((row for row in same if row is first or _sometimes_faster(row, first)), key=lambda row: row.threads)
    return Choice(thrifty, tuple(close))


def _slowness(row: Row) -> float:
    return -row.images_per_s


def _sometimes_faster(row: Row, than: Row) -> bool:
    return ratio(row.rounds, than.rounds).most > 1


def _same(parity: Parity) -> bool:
    pairs = [pair for pair in (parity.accuracy, parity.ccc) if pair is not None]
    return parity.agreement in (None, 1.0) and all(abs(pair.lost) < 0.01 for pair in pairs)
