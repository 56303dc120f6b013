"""`ferlab evaluate`: score a bundle on a dataset and write a report."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from ferlab import config
from ferlab.errors import ConfigError

if TYPE_CHECKING:
    from ferlab.cli import Invocation

MISSING: Any = "???"


@dataclass
class EvaluateConfig:
    """Keys of conf/evaluate.yaml, which explains them."""

    bundle: str = MISSING
    data: dict[str, Any] = field(default_factory=dict)
    split: str = "validation"
    tta: str = "plain"
    bootstrap: int = 2000
    seed: int = 0
    batch_size: int = 256
    device: str = "auto"
    out: str | None = None


def evaluate(invocation: "Invocation") -> None:
    """Score a bundle on a split, print the numbers and write report.json and report.html."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), EvaluateConfig)
    for key in ("bootstrap", "batch_size"):
        if getattr(settings, key) < 1:
            raise ConfigError(f"{key} must be at least 1, got {getattr(settings, key)}")

    from ferlab.bundle import load_bundle, pick_device
    from ferlab.evaluate.evaluation import Settings
    from ferlab.evaluate.evaluation import evaluate as score
    from ferlab.evaluate.report import check_folder, default_folder, write_report
    from ferlab.evaluate.tta import views

    views(settings.tta)  # before minutes of work
    bundle = load_bundle(settings.bundle, pick_device(settings.device))
    source = config.instantiate(settings.data)
    home = bundle.path or Path()
    folder = Path(settings.out or default_folder(home, source.name, settings.split, settings.tta))
    check_folder(folder)
    how = Settings(settings.split, settings.tta, settings.bootstrap, settings.seed, settings.batch_size)
    evaluation = score(bundle, source, how, _progress)
    document = write_report(evaluation, folder)
    _print(document, folder)


def _progress(starts: Sequence[int]) -> Iterable[int]:
    console = Console(stderr=True)
    return track(starts, "scoring", console=console, transient=True, disable=not console.is_terminal)


def _print(document: dict[str, Any], folder: Path) -> None:
    console = Console(highlight=False)
    say = partial(console.print, markup=False, soft_wrap=True)
    say(document["protocol"])
    for caution in document["cautions"]:
        console.print(f"caution: {caution}", style="yellow", markup=False, soft_wrap=True)
    console.print(_scores(document))
    console.print(_classes(document))
    ece = document["calibration"]
    after = "–" if ece["ece_after"] is None else f"{100 * ece['ece_after']:.1f} %"
    say(f"ECE {100 * ece['ece_before']:.1f} % at temperature 1, {after} with a cross-fitted one")
    if ece["ece_bundle"] is not None:
        say(f"ECE {100 * ece['ece_bundle']:.1f} % at the bundle's temperature {ece['bundle_temperature']:.3f}")
    say(f"baselines: {document['baseline_note']}")
    say(f"report: {folder / 'report.html'}")


def _scores(document: dict[str, Any]) -> Table:
    table = Table("score, %", box=None, pad_edge=False, header_style="bold")
    for name in ("model", "95 % interval", "majority", "random"):
        table.add_column(name, justify="right")
    for key, name in (("accuracy", "accuracy"), ("macro_f1", "macro F1"), ("mean_recall", "mean recall")):
        low, high = document["intervals"][key]
        baseline = (f"{100 * document['baselines'][b][key]:.1f}" for b in ("majority", "random"))
        table.add_row(name, f"{100 * document['scores'][key]:.1f}", f"{100 * low:.1f}–{100 * high:.1f}", *baseline)
    table.add_row("top 2", f"{100 * document['scores']['top2']:.1f}")
    table.add_row("NLL, nats", f"{document['scores']['nll']:.3f}")
    return table


def _classes(document: dict[str, Any]) -> Table:
    table = Table("class", box=None, pad_edge=False, header_style="bold")
    for name in ("faces", "recall", "precision", "F1"):
        table.add_column(name, justify="right")
    for name, row in document["classes"].items():
        values = ("–" if row[key] is None else f"{100 * row[key]:.1f}" for key in ("recall", "precision", "f1"))
        table.add_row(name, f"{row['support']:,}", *values)
    return table
