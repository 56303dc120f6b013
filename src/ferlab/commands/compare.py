"""`ferlab compare`: several bundles on one split, in one table."""

from dataclasses import dataclass, field
from functools import partial
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ferlab import config
from ferlab.box import BOX, located
from ferlab.errors import BundleError, ConfigError
from ferlab.evaluation.settings import Settings
from ferlab.evaluation.text import p_value, points, shortened, stated
from ferlab.screen import Screen, line, progress

if TYPE_CHECKING:
    from ferlab.cli import Invocation
    from ferlab.evaluation.comparison import Comparison, Model

WIDTH = 120  # columns, where the output is no terminal
STYLES = {"better": "green", "worse": "red", "within noise": "yellow"}


@dataclass(kw_only=True)
class CompareConfig(Settings):
    """Keys of conf/compare.yaml, which explains them."""

    bundles: Any = config.MISSING
    data: dict[str, Any] = field(default_factory=dict)
    sort: str = "accuracy"
    reference: str | None = None
    device: str = "auto"
    out: str | None = None


def compare(invocation: "Invocation") -> None:
    """Score bundles on the same faces, print the table and write compare.json and compare.html."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), CompareConfig)
    folders, left_out = find(settings.bundles)
    screen = Screen(WIDTH)
    if left_out:
        screen.say(f"left out: {left_out:,} that a glob names and that hold no bundle")

    from ferlab.bundle import load_bundle, pick_device
    from ferlab.evaluation.comparison import Entry, Row, check, comparison
    from ferlab.evaluation.page import check_folder, write_comparison
    from ferlab.evaluation.predictions import predict, unseen
    from ferlab.evaluation.repeats import group, run_folder
    from ferlab.evaluation.report import score

    device = pick_device(settings.device)
    loaded = [load_bundle(folder, device) for folder in folders]
    groups = group(list({run_folder(bundle): bundle for bundle in loaded}.values()))  # each once
    source = config.instantiate(settings.data)
    reference = check(groups, source, settings.split, settings.sort, settings.reference)
    folder = Path(settings.out or default_folder(source.name, settings))
    check_folder(folder, "compare")
    rows = []
    for name, members in groups.items():
        watch, entries = partial(progress, f"scoring {name}"), []
        for bundle in members:
            predictions = predict(bundle, source, settings.split, settings.tta, settings.batch_size, watch)
            kept = unseen(predictions, loaded) if settings.unseen else predictions
            report = score(kept, bundle, source, settings, left_out=len(predictions) - len(kept))
            entries.append(Entry.of(report, kept))
        rows.append(Row(name, tuple(entries)))
    found = comparison(rows, settings.sort, reference)
    write_comparison(found, folder)
    print_comparison(found, screen)
    screen.say(f"report: {folder / 'compare.html'}")


def default_folder(dataset: str, settings: Settings) -> Path:
    """Where a comparison goes if nobody says: `outputs/compare/<dataset>_<split>_<tta>`."""
    name = f"{dataset}_{settings.split}_{settings.tta}" + "_unseen" * settings.unseen
    return Path("outputs") / "compare" / name


def find(bundles: Any) -> tuple[list[Path], int]:
    """The folders that `bundles` names, a path or a glob or a list of them, in their order; those of a glob sorted.

    A glob also names what holds no bundle, such as a run that was stopped in its first epoch: it is left out.

    Returns:
        The folders, and how many a glob named that were left out.

    Raises:
        ConfigError: it is something else.
        BundleError: nothing is there.
    """
    patterns = [bundles] if isinstance(bundles, str) else bundles
    if not isinstance(patterns, list) or not patterns or not all(isinstance(each, str) and each for each in patterns):
        raise ConfigError(f"bundles must be folders or globs, one or a list of them, got {bundles}")
    found: list[Path] = []
    left_out = 0
    for pattern in patterns:
        named = pattern in BOX or Path(pattern).exists()
        matches = [located(pattern)] if named else [Path(each) for each in sorted(glob(pattern, recursive=True))]
        kept = matches if named else [path for path in matches if holds_bundle(path)]
        if not kept:
            remedy = "put brackets around a list" if "," in pattern else "check the path"
            got = f"{len(matches):,} without a bundle" if matches else "nothing"
            raise BundleError(f"bundles must be runs' or bundles' folders, got {got} at '{pattern}'; {remedy}")
        found += kept
        left_out += len(matches) - len(kept)
    return found, left_out


def holds_bundle(path: Path) -> bool:
    """Whether a bundle lies in a folder, or in `bundle` in it, whole or not."""
    return any((path / each / "spec.json").exists() for each in (".", "bundle"))


def print_comparison(found: "Comparison", screen: Screen) -> None:
    """Print how the models were scored, the cautions, their scores, and their differences to the reference."""
    say = screen.say
    say(found.protocol)
    for caution in found.cautions:
        whom = caution["models"]
        whose = "all" if len(whom) == len(found.models) else ", ".join(whom)
        say(f"caution: {caution['text']} ({whose})", style="yellow")
    say()
    screen.print(_scores(found))
    say(f"baselines: {found.baseline_note}", style="dim")
    if len(found.models) > 1:
        say()
        screen.print(_differences(found))
        say(found.summary)
        say(found.correction, style="dim")
    say("intervals and p are over the faces; another seed may move a model further", style="dim")


def _scores(found: "Comparison") -> Table:
    """A row a model, its spread over seeds below its scores, and the baselines."""
    from ferlab.evaluation.comparison import COLUMNS

    timed = any(model.epoch_s is not None for model in found.models)
    table = Table("model", box=None, pad_edge=False, header_style="bold")
    accuracy, *others = (COLUMNS[name].replace(" ", "\n", 1) for name in found.metrics)
    for heading in (accuracy, "95 %\ninterval", *others, *(["s an\nepoch"] if timed else [])):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for model in found.models:
        first, *rest = (
            _two(stated(name, model.scores.get(name)), f"± {stated(name, spread)}" if spread is not None else "")
            for name in found.metrics
            for spread in (model.spread.get(name),)
        )
        low, high = model.interval
        time = "–" if model.epoch_s is None else f"{model.epoch_s:.1f}"
        table.add_row(_model(model), first, f"{100 * low:.1f}–{100 * high:.1f}", *rest, *([time] if timed else []))
    table.add_row()
    for name, scores in found.baselines.items():
        cells = (Text(stated(each, scores[each]) if each in scores else "", "dim") for each in found.metrics[1:])
        table.add_row(line((name, "dim")), Text(stated("accuracy", scores["accuracy"]), "dim"), "", *cells)
    return table


def _differences(found: "Comparison") -> Table:
    """How far each model's accuracy is from the reference's."""
    apart = {model.name: model.difference for model in found.models if model.difference is not None}
    corrected = any(each.p_holm is not None for each in apart.values())
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(_two("accuracy against", shortened(found.reference), ""))
    for title in ("points", "95 % interval", "only it right", "only the reference", "p, Holm" if corrected else "p"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("in words")
    for name, each in apart.items():
        low, high = each.interval
        counts = ("–" if n is None else f"{n:,}" for n in (each.only_here, each.only_reference))
        p = p_value(each.p if each.p_holm is None else each.p_holm)
        table.add_row(
            shortened(name), points(each.accuracy), f"{points(low)} to {points(high)}", *counts, p,
            Text(each.words, STYLES[each.words]),
        )  # fmt: skip
    return table


def _model(model: "Model") -> Text:
    """Name, and below it what the network is."""
    seeds = f", {model.seeds} seeds" if model.seeds > 1 else ""
    millions = (model.parameters or 0) / 1e6
    return _two(shortened(model.name), f"{model.model['name']}, {millions:.2f} M, {model.size} px{seeds}")


def _two(first: str, second: str, style: str = "dim") -> Text:
    return Text("\n").join([line(first), line((second, style))]) if second else line(first)
