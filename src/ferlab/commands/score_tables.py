"""What `ferlab evaluate` prints: the numbers of report.json as tables."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

SCORES = {"accuracy": "accuracy", "macro_f1": "macro F1", "mean_recall": "mean recall"}


def print_scores(document: Mapping[str, Any]) -> None:
    """Print the protocol, the cautions, and each head's scores, as `ferlab.evaluate.report.to_document` has them."""
    console = Console(highlight=False)
    say = partial(console.print, markup=False, soft_wrap=True)
    say(document["protocol"])
    for caution in document["cautions"]:
        say(f"caution: {caution}", style="yellow")
    for sentence in document["left_out"]:
        say(sentence)
    if expression := document["expression"]:
        console.print(_expression(expression), _classes(expression["classes"]))
        for line in (*_calibration(expression["calibration"]), f"baselines: {expression['baseline_note']}"):
            say(line)
    if affect := document["affect"]:
        console.print(_affect(affect))
        say(f"baseline: {affect['baseline_note']}")
    for name, attribute in document["slices"].items():
        console.print(_slices(name, attribute["values"], bool(expression), bool(affect)))
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
            low, high = affect["intervals"][dimension][key]
            faces = f"{scores['faces']:,}" if "faces" in scores else ""
            baseline = f"{affect['baseline'][dimension][key]:.3f}"
            table.add_row(f"{name}, {dimension}", faces, f"{scores[key]:.3f}", f"{low:.3f} to {high:.3f}", baseline)
    return table


def _slices(name: str, values: Mapping[str, Any], expression: bool, affect: bool) -> Table:
    labelled = ("faces", "accuracy", "95 % interval", "mean recall", "macro F1") if expression else ()
    rated = ("faces", "CCC valence", "CCC arousal") if affect else ()
    table = _table(escape(name), *labelled, *rated)
    for value, heads in values.items():
        cells = [escape(value)]
        if expression:
            scores = heads.get("expression", {"faces": 0})
            shown = (_percent(scores.get("accuracy")), _percents(scores.get("accuracy_interval")))
            cells += [
                f"{scores['faces']:,}",
                *shown,
                *(_percent(scores.get(key)) for key in ("mean_recall", "macro_f1")),
            ]
        if affect:
            scores = heads.get("affect", {"faces": 0})
            cells += [f"{scores['faces']:,}", *(_decimal(scores.get(f"{key}_ccc")) for key in ("valence", "arousal"))]
        table.add_row(*cells)
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table(first, box=None, pad_edge=False, header_style="bold")
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _percents(pair: tuple[float, float] | None) -> str:
    return "–" if pair is None else f"{_percent(pair[0])}–{_percent(pair[1])}"


def _decimal(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
