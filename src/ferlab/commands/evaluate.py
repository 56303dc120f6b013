"""`ferlab evaluate`: score a bundle on a dataset and write a report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from ferlab import config
from ferlab.box import beside
from ferlab.evaluation.settings import Settings
from ferlab.evaluation.text import percent
from ferlab.screen import Screen, progress

if TYPE_CHECKING:
    from ferlab.cli import Invocation
    from ferlab.data.source import Source
    from ferlab.evaluation.affect import Affect
    from ferlab.evaluation.camera import Camera
    from ferlab.evaluation.expression import Expression
    from ferlab.evaluation.report import Report


@dataclass(kw_only=True)
class EvaluateConfig(Settings):
    """Keys of conf/evaluate.yaml, which explains them."""

    bundle: str = config.MISSING
    camera: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    device: str = "auto"
    show_faces: bool | None = None
    out: str | None = None


def evaluate(invocation: "Invocation") -> None:
    """Score a bundle on a split, print the numbers and write report.html, report.json and predictions.csv."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), EvaluateConfig)

    from ferlab.bundle import pick_device
    from ferlab.evaluation.page import check_folder
    from ferlab.evaluation.run import evaluate as scored
    from ferlab.formats import open_model

    model = open_model(settings.bundle, pick_device(settings.device))
    source: Source = config.instantiate(settings.data)
    folder = Path(settings.out or default_folder(model.path, source.name, settings))
    check_folder(folder)
    shared = {each.name: getattr(settings, each.name) for each in fields(Settings)}
    report = scored(model, source, **shared, watch=partial(progress, "scoring"), camera=settings.camera)
    page = report.write(folder, settings.show_faces)
    screen = Screen()
    print_report(report, screen)
    if source.confidential and not settings.show_faces:
        screen.say(f"faces are left out of the report: {source.licence}; show_faces=true shows them")
    screen.say(f"report: {page}")


def default_folder(bundle: Path | None, dataset: str, settings: Settings) -> Path:
    """Where a report goes if nobody says: `evaluation/<dataset>_<split>_<tta>` beside the bundle; see `box.beside`."""
    name = f"{dataset}_{settings.split}_{settings.tta}" + "_unseen" * settings.unseen
    return beside(bundle) / "evaluation" / name


def print_report(report: "Report", screen: Screen) -> None:
    """Print how it was scored and trained, the cautions, and each head's scores."""
    say = screen.say
    say(report.protocol)
    say(f"trained: {report.trained}")
    for caution in report.cautions:
        say(f"caution: {caution}", style="yellow")
    if not report.seen.flatters:
        say(report.seen.text)
    for sentence in report.left_out:
        say(sentence)
    if report.expression is not None:
        screen.print(_expression(report.expression), _classes(report.expression))
        for line in (*_calibration(report.expression), f"baselines: {report.expression.baseline_note}"):
            say(line)
    if report.affect is not None:
        screen.print(_affect(report.affect))
        say(f"baseline: {report.affect.baseline_note}")
    if report.camera is not None:
        screen.print(_camera(report.camera))
    for name, attribute in report.slices.items():
        for head in ("expression", "affect"):
            if getattr(report, head):
                screen.print(_slices(name, attribute.values, head))
        for sentence in attribute.notes:
            say(sentence)


SCORES = {"accuracy": "accuracy", "macro_f1": "macro F1", "mean_recall": "mean recall (balanced accuracy)"}


def _expression(expression: "Expression") -> Table:
    table = _table("score, %", "model", "95 % interval", "majority", "random")
    for key, name in SCORES.items():
        baselines = (percent(expression.baselines[each][key]) for each in ("majority", "random"))
        table.add_row(name, percent(expression.scores[key]), _percents(expression.intervals[key]), *baselines)
    table.add_row("top 2", percent(expression.scores["top2"]))
    table.add_row("NLL, nats", f"{expression.scores['nll']:.3f}")
    return table


def _classes(expression: "Expression") -> Table:
    table = _table("class", "faces", "recall", "precision", "F1")
    for name, row in expression.classes.items():
        table.add_row(name, f"{row.support:,}", *(percent(each) for each in (row.recall, row.precision, row.f1)))
    return table


def _calibration(expression: "Expression") -> list[str]:
    found = expression.calibration
    after = "–" if found.ece_after is None else f"{percent(found.ece_after)} %"
    lines = [f"ECE {percent(found.ece_before)} % at temperature 1, {after} with a cross-fitted one"]
    if found.ece_bundle is not None:
        own = f"at the bundle's temperature {found.bundle_temperature:.3f}"
        lines.append(f"ECE {percent(found.ece_bundle)} % {own}")
    return lines


def _affect(affect: "Affect") -> Table:
    table = _table("valence and arousal", "faces", "model", "95 % interval", "baseline")
    for key, name in (("ccc", "CCC"), ("rmse", "RMSE")):
        for dimension, scores in affect.scores.items():
            faces = f"{scores['faces']:,}" if "faces" in scores else ""
            interval = _decimals(affect.intervals[dimension][key])
            baseline = _decimal(affect.baseline[dimension][key])
            table.add_row(f"{name}, {dimension}", faces, _decimal(scores[key]), interval, baseline)
    return table


def _camera(camera: "Camera") -> Table:
    """The scores under each change that a camera brings, with what was lost, in points."""
    table = _table("as a camera sees it, %", "accuracy", "lost", "mean recall")
    table.add_row("as they are", percent(camera.clean["accuracy"]), "", percent(camera.clean["mean_recall"]))
    for name, scores in camera.changed.items():
        lost = f"{100 * (camera.clean['accuracy'] - scores['accuracy']):.1f}"
        table.add_row(name, percent(scores["accuracy"]), lost, percent(scores["mean_recall"]))
    mean = camera.mean_accuracy
    table.add_row("mean of the changes", percent(mean), f"{100 * (camera.clean['accuracy'] - mean):.1f}", "")
    return table


def _slices(name: str, values: Mapping[str, Any], head: str) -> Table:
    """The scores of one head for each value of an attribute."""
    columns = SLICES[head]
    table = _table(name, "faces", *(title for title, _, _ in columns))
    for value, heads in values.items():
        scores = heads.get(head, {"faces": 0})
        cells = (shown(scores[key]) if key in scores else "–" for _, key, shown in columns)
        table.add_row(value, f"{scores['faces']:,}", *cells)
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table(first, box=None, pad_edge=False, header_style="bold")
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _percents(pair: tuple[float, float]) -> str:
    return f"{percent(pair[0])}–{percent(pair[1])}"


def _decimal(value: float) -> str:
    return f"{value:.3f}"


def _decimals(pair: tuple[float, float], digits: int = 3) -> str:
    """With "to", for a CCC may be negative."""
    return f"{pair[0]:.{digits}f} to {pair[1]:.{digits}f}"


# What is shown of a slice: title, key, and how.
SLICES: dict[str, list[tuple[str, str, Callable[[Any], str]]]] = {
    "expression": [
        ("accuracy, %", "accuracy", percent),
        ("95 % interval", "accuracy_interval", _percents),
        ("mean recall", "mean_recall", percent),
        ("macro F1", "macro_f1", percent),
    ],
    "affect": [
        ("valence CCC", "valence_ccc", _decimal),
        ("95 % interval", "valence_ccc_interval", partial(_decimals, digits=2)),
        ("arousal CCC", "arousal_ccc", _decimal),
        ("95 % interval", "arousal_ccc_interval", partial(_decimals, digits=2)),
    ],
}
