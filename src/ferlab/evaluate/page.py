"""The page of a report: a template, figures as SVG and faces as PNG, all inside one file."""

import base64
from collections.abc import Mapping
from typing import Any

import cv2
import jinja2
import numpy as np
from matplotlib.figure import Figure

from ferlab.data.source import Split
from ferlab.evaluate import affect_plots, plots
from ferlab.evaluate.affect import Affect
from ferlab.evaluate.evaluation import Evaluation
from ferlab.evaluate.expression import Expression
from ferlab.evaluate.sections import MISTAKES
from ferlab.evaluate.slice_plots import slice_intervals
from ferlab.labels import AFFECT
from ferlab.spec import Image

NAME = 32  # characters of a model's name
THUMBNAIL_PX = 96  # the longer side of a face that is larger; smaller ones stay as they are


def render(evaluation: Evaluation, document: Mapping[str, Any]) -> str:
    """The HTML of an evaluation; every word from the bundle or the dataset is escaped.

    Args:
        evaluation: for the figures and faces.
        document: what report.json holds, for the numbers.
    """
    shown = faces(evaluation.expression, evaluation.split) if evaluation.expression else []
    return template("report.html.j2").render(report=document, figures=figures(evaluation), faces=shown)


def template(name: str, package: str = "ferlab.evaluate") -> jinja2.Template:
    """A page's template from a package's templates/, or from those here, where the style is; it escapes every word, and
    a name that it does not get is an error.
    """
    loader = jinja2.ChoiceLoader([jinja2.PackageLoader(each) for each in (package, "ferlab.evaluate")])
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {f.__name__: f for f in (percent, decimal, signed, points, p_value, plain, shortened)}
    return environment.get_template(name)


def figures(evaluation: Evaluation) -> dict[str, str]:
    """The page's figures as `data:` addresses, by name."""
    drawn: dict[str, Figure] = {}
    overall: dict[str, float] = {}
    if expression := evaluation.expression:
        drawn |= _expression_figures(expression)
        overall |= {"accuracy": expression.result.scores["accuracy"]}
    if affect := evaluation.affect:
        drawn |= _affect_figures(affect)
        overall |= {f"{name}_ccc": affect.scores[name]["ccc"] for name in AFFECT if name in affect.scores}
    if evaluation.slices:
        drawn["slices"] = slice_intervals(evaluation.slices, overall)
    return {name: plots.data_uri(figure) for name, figure in drawn.items()}


def _expression_figures(expression: Expression) -> dict[str, Figure]:
    result, probabilities = expression.result, expression.probabilities
    right = probabilities.argmax(1) == expression.predictions.labels
    return {
        "counts": plots.confusion_matrix(result.confusion, result.names),
        "shares": plots.confusion_matrix(result.confusion, result.names, normalised=True),
        "recall": plots.recall_bars(result),
        "reliability": plots.reliability_diagram(expression.curves),
        "confidence": plots.confidence_histogram(probabilities.max(1), right),
    }


def _affect_figures(affect: Affect) -> dict[str, Figure]:
    drawn = {"agreement": affect_plots.agreement(affect)}
    if not np.isnan(affect.target).any(1).all():
        drawn["circumplex"] = affect_plots.circumplex(affect)
    if affect.classes:
        drawn["class_means"] = affect_plots.class_means(affect.classes)
    return drawn


def faces(expression: Expression, split: Split) -> list[str]:
    """The faces of the most confident mistakes as the dataset has them, as `data:` addresses."""
    return [_png(split.read(int(row))) for row in expression.rows[expression.mistakes(MISTAKES)]]


def percent(value: float | None) -> str:
    """71.3, or a dash where there is no value."""
    return "–" if value is None else f"{100 * value:.1f}"


def decimal(value: float, digits: int = 3) -> str:
    """0.713."""
    return f"{value:.{digits}f}"


def signed(value: float) -> str:
    """+0.71 or −0.71, with a minus as wide as the plus."""
    return f"{value:+.2f}".replace("-", "−")


def points(value: float) -> str:
    """A difference of two shares in percentage points: +0.4, −1.2."""
    return f"{100 * value:+z.1f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """0.039, or a dash where there is none."""
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def shortened(name: str, width: int = NAME) -> str:
    """A name of at most `width` characters: a long one loses its middle, for runs differ at either end."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"


def plain(value: Any) -> str:
    """A nested value in one line: a: 1, b: [2, 3]."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(plain(item) for item in value) + "]"
    return "not known" if value is None else str(value)


def _png(face: Image) -> str:
    longer = max(face.shape[:2])
    if longer > THUMBNAIL_PX:
        scale = THUMBNAIL_PX / longer
        size = (max(round(face.shape[1] * scale), 1), max(round(face.shape[0] * scale), 1))
        face = cv2.resize(face, size, interpolation=cv2.INTER_AREA).astype(face.dtype)
    _, encoded = cv2.imencode(".png", cv2.cvtColor(face, cv2.COLOR_RGB2BGR))
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()
