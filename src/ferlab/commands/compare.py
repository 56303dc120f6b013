"""`ferlab compare`: several bundles on one split, in one table."""

from dataclasses import dataclass
from functools import partial
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ferlab import config
from ferlab.commands.scoring import ScoringConfig
from ferlab.commands.screen import console, progress
from ferlab.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from ferlab.cli import Invocation

WIDTH = 120  # columns, where the output is no terminal
STYLES = {"better": "green", "worse": "red", "within noise": "yellow"}


@dataclass
class CompareConfig(ScoringConfig):
    """Keys of conf/compare.yaml, which explains them."""

    bundles: Any = config.MISSING
    sort: str = "accuracy"
    reference: str | None = None


def compare(invocation: "Invocation") -> None:
    """Score bundles on the same faces, print the table and write compare.json and compare.html."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), CompareConfig)
    folders = find(settings.bundles)

    from ferlab.bundle import load_bundle, pick_device
    from ferlab.evaluate.compare import Row, check, score
    from ferlab.evaluate.compare import compare as compare_rows
    from ferlab.evaluate.compare_report import KIND, default_folder, write_comparison
    from ferlab.evaluate.repeats import group, run_folder
    from ferlab.evaluate.report import check_folder

    how = settings.settings()
    device = pick_device(settings.device)
    loaded = [load_bundle(folder, device) for folder in folders]
    groups = group(list({run_folder(bundle): bundle for bundle in loaded}.values()))  # each once
    source = config.instantiate(settings.data)
    reference = check(groups, source, settings.split, settings.sort, settings.reference)
    folder = Path(settings.out or default_folder(source.name, settings.split, settings.tta))
    check_folder(folder, KIND)
    rows = []
    for name, members in groups.items():
        watch = partial(progress, f"scoring {name}")
        rows.append(Row(name, tuple(score(bundle, source, how, watch) for bundle in members)))
    document = write_comparison(compare_rows(rows, settings.sort, reference), folder)
    _print(document, folder)


def find(bundles: Any) -> list[Path]:
    """The folders that `bundles` names, a path or a glob or a list of them, in their order; those of a glob sorted.

    Raises:
        ConfigError: it is something else.
        BundleError: nothing is there.
    """
    patterns = [bundles] if isinstance(bundles, str) else bundles
    if not isinstance(patterns, list) or not patterns or not all(isinstance(each, str) and each for each in patterns):
        raise ConfigError(f"bundles must be folders or globs, one or a list of them, got {bundles}")
    found: list[Path] = []
    for pattern in patterns:
        matches = [pattern] if Path(pattern).exists() else sorted(glob(pattern, recursive=True))
        if not matches:
            remedy = "put brackets around a list" if "," in pattern else "check the path"
            raise BundleError(f"bundles must be runs' or bundles' folders, got nothing at '{pattern}'; {remedy}")
        found += map(Path, matches)
    return found


def _print(document: dict[str, Any], folder: Path) -> None:
    screen = console(WIDTH)
    say = partial(screen.print, markup=False, soft_wrap=True)
    say(document["protocol"])
    for caution in document["cautions"]:
        whom = caution["models"]
        whose = "all" if len(whom) == len(document["models"]) else ", ".join(whom)
        say(f"caution: {caution['text']} ({whose})", style="yellow")
    say()
    screen.print(_scores(document))
    say(f"baselines: {document['baseline_note']}", style="dim")
    if len(document["models"]) > 1:
        say()
        screen.print(_differences(document))
        say(document["summary"])
    say("intervals and p are over the faces; another seed may move a model further", style="dim")
    say(f"report: {folder / 'compare.html'}")


def _scores(document: dict[str, Any]) -> Table:
    """A row a model, its spread over seeds below its scores, and the baselines."""
    from ferlab.evaluate.compare_report import columns, stated

    there = columns(document["models"])
    timed = any(model["epoch_s"] is not None for model in document["models"])
    table = Table("model", box=None, pad_edge=False, header_style="bold")
    accuracy, *others = (title.replace(" ", "\n", 1) for title in there.values())
    for heading in (accuracy, "95 %\ninterval", *others, *(["s an\nepoch"] if timed else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for model in document["models"]:
        scores, spread = model["scores"], model["spread"]
        first, *rest = (
            _two(stated(name, scores.get(name)), f"± {stated(name, spread[name])}" if name in spread else "")
            for name in there
        )
        low, high = model["interval"]
        time = "–" if model["epoch_s"] is None else f"{model['epoch_s']:.1f}"
        table.add_row(_model(model), first, f"{100 * low:.1f}–{100 * high:.1f}", *rest, *([time] if timed else []))
    table.add_row()
    for name, scores in document["baselines"].items():
        cells = (Text(stated(each, scores[each]) if each in scores else "", "dim") for each in list(there)[1:])
        table.add_row(Text(name, "dim"), Text(stated("accuracy", scores["accuracy"]), "dim"), "", *cells)
    return table


def _differences(document: dict[str, Any]) -> Table:
    """How far each model's accuracy is from the reference's."""
    from ferlab.evaluate.page import p_value, points, shortened

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(Text(f"accuracy against\n{shortened(document['reference'])}"))
    for title in ("points", "95 % interval", "only it right", "only the reference", "p"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("in words")
    for model in document["models"]:
        if (found := model["difference"]) is not None:
            low, high = found["interval"]
            counts = ("–" if n is None else f"{n:,}" for n in (found["only_here"], found["only_reference"]))
            table.add_row(
                Text(shortened(model["name"])), points(found["accuracy"]), f"{points(low)} to {points(high)}",
                *counts, p_value(found["p"]), Text(found["words"], STYLES[found["words"]]),
            )  # fmt: skip
    return table


def _model(model: dict[str, Any]) -> Text:
    """Name, and below it what the network is."""
    from ferlab.evaluate.page import shortened

    seeds = f", {model['seeds']} seeds" if model["seeds"] > 1 else ""
    size, millions = model["input"]["size"], model["parameters"] / 1e6
    return _two(shortened(model["name"]), f"{model['model']['name']}, {millions:.2f} M, {size} px{seeds}")


def _two(first: str, second: str) -> Text:
    return Text.assemble(first, (f"\n{second}", "dim")) if second else Text(first)
