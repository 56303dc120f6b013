"""Write a benchmark of exports as `benchmark.json`, for programs, and `benchmark.html`, one page by itself."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ferlab import __version__
from ferlab.benchmark.export import EAGER, Candidate, Choice, Plan, Replies, best, rows, rule
from ferlab.benchmark.plots import latency
from ferlab.evaluation import plots
from ferlab.evaluation.page import template, write_folder
from ferlab.evaluation.text import percent
from ferlab.provenance import commit, environment
from ferlab.runner import Runner

FORMAT = 1
KIND = "benchmark"  # the files' name
BUSY = 0.25  # of the CPUs: above it other work on the machine lengthens the times
FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm")


@dataclass(frozen=True)
class Benchmark:
    """What was measured, and on what.

    Attributes:
        bundle: the model.
        data: protocol of the dataset of the compared answers.
        candidates: the bundle first.
        plan: how they were measured.
        replies: of the stopwatch.
        machine: see `machine`, from before the first call.
    """

    bundle: Runner
    data: str
    candidates: Sequence[Candidate]
    plan: Plan
    replies: Replies
    machine: Mapping[str, Any]


def machine() -> dict[str, Any]:
    """Hardware and versions, and how busy the machine is: `load`, the mean number of running processes of the last
    minute, and `nice`, how far this process stands back; None where it cannot be told.
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith(("flags", "Features"))), [])
    found = environment(torch.device("cpu"))
    return {key: found[key] for key in ("python", "platform", "cpus")} | {
        "processor": found["device"].removeprefix("cpu: "),
        "features": [name for name in FEATURES if name in flags],
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "nice": os.nice(0) if hasattr(os, "nice") else None,
    }


def write_benchmark(benchmark: Benchmark, folder: Path) -> dict[str, Any]:
    """Write both files to `folder`, which appears whole or not at all and replaces an older benchmark.

    Returns:
        What benchmark.json holds.

    Raises:
        ConfigError: the folder holds something else, or cannot be written.
    """
    document = to_document(benchmark)
    write_folder(folder, KIND, document, render(document))
    return document


def to_document(benchmark: Benchmark) -> dict[str, Any]:
    """The benchmark as plain values; None stands for what could not be measured."""
    bundle, plan, candidates = benchmark.bundle, benchmark.plan, benchmark.candidates
    measured = rows(benchmark.replies, plan)
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "ferlab": {"version": __version__, "commit": commit()},
        "protocol": protocol(benchmark),
        "cautions": cautions(benchmark),
        "machine": dict(benchmark.machine),
        "bundle": {
            "path": str(bundle.path),
            "digest": bundle.spec.digest,
            "model": dict(bundle.model),
            "parameters": bundle.parameters,
            "input": {"size": bundle.spec.size, "colour": bundle.spec.colour},
        },
        "dataset": {"protocol": benchmark.data, "split": "validation", "faces": candidates[0].parity.faces},
        "settings": {
            "threads": list(plan.threads),
            "batches": list(plan.batches),
            "rounds": plan.rounds,
            "seconds": plan.seconds,
        },
        "best": {
            "rule": rule(plan.batches[0]),
            "choice": _choice(best(measured, candidates)),
            "same_answers": _choice(best(measured, candidates, same_answers=True)),
        },
        "models": [_model(each, candidates[0].bytes, benchmark.replies) for each in candidates],
        "rows": [row.to_dict() for row in measured],
    }


def protocol(benchmark: Benchmark) -> str:
    """One sentence without which the times mean nothing: machine, threads, batches, rounds, what a call is, code."""
    plan, found = benchmark.plan, benchmark.machine
    threads, batches = (" and ".join(map(str, numbers)) for numbers in (plan.threads, plan.batches))
    threads += " thread" if plan.threads == (1,) else " threads"
    many = f"{plan.rounds} rounds" if plan.rounds > 1 else "1 round"
    return (
        f"{found['processor']}, {found['cpus']} CPUs; {threads}, batches of {batches}; every model and number "
        f"of threads in a process of its own, one at a time, in {many} of {plan.seconds:g} s a batch; a call is "
        f"prepared faces in, answers out, through ferlab; ferlab {__version__}, commit {commit() or 'unknown'}"
    )


