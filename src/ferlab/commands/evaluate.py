"""`ferlab evaluate`: score a bundle on a dataset and write a report."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ferlab import config
from ferlab.commands.score_tables import print_scores
from ferlab.commands.scoring import ScoringConfig
from ferlab.commands.screen import progress

if TYPE_CHECKING:
    from ferlab.cli import Invocation


@dataclass
class EvaluateConfig(ScoringConfig):
    """Keys of conf/evaluate.yaml, which explains them."""

    bundle: str = config.MISSING


def evaluate(invocation: "Invocation") -> None:
    """Score a bundle on a split, print the numbers and write report.json and report.html."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), EvaluateConfig)

    from ferlab.bundle import pick_device
    from ferlab.evaluate.evaluation import evaluate as score
    from ferlab.evaluate.report import check_folder, default_folder, write_report
    from ferlab.formats import open_model

    how = settings.settings()
    bundle = open_model(settings.bundle, pick_device(settings.device))
    source = config.instantiate(settings.data)
    home = bundle.path or Path()
    folder = Path(settings.out or default_folder(home, source.name, settings.split, settings.tta))
    check_folder(folder)
    evaluation = score(bundle, source, how, partial(progress, "scoring"))
    document = write_report(evaluation, folder)
    print_scores(document)
    print(f"report: {folder / 'report.html'}")
