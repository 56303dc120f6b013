"""The page of a report: a template, figures as SVG and faces as PNG, all inside one file."""

import base64
from collections.abc import Mapping
from typing import Any

import cv2
import jinja2

from ferlab.evaluate import plots
from ferlab.evaluate.evaluation import Evaluation
from ferlab.spec import Image

THUMBNAIL_PX = 96  # the longer side of a face that is larger; smaller ones stay as they are


def render(evaluation: Evaluation, document: Mapping[str, Any]) -> str:
    """The HTML of an evaluation; every word from the bundle or the dataset is escaped.

    Args:
        evaluation: for the figures and faces.
        document: what report.json holds, for the numbers.
    """
    loader = jinja2.PackageLoader("ferlab.evaluate", "")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"percent": percent, "plain": plain}
    page = environment.get_template("report.html.j2")
    return page.render(report=document, figures=figures(evaluation), faces=faces(evaluation, len(document["mistakes"])))


def figures(evaluation: Evaluation) -> dict[str, str]:
    """The page's figures as `data:` addresses, by name."""
    result, probabilities = evaluation.result, evaluation.probabilities
    drawn = {
        "counts": plots.confusion_matrix(result.confusion, result.names),
        "shares": plots.confusion_matrix(result.confusion, result.names, normalised=True),
        "recall": plots.recall_bars(result),
        "reliability": plots.reliability_diagram(evaluation.curves),
        "confidence": plots.confidence_histogram(
            probabilities.max(1), probabilities.argmax(1) == evaluation.predictions.labels
        ),
    }
    return {name: plots.data_uri(figure) for name, figure in drawn.items()}


def faces(evaluation: Evaluation, limit: int) -> list[str]:
    """The faces of the most confident mistakes as the dataset has them, as `data:` addresses."""
    rows = evaluation.predictions.rows[evaluation.mistakes(limit)]
    return [_png(evaluation.split.read(int(row))) for row in rows]


def percent(value: float | None) -> str:
    """71.3, or a dash where there is no value."""
    return "–" if value is None else f"{100 * value:.1f}"


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
