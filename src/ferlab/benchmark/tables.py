"""What the benchmarks show on a terminal: the verdict, then a table."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from ferlab.benchmark.report import KIND, change, short, verdict
from ferlab.benchmark.train import BOUND, FERLAB
from ferlab.screen import Screen, line

FAIR = """\
All ways train the same network with the same loss, optimizer, batch and threads, in one process and in turns, so the
others profit too from the memory that ferlab lets glibc keep; their pictures were resized before. Precision and layout
are what the network's layers gave. The first batches of a turn are not timed, and no worker starts anew."""


def train(figures: Mapping[str, Any], screen: Screen) -> None:
    """Of `ferlab.benchmark.train.measure`: ferlab beside the others, and where the time goes."""
    say = screen.say
    say(f"{figures['model']} at {figures['size']} px, batch {figures['batch_size']}: {figures['data']}")
    say(_machine(figures))
    say()
    for sentence in train_verdict(figures):
        say(sentence, style="bold")
    say()
    table = Table("way", box=None, pad_edge=False, header_style="bold")
    table.add_column("workers", justify="right")
    for title in ("precision", "layout", "augmentation"):
        table.add_column(title)
    for title in ("images/s", "min–max", "ferlab over it", "min–max"):
        table.add_column(title, justify="right", no_wrap=True)
    for way in figures["ways"]:
        rates, over = way["images_per_s"], way["ferlab_over_it"]
        table.add_row(
            way["name"], str(way["workers"]), way["precision"], way["layout"], way["augmentation"],
            f"{statistics.median(rates):,.0f}", f"{min(rates):,.0f}–{max(rates):,.0f}",
            f"{over['median']:.2f}", f"{over['least']:.2f}–{over['most']:.2f}",
            style="bold" if way["name"] == FERLAB else "",
        )  # fmt: skip
    screen.print(table)
    say(Text(FAIR), style="dim")
    say()
    parts = ", ".join(f"{name} {ms:.2f}" for name, ms in figures["step_ms"].items())
    say(f"a step, {sum(figures['step_ms'].values()):.2f} ms when each part is waited for: {parts}")
    tracking_ms, epoch_s = figures["tracking_ms_an_epoch"], figures["epoch_s"]
    say(f"tracking: {tracking_ms:.1f} ms an epoch of {epoch_s:.1f} s: {tracking_ms / 1e3 / epoch_s:.2%}")
    if memory := figures["memory_mb"]:  # Linux alone says it
        say(f"memory: {memory['training']:,.0f} MiB beside the imports' {memory['imports']:,.0f}")


def train_verdict(figures: Mapping[str, Any]) -> list[str]:
    """What the rates come to, in sentences."""
    rates = {(way["name"], way["workers"]): statistics.median(way["images_per_s"]) for way in figures["ways"]}
    mine = next(rate for (name, _), rate in rates.items() if name == FERLAB)
    name, workers = max((way for way in rates if way[0] not in (FERLAB, BOUND)), key=lambda way: rates[way])
    peak, over = figures["peak"], figures["ferlab_over"]
    others, bound, share = over["best_of_the_others"], over["bound"], peak["ferlab_share"]
    return [
        f"ferlab trains {mine:,.0f} images/s, {others['median']:.2f} times the best of the others in each round "
        f"({others['least']:.2f}–{others['most']:.2f} over {len(peak['flops_per_s'])} rounds); over all of them "
        f"{name} with {workers} workers was the fastest",
        f"{bound['median']:.1%} of its bound ({bound['least']:.1%}–{bound['most']:.1%})",
        f"{share['median']:.1%} of this machine's matrix product ({share['least']:.1%}–{share['most']:.1%}): "
        f"{mine * peak['flops_an_image'] / 1e9:,.0f} of {statistics.median(peak['flops_per_s']) / 1e9:,.0f} GFLOP/s, "
        f"{peak['dtype']}, {peak['side']}×{peak['side']}",
    ]


