"""`ferlab evaluate`: score a bundle on a dataset and write a report."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track

from ferlab import config
from ferlab.commands.score_tables import print_scores
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
    print_scores(document)
    print(f"report: {folder / 'report.html'}")


def _progress(starts: Sequence[int]) -> Iterable[int]:
    console = Console(stderr=True)
    return track(starts, "scoring", console=console, transient=True, disable=not console.is_terminal)