def cautions(benchmark: Benchmark) -> list[str]:
    """Sentences on what makes the times or the answers doubtful."""
    found, plan, said = benchmark.machine, benchmark.plan, []
    if found["load"] is not None and found["load"] > BUSY * found["cpus"]:
        said.append(
            f"the machine was busy: before the first call {found['load']:.1f} processes were running on "
            f"{found['cpus']} CPUs, so times are too long and uneven; trust images/s more than a median"
        )
    if found["nice"]:
        said.append(f"the calls stood back behind other work (nice {found['nice']})")
    if (most := max(plan.threads)) > found["cpus"]:
        said.append(f"{most} threads are more than the {found['cpus']} CPUs")
    if plan.rounds < 3:
        said.append("fewer than three rounds do not show the spread")
    if any(reply["base_mb"] is None for visits in benchmark.replies.values() for reply in visits):
        said.append("memory was not measured: it is read from Linux's /proc")
    return said + [f"not like the bundle, and never chosen: {each.name} ({'; '.join(each.faults)})" for each in
                   benchmark.candidates if each.faults]  # fmt: skip


def _choice(choice: Choice) -> dict[str, Any]:
    return {"name": choice.row.name, "threads": choice.row.threads, "close": list(choice.close)}


def _model(candidate: Candidate, bundle_bytes: int, replies: Replies) -> dict[str, Any]:
    runtimes = (reply["runtime"] for (name, _), visits in replies.items() if name == candidate.name for reply in visits)
    return {
        "name": candidate.name,
        "path": str(candidate.path),
        "bytes": candidate.bytes,
        "of_bundle": candidate.bytes / bundle_bytes,
        "runtime": next(runtimes),
        "looped": candidate.looped,
        "parity": candidate.parity.to_dict(),
        "faults": list(candidate.faults),
    }


def render(document: Mapping[str, Any]) -> str:
    """The HTML of a benchmark; every word from a bundle or the dataset is escaped."""
    models = {model["name"]: model for model in document["models"]}
    ordered = sorted(document["rows"], key=lambda row: -row["images_per_s"])
    best_name = document["best"]["choice"]["name"]
    bad = {name for name, model in models.items() if model["faults"]}
    batches = {batch: [row for row in ordered if row["batch"] == batch] for batch in document["settings"]["batches"]}
    figures = {batch: plots.data_uri(latency(part, batch, best_name, bad)) for batch, part in batches.items()}
    return template("benchmark.html.j2", "ferlab.benchmark").render(
        report=document, models=models, batches=batches, figures=figures, chosen=chosen(document),
        verdict=verdict(document), short=short,
    )  # fmt: skip


def chosen(document: Mapping[str, Any], which: str = "choice") -> Mapping[str, Any]:
    """The row of the best choice, or of another one of `best`."""
    found = document["best"][which]
    wanted = (found["name"], found["threads"], document["settings"]["batches"][0])
    return next(row for row in document["rows"] if (row["name"], row["threads"], row["batch"]) == wanted)


def verdict(document: Mapping[str, Any]) -> list[str]:
    """The best choice in sentences, with the rule."""
    found, row = document["best"]["choice"], chosen(document)
    times = row["times_eager"]
    said = [f"best for this machine: {_told(row)}"]
    if row["name"] != EAGER:
        said[0] += (
            f", {times['median']:.1f} times as fast as {EAGER} at its best "
            f"({times['least']:.1f}–{times['most']:.1f} over the rounds)"
        )
    if found["close"]:
        said.append(f"too close to call, for faster in some round: {', '.join(found['close'])}")
    same = chosen(document, "same_answers")
    if same["name"] != row["name"]:
        said.append(f"best with every label and score of the bundle: {_told(same)}")
    return [*said, f"rule: {document['best']['rule']}"]


def _told(row: Mapping[str, Any]) -> str:
    threads = f"{row['threads']} thread{'s' * (row['threads'] > 1)}"
    return f"{row['name']} with {threads}, {short(row['images_per_s'])} images/s with batch {row['batch']}"


def short(value: float) -> str:
    """0.21, 4.7, 71.3, 1,352."""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def change(parity: Mapping[str, Any]) -> str:
    """The accuracy of a file and how far it is from the bundle's, in points; of the CCC without expressions."""
    if pair := parity["accuracy"]:
        return f"{percent(pair['file'])} ({100 * (pair['file'] - pair['bundle']):+z.2f})".replace("-", "−")
    pair = parity["ccc"]
    return f"{pair['file']:.3f} ({pair['file'] - pair['bundle']:+z.4f})".replace("-", "−") if pair else "–"
