"""Write an evaluation as `report.json`, for programs, and `report.html`, one page that needs no other file."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab import __version__
from ferlab.errors import ConfigError
from ferlab.evaluate.calibration import BINS, FOLDS, Reliability
from ferlab.evaluate.evaluation import AFTER, BEFORE, OWN, Evaluation
from ferlab.evaluate.page import render
from ferlab.evaluate.tta import crop_side
from ferlab.files import creating_folder, write_json, write_text
from ferlab.provenance import commit

FORMAT = 1
FILES = ("report.json", "report.html")
MISTAKES = 24


def default_folder(bundle: Path, dataset: str, split: str, tta: str) -> Path:
    """Where a report goes if nobody says: `evaluation/<dataset>_<split>_<tta>` beside the bundle."""
    return bundle.absolute().parent / "evaluation" / f"{dataset}_{split}_{tta}"


def check_folder(folder: Path) -> None:
    """Raise a ConfigError unless `folder` is absent, empty or an older report: anything else would be deleted."""
    if folder.exists() and not (folder.is_dir() and {path.name for path in folder.iterdir()} <= set(FILES)):
        raise ConfigError(f"out must be a new folder or an older report's, got {folder} with other files; set out=…")


def write_report(evaluation: Evaluation, folder: Path) -> dict[str, Any]:
    """Write both files to `folder`, which appears whole or not at all and replaces an older report.

    Returns:
        What report.json holds.

    Raises:
        ConfigError: the folder holds something else, or cannot be written.
    """
    check_folder(folder)
    document = to_document(evaluation)
    page = render(evaluation, document)
    try:
        with creating_folder(folder) as temporary:
            write_json(temporary / "report.json", document)
            write_text(temporary / "report.html", page)
    except OSError as error:
        raise ConfigError(f"cannot write the report to {folder}: {error.strerror}; set out=…") from error
    return document


def to_document(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as plain values; None stands for what is undefined, such as the recall of an absent class."""
    spec, result = evaluation.bundle.spec, evaluation.result
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "ferlab": {"version": __version__, "commit": commit()},
        "protocol": protocol(evaluation),
        "cautions": list(evaluation.cautions),
        "bundle": {
            "path": str(evaluation.bundle.path),
            "digest": spec.digest,
            "model": dict(evaluation.bundle.model),
            "labels": list(spec.expression),
            "provenance": dict(evaluation.bundle.provenance),
        },
        "dataset": _dataset(evaluation),
        "settings": {
            "tta": evaluation.settings.tta,
            "views": evaluation.predictions.logits.shape[1],
            "bootstrap": evaluation.settings.bootstrap,
            "seed": evaluation.settings.seed,
        },
        "selection": evaluation.selection,
        "scores": result.scores,
        "intervals": {name: list(pair) for name, pair in evaluation.intervals.items()},
        "baselines": {name: dict(scores) for name, scores in evaluation.baselines.items()},
        "baseline_note": evaluation.baseline_note,
        "classes": _classes(evaluation),
        "confusion": result.confusion.tolist(),
        "calibration": _calibration(evaluation),
        "mistakes": [_mistake(evaluation, int(i)) for i in evaluation.mistakes(MISTAKES)],
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
        f"{source.protocol}; {evaluation.split.name} split, {len(evaluation.predictions.labels):,} images; {seen}; "
        f"ferlab {__version__}, commit {commit() or 'unknown'}"
    )


def _dataset(evaluation: Evaluation) -> dict[str, Any]:
    source, split = evaluation.source, evaluation.split
    return {
        "name": source.name,
        "protocol": source.protocol,
        "licence": source.licence,
        "digest": evaluation.digest,
        "split": split.name,
        "images": len(evaluation.predictions.labels),
        "unlabelled": int((split.labels < 0).sum()),
        "labels": list(source.labels),
        "mapping": dict(source.mapping),
        "dropped": dict(source.dropped),
    }


def _classes(evaluation: Evaluation) -> dict[str, dict[str, float | int | None]]:
    result = evaluation.result
    predicted = result.confusion.sum(0)
    return {
        name: {
            "support": int(result.support[i]),
            "predicted": int(predicted[i]),
            "precision": _number(result.precision[i]),
            "recall": _number(result.recall[i]),
            "f1": _number(result.f1[i]),
        }
        for i, name in enumerate(result.names)
    }


def _calibration(evaluation: Evaluation) -> dict[str, Any]:
    """ECE by name of the curve, None where a curve is missing, and the curves themselves."""
    curves = evaluation.curves
    ece = {
        key: curves[name].ece if name in curves else None for key, name in zip(ECE, (BEFORE, AFTER, OWN), strict=True)
    }
    return {
        **ece,
        "bins": BINS,
        "folds": FOLDS,
        "bundle_temperature": evaluation.bundle.spec.temperature,
        "fitted_temperature": evaluation.temperature,
        "curves": {name: _curve(curve) for name, curve in curves.items()},
    }


ECE = ("ece_before", "ece_after", "ece_bundle")


def _curve(curve: Reliability) -> dict[str, list[Any]]:
    return {
        "confidence": [_number(value) for value in curve.confidence],
        "accuracy": [_number(value) for value in curve.accuracy],
        "count": curve.count.tolist(),
    }


def _mistake(evaluation: Evaluation, i: int) -> dict[str, Any]:
    predictions, probabilities = evaluation.predictions, evaluation.probabilities[i]
    guess = int(probabilities.argmax())
    return {
        "image": evaluation.split.images.name(int(predictions.rows[i])),
        "true": predictions.names[predictions.labels[i]],
        "predicted": predictions.names[guess],
        "confidence": float(probabilities[guess]),
    }


def _number(value: float | np.float64 | npt.NDArray[Any]) -> float | None:
    return float(value) if np.isfinite(value) else None
