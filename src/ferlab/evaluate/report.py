"""Write an evaluation as `report.json`, for programs, and `report.html`, one page that needs no other file."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ferlab import __version__
from ferlab.errors import ConfigError
from ferlab.evaluate.evaluation import Evaluation
from ferlab.evaluate.page import render
from ferlab.evaluate.sections import affect_section, expression_section, slices_section
from ferlab.evaluate.tta import crop_side, view_count
from ferlab.files import creating_folder, write_json, write_text
from ferlab.provenance import commit

FORMAT = 2  # of report.json; 1 had the scores of expressions at its top


def default_folder(bundle: Path, dataset: str, split: str, tta: str) -> Path:
    """Where a report goes if nobody says: `evaluation/<dataset>_<split>_<tta>` beside the bundle."""
    return bundle.absolute().parent / "evaluation" / f"{dataset}_{split}_{tta}"


def check_folder(folder: Path, kind: str = "report") -> None:
    """Raise a ConfigError unless `folder` is absent, empty or an older report: anything else would be deleted."""
    files = {f"{kind}.json", f"{kind}.html"}
    if folder.exists() and not (folder.is_dir() and {path.name for path in folder.iterdir()} <= files):
        raise ConfigError(f"out must be a new folder or an older report's, got {folder} with other files; set out=…")


def write_report(evaluation: Evaluation, folder: Path) -> dict[str, Any]:
    """Write both files to `folder`, which appears whole or not at all and replaces an older report.

    Returns:
        What report.json holds.

    Raises:
        ConfigError: the folder holds something else, or cannot be written.
    """
    document = to_document(evaluation)
    write_folder(folder, "report", document, render(evaluation, document))
    return document


def write_folder(folder: Path, kind: str, document: dict[str, Any], page: str) -> None:
    """Write `kind`.json and `kind`.html to `folder`, as `write_report` does, with its errors."""
    check_folder(folder, kind)
    try:
        with creating_folder(folder) as temporary:
            write_json(temporary / f"{kind}.json", document)
            write_text(temporary / f"{kind}.html", page)
    except OSError as error:
        raise ConfigError(f"cannot write the report to {folder}: {error.strerror}; set out=…") from error


def to_document(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as plain values; None stands for a head that was not scored."""
    bundle, split = evaluation.bundle, evaluation.split
    expression, affect = evaluation.expression, evaluation.affect
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "ferlab": {"version": __version__, "commit": commit()},
        "protocol": protocol(evaluation),
        "cautions": list(evaluation.cautions),
        "left_out": list(evaluation.left_out),
        "bundle": {
            "path": str(bundle.path),
            "digest": bundle.spec.digest,
            "model": dict(bundle.model),
            "labels": list(bundle.spec.expression),
            "affect": bundle.spec.affect,
            "provenance": dict(bundle.provenance),
        },
        "dataset": _dataset(evaluation),
        "settings": {
            "tta": evaluation.settings.tta,
            "views": view_count(evaluation.settings.tta),
            "bootstrap": evaluation.settings.bootstrap,
            "seed": evaluation.settings.seed,
        },
        "selection": evaluation.selection,
        "expression": expression_section(expression, split) if expression else None,
        "affect": affect_section(affect) if affect else None,
        "slices": slices_section(evaluation.slices),
    }


def protocol(evaluation: Evaluation) -> str:
    """One sentence without which the score means nothing: data, filter, split, number of faces, views, code."""
    source, size = evaluation.source, evaluation.bundle.spec.size
    seen = {
        "plain": "one plain view a face",
        "flip": "mean of the face and its mirror image",
        "ten_crop": f"ten-crop ({crop_side(size)} of {size} pixels, enlarged, with mirrors)",
    }[evaluation.settings.tta]
    return (
        f"{source.protocol}; {evaluation.split.name} split, {evaluation.faces:,} images; {seen}; "
        f"ferlab {__version__}, commit {commit() or 'unknown'}"
    )


def _dataset(evaluation: Evaluation) -> dict[str, Any]:
    source = evaluation.source
    return {
        "name": source.name,
        "protocol": source.protocol,
        "licence": source.licence,
        "digest": evaluation.digest,
        "split": evaluation.split.name,
        "images": evaluation.faces,
        "left_out": len(evaluation.split) - evaluation.faces,
        "labels": list(source.labels),
        "mapping": dict(source.mapping),
        "dropped": dict(source.dropped),
    }
