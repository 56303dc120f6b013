"""The two views of a record that are files: JSON, and one HTML page with its figures and faces inside."""

import base64
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import jinja2
import numpy as np
from matplotlib.figure import Figure

from ferlab.errors import ConfigError
from ferlab.evaluation import affect_plots, plots
from ferlab.evaluation.affect import Affect
from ferlab.evaluation.comparison import COLUMNS, Comparison
from ferlab.evaluation.expression import Expression
from ferlab.evaluation.report import Report
from ferlab.evaluation.slice_plots import slice_intervals
from ferlab.evaluation.table import FILE, as_csv, table
from ferlab.evaluation.text import decimal, p_value, percent, plain, points, shortened, signed, stated
from ferlab.files import creating_folder, write_json, write_text
from ferlab.labels import AFFECT
from ferlab.spec import Image

THUMBNAIL_PX = 96  # the longer side of a face that is larger; smaller ones stay as they are


def write_report(report: Report, folder: Path, show_faces: bool | None = None) -> Path:
    """Write report.json, report.html and predictions.csv to `folder`.

    Args:
        report: what to write.
        folder: a new one, or an older report's.
        show_faces: whether the page shows the faces of the mistakes; None for all data but that which is confidential.

    Returns:
        The page.

    Raises:
        ConfigError: the folder holds something else, or cannot be written.
    """
    shown = not report.dataset.confidential if show_faces is None else show_faces
    csv = as_csv(table(report.answers, report.faces))
    write_folder(folder, "report", report.document(), render(report, shown), {FILE: csv})
    return folder / "report.html"


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write compare.json and compare.html to `folder`; raises as `write_report`."""
    write_folder(folder, "compare", asdict(comparison), render_comparison(comparison))


def check_folder(folder: Path, kind: str = "report") -> None:
    """Raise a ConfigError unless `folder` is absent, empty or an older report: anything else would be deleted."""
    record = f"{kind}.json"
    files = {record, f"{kind}.html", FILE}
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else {""} if folder.exists() else set()
    if not found <= files or (FILE in found and record not in found):  # predictions.csv alone may be anybody's
        raise ConfigError(f"out must be a new folder or an older report's, got {folder} with other files; set out=…")


def write_folder(
    folder: Path, kind: str, document: Mapping[str, Any], page: str, others: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write `kind`.json, `kind`.html and others by name to `folder`, which appears whole or not at all and replaces an
    older report.

    Raises:
        ConfigError: the folder holds something else, or cannot be written.
    """
    check_folder(folder, kind)
    try:
        with creating_folder(folder) as temporary:
            write_json(temporary / f"{kind}.json", document)
            write_text(temporary / f"{kind}.html", page)
            for name, text in others.items():
                write_text(temporary / name, text.encode("utf-8", "backslashreplace").decode())
    except OSError as error:
        raise ConfigError(f"cannot write the report to {folder}: {error.strerror}; set out=…") from error


def template(name: str, package: str = "ferlab.evaluation") -> jinja2.Template:
    """A page's template from a package's templates/, or from those here, where the style is; it escapes every word, and
    a name that it does not get is an error.
    """
    loader = jinja2.ChoiceLoader([jinja2.PackageLoader(each) for each in (package, "ferlab.evaluation")])
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {f.__name__: f for f in (percent, decimal, signed, points, p_value, plain, shortened)}
    return environment.get_template(name)


def render(report: Report, show_faces: bool = True) -> str:
    """The HTML of a report; every word from the bundle or the dataset is escaped."""
    drawn: dict[str, Figure] = {}
    overall: dict[str, float] = {}
    faces = []
    if expression := report.expression:
        drawn |= _expression_figures(expression)
        overall["accuracy"] = expression.scores["accuracy"]
        faces = [_png(report.faces.read(mistake.row)) for mistake in expression.mistakes if show_faces]
    if affect := report.affect:
        drawn |= _affect_figures(affect)
        overall |= {f"{name}_ccc": affect.scores[name]["ccc"] for name in AFFECT if name in affect.scores}
    if report.slices:
        drawn["slices"] = slice_intervals(report.slices, overall)
    figures = {name: plots.data_uri(figure) for name, figure in drawn.items()}
    return template("report.html.j2").render(report=report, figures=figures, faces=faces)


def render_summary(report: Report) -> str:
    """A part of a page for a notebook: how it was scored, the cautions, scores and confusion; no faces."""
    confusion = None
    if report.expression:
        counts = np.array(report.expression.confusion)
        confusion = plots.data_uri(plots.confusion_matrix(counts, list(report.expression.classes), normalised=True))
    return template("summary.html.j2").render(report=report, confusion=confusion)


def _expression_figures(expression: Expression) -> dict[str, Figure]:
    confusion, names = np.array(expression.confusion), list(expression.classes)
    return {
        "counts": plots.confusion_matrix(confusion, names),
        "shares": plots.confusion_matrix(confusion, names, normalised=True),
        "recall": plots.recall_bars(expression.classes, expression.scores["mean_recall"]),
        "reliability": plots.reliability_diagram(expression.calibration.curves),
        "confidence": plots.confidence_histogram(**expression.confidence),
    }


def _affect_figures(affect: Affect) -> dict[str, Figure]:
    ccc = {name: affect.scores[name]["ccc"] for name in AFFECT if name in affect.scores}
    drawn = {"agreement": affect_plots.agreement(affect.densities, ccc)}
    if "true" in affect.densities:
        drawn["circumplex"] = affect_plots.circumplex(affect.densities["true"], affect.densities["predicted"])
    if affect.classes:
        drawn["class_means"] = affect_plots.class_means(affect.classes)
    return drawn


def render_comparison(comparison: Comparison) -> str:
    """The HTML of a comparison; every word from a bundle or the dataset is escaped."""
    models = comparison.models
    found = [model.difference for model in models]
    forest = plots.forest(
        [shortened(model.name) for model in models],
        np.array([[model.scores["accuracy"], *model.interval] for model in models]),
        [[member.scores["accuracy"] for member in model.members] for model in models],
        np.array([[np.nan] * 3 if each is None else [each.accuracy, *each.interval] for each in found]),
        shortened(comparison.reference),
    )
    return template("compare.html.j2").render(
        report=comparison,
        columns={name: COLUMNS[name] for name in comparison.metrics},
        timed=any(model.epoch_s is not None for model in models),
        corrected=any(each is not None and each.p_holm is not None for each in found),
        stated=stated,
        forest=plots.data_uri(forest),
    )


def _png(face: Image) -> str:
    longer = max(face.shape[:2])
    if longer > THUMBNAIL_PX:
        scale = THUMBNAIL_PX / longer
        size = (max(round(face.shape[1] * scale), 1), max(round(face.shape[0] * scale), 1))
        face = cv2.resize(face, size, interpolation=cv2.INTER_AREA).astype(face.dtype)
    _, encoded = cv2.imencode(".png", cv2.cvtColor(face, cv2.COLOR_RGB2BGR))
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()