def feeds(figures: Mapping[str, Any], screen: Screen) -> None:
    """Of `ferlab.benchmark.feeds.measure`: speed and memory of each feed."""
    say = screen.say
    say(
        f"{figures['model']} at {figures['size']} px, batch {figures['batch_size']}, {figures['precision']}: "
        f"{figures['data']}"
    )
    say(_machine(figures))
    rounds = len(figures["images_per_s"]["resident"])
    table = Table("feed", "images/s", "of resident", "min", "max", title=f"{rounds} rounds, medians")
    for name, values in figures["images_per_s"].items():
        ratio = figures["of_resident"][name]
        ratios = (f"{ratio[key]:.3f}" for key in ("median", "least", "most"))
        table.add_row(name, f"{statistics.median(values):,.0f}", *ratios)
    screen.print(table)
    streamed = figures["memory_mb"]["streamed, 2 workers"]
    say(f"memory with 2 workers: {streamed[0]:,.0f} MiB after the first round, {streamed[-1]:,.0f} after the last")


def _machine(figures: Mapping[str, Any]) -> str:
    env = figures["environment"]
    threads = f"{env['threads']} thread{'s' * (env['threads'] > 1)}"
    return f"{env['device']}, {threads}, torch {env['packages']['torch']}"


def export(document: Mapping[str, Any], folder: Path, screen: Screen) -> None:
    """Of benchmark.json in `folder`: the best choice, and what it was chosen from."""
    say = screen.say
    say(document["protocol"])
    for caution in document["cautions"]:
        say(f"caution: {caution}", style="yellow")
    say()
    first, *others = verdict(document)
    say(first, style="bold")
    for sentence in others:
        say(sentence)
    say()
    screen.print(export_table(document))
    if any(model["looped"] for model in document["models"]):
        say("* takes one face at a time: a batch is a loop", style="dim")
    say(f"every number of threads, in milliseconds and megabytes: {folder / f'{KIND}.html'}")


def export_table(document: Mapping[str, Any]) -> Table:
    """A row for each model with the number of threads that suits the smallest batch best, the fastest first; larger
    batches are columns, each with the threads that suit it best.
    """
    first, *larger = document["settings"]["batches"]
    models = {model["name"]: model for model in document["models"]}
    best: dict[tuple[str, int], Mapping[str, Any]] = {}
    for row in sorted(document["rows"], key=lambda row: -row["images_per_s"]):
        best.setdefault((row["name"], row["batch"]), row)
    table = Table("format", box=None, pad_edge=False, header_style="bold")
    accuracy = any(model["parity"]["accuracy"] for model in models.values())
    titles = (
        "threads", "p50, ms", "p95, ms", "images/s", "× eager", "min–max", *(f"batch {batch}" for batch in larger),
        "load, ms", "peak, MiB", "size, MiB", "accuracy, %" if accuracy else "CCC", "agree, %",
    )  # fmt: skip
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for row in [row for (_, batch), row in best.items() if batch == first]:
        model, times = models[row["name"]], row["times_eager"]
        star = "*" * model["looped"]
        rates = [short(best[row["name"], batch]["images_per_s"]) + star for batch in larger]
        agreement = model["parity"]["agreement"]
        table.add_row(
            line((row["name"] + star * (first > 1), "red" if model["faults"] else "")), str(row["threads"]),
            short(row["p50_ms"]), short(row["p95_ms"]), short(row["images_per_s"]),
            f"{times['median']:.2f}", f"{times['least']:.2f}–{times['most']:.2f}", *rates, short(row["load_ms"]),
            "–" if row["peak_mb"] is None else f"{row['peak_mb']:,.0f}", f"{model['bytes'] / 2**20:.2f}",
            change(model["parity"]), "–" if agreement is None else f"{100 * agreement:.2f}",
        )  # fmt: skip
    return table
