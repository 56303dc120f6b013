"""What `ferlab evaluate` prints: the numbers of report.json as tables."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rich.markup import escape
from rich.table import Table

from ferlab.commands.screen import console

SCORES = {"accuracy": "accuracy", "macro_f1": "macro F1", "mean_recall": "mean recall"}


def print_scores(document: Mapping[str, Any]) -> None:
    """Print the protocol, the cautions, and each head's scores, as `ferlab.evaluate.report.to_document` has them."""
    screen = console()
    say = partial(screen.print, markup=False, soft_wrap=True)
    say(document["protocol"])
    for caution in document["cautions"]:
        say(f"caution: {caution}", style="yellow")
    for sentence in document["left_out"]:
        say(sentence)
    if expression := document["expression"]:
        screen.print(_expression(expression), _classes(expression["classes"]))
        for line in (*_calibration(expression["calibration"]), f"baselines: {expression['baseline_note']}"):
            say(line)
    if affect := document["affect"]:
        screen.print(_affect(affect))
        say(f"baseline: {affect['baseline_note']}")
    for name, attribute in document["slices"].items():
        for head in ("expression", "affect"):
            if document[head]:
                screen.print(_slices(name, attribute["values"], head))
        for sentence in attribute["notes"]:
            say(sentence)


def _expression(expression: Mapping[str, Any]) -> Table:
    table = _table("score, %", "model", "95 % interval", "majority", "random")
    for key, name in SCORES.items():
        baselines = (_percent(expression["baselines"][b][key]) for b in ("majority", "random"))
        interval = _percents(expression["intervals"][key])
        table.add_row(name, _percent(expression["scores"][key]), interval, *baselines)
    table.add_row("top 2", _percent(expression["scores"]["top2"]))
    table.add_row("NLL, nats", f"{expression['scores']['nll']:.3f}")
    return table


def _classes(classes: Mapping[str, Any]) -> Table:
    table = _table("class", "faces", "recall", "precision", "F1")
    for name, row in classes.items():
        table.add_row(name, f"{row['support']:,}", *(_percent(row[key]) for key in ("recall", "precision", "f1")))
    return table


def _calibration(ece: Mapping[str, Any]) -> list[str]:
    after = "–" if ece["ece_after"] is None else f"{_percent(ece['ece_after'])} %"
    lines = [f"ECE {_percent(ece['ece_before'])} % at temperature 1, {after} with a cross-fitted one"]
    if ece["ece_bundle"] is not None:
        own = f"at the bundle's temperature {ece['bundle_temperature']:.3f}"
        lines.append(f"ECE {_percent(ece['ece_bundle'])} % {own}")
    return lines


def _affect(affect: Mapping[str, Any]) -> Table:
    table = _table("valence and arousal", "faces", "model", "95 % interval", "baseline")
    for key, name in (("ccc", "CCC"), ("rmse", "RMSE")):
        for dimension, scores in affect["scores"].items():
            faces = f"{scores['faces']:,}" if "faces" in scores else ""
            interval = _decimals(affect["intervals"][dimension][key])
            baseline = _decimal(affect["baseline"][dimension][key])
            table.add_row(f"{name}, {dimension}", faces, _decimal(scores[key]), interval, baseline)
    return table


def _slices(name: str, values: Mapping[str, Any], head: str) -> Table:
    """The scores of one head for each value of an attribute."""
    columns = SLICES[head]
    table = _table(escape(name), "faces", *(title for title, _, _ in columns))
    for value, heads in values.items():
        scores = heads.get(head, {"faces": 0})
        cells = (shown(scores[key]) if key in scores else "–" for _, key, shown in columns)
        table.add_row(escape(value), f"{scores['faces']:,}", *cells)
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table(first, box=None, pad_edge=False, header_style="bold")
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _percents(pair: tuple[float, float]) -> str:
    return f"{_percent(pair[0])}–{_percent(pair[1])}"


def _decimal(value: float) -> str:
    return f"{value:.3f}"


def _decimals(pair: tuple[float, float], digits: int = 3) -> str:
    """With "to", for a CCC may be negative."""
    return f"{pair[0]:.{digits}f} to {pair[1]:.{digits}f}"


# What is shown of a slice: title, key, and how.
SLICES: dict[str, list[tuple[str, str, Callable[[Any], str]]]] = {
    "expression": [
        ("accuracy, %", "accuracy", _percent),
        ("95 % interval", "accuracy_interval", _percents),
        ("mean recall", "mean_recall", _percent),
        ("macro F1", "macro_f1", _percent),
    ],
    "affect": [
        ("valence CCC", "valence_ccc", _decimal),
        ("95 % interval", "valence_ccc_interval", partial(_decimals, digits=2)),
        ("arousal CCC", "arousal_ccc", _decimal),
        ("95 % interval", "arousal_ccc_interval", partial(_decimals, digits=2)),
    ],
}
