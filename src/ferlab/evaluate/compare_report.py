"""Write a comparison as `compare.json`, for programs, and `compare.html`, one page that needs no other file."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ferlab import __version__
from ferlab.errors import BundleError
from ferlab.evaluate import plots
from ferlab.evaluate.compare import METRICS, Comparison, Row, Scored
from ferlab.evaluate.page import percent, shortened, template
from ferlab.evaluate.paired import ALPHA, Difference
from ferlab.evaluate.report import write_folder
from ferlab.provenance import commit
from ferlab.runner import Runner

FORMAT = 1
KIND = "compare"  # the files' name
COLUMNS = {
    "accuracy": "accuracy, %",
    "macro_f1": "macro F1, %",
    "mean_recall": "mean recall, %",
    "nll": "NLL, nats",
    "ece": "ECE, %",
    "valence_ccc": "valence CCC",
    "arousal_ccc": "arousal CCC",
}
SHARES = ("accuracy", "macro_f1", "mean_recall", "ece")  # stated in per cent


def default_folder(dataset: str, split: str, tta: str) -> Path:
    """Where a comparison goes if nobody says: `outputs/compare/<dataset>_<split>_<tta>`."""
    return Path("outputs") / "compare" / f"{dataset}_{split}_{tta}"


def write_comparison(comparison: Comparison, folder: Path) -> dict[str, Any]:
    """Write both files to `folder`, which appears whole or not at all and replaces an older comparison.

    Returns:
        What compare.json holds.

    Raises:
        BundleError: a bundle's metrics.json cannot be read.
        ConfigError: the folder holds something else, or cannot be written.
    """
    document = to_document(comparison)
    write_folder(folder, KIND, document, render(document))
    return document


def to_document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain values; None stands for what is undefined or not known."""
    first, expression = comparison.rows[0].members[0].evaluation, comparison.rows[0].members[0].expression
    settings = first.settings
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "ferlab": {"version": __version__, "commit": commit()},
        "protocol": protocol(comparison),
        "summary": summary(comparison),
        "cautions": [{"text": text, "models": list(names)} for text, names in comparison.cautions.items()],
        "dataset": {
            "name": first.source.name,
            "protocol": first.source.protocol,
            "licence": first.source.licence,
            "digest": first.digest,
            "split": first.split.name,
            "images": len(expression.rows),
            "classes": _classes(comparison.rows[0]),
        },
        "settings": {
            "tta": settings.tta,
            "bootstrap": settings.bootstrap,
            "seed": settings.seed,
            "sort": comparison.sort,
            "alpha": ALPHA,
        },
        "reference": comparison.reference.name,
        "models": [_model(row, comparison.differences.get(row.name)) for row in comparison.rows],
        "baselines": {name: dict(scores) for name, scores in expression.baselines.items()},
        "baseline_note": expression.baseline_note,
    }


def protocol(comparison: Comparison) -> str:
    """One sentence without which the numbers mean nothing: data, filter, split, number of faces, views, code."""
    first, faces = comparison.rows[0].members[0].evaluation, len(comparison.reference.correct)
    return (
        f"{first.source.protocol}; {first.split.name} split, {faces:,} images, the same for every model; tta "
        f"{first.settings.tta}; ferlab {__version__}, commit {commit() or 'unknown'}"
    )


def summary(comparison: Comparison) -> str:
    """The differences in words, the models of one verdict together."""
    reference = comparison.reference
    verdicts: dict[str, list[str]] = {}
    for name, found in comparison.differences.items():
        verdicts.setdefault(found.words, []).append(name)
    told = "; ".join(f"{words}: {', '.join(names)}" for words, names in verdicts.items())
    return f"Against {reference.name} ({percent(reference.scores['accuracy'])} % accuracy): {told or 'no other model'}"


def _classes(row: Row) -> dict[str, int]:
    """Label -> faces, for those that occur, in the dataset's order."""
    result = row.members[0].expression.result
    faces = dict(zip(result.names, result.support.tolist(), strict=True))
    return {name: faces[name] for name in row.recall}


def _model(row: Row, found: Difference | None) -> dict[str, Any]:
    bundle = row.members[0].evaluation.bundle
    times = [seconds for member in row.members if (seconds := epoch_s(member.evaluation.bundle)) is not None]
    return {
        "name": row.name,
        "model": dict(bundle.model),
        "parameters": bundle.parameters,
        "input": {"size": bundle.spec.size, "colour": bundle.spec.colour},
        "seeds": len(row.members),
        "scores": row.scores,
        "spread": row.spread,
        "interval": list(row.interval),
        "recall": row.recall,
        "epoch_s": float(np.mean(times)) if times else None,
        "difference": None if found is None else _difference(found),
        "members": [_member(member) for member in row.members],
    }


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "accuracy": found.value,
        "interval": [found.low, found.high],
        "only_here": found.only_here,
        "only_reference": found.only_reference,
        "p": found.p,
        "words": found.words,
    }


def _member(member: Scored) -> dict[str, Any]:
    bundle = member.evaluation.bundle
    return {
        "path": str(bundle.path),
        "seed": bundle.provenance.get("seed"),
        "digest": bundle.spec.digest,
        "selection": member.evaluation.selection,
        "scores": {name: member.scores[name] for name in METRICS if name in member.scores},
        "provenance": dict(bundle.provenance),
    }


def epoch_s(bundle: Runner) -> float | None:
    """Seconds that the kept epoch took to train and validate, if the bundle's metrics say so.

    Raises:
        BundleError: metrics.json is there and cannot be read.
    """
    file = (bundle.path or Path()) / "metrics.json"
    try:
        value = json.loads(file.read_text(encoding="utf-8")).get("time/epoch_s")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        raise BundleError(f"{file} must hold keys and values as JSON: {error}; copy the bundle again") from error
    return None if value is None else float(value)


def render(document: Mapping[str, Any]) -> str:
    """The HTML of a comparison; every word from a bundle or the dataset is escaped."""
    models = document["models"]
    return template("compare.html.j2").render(
        report=document,
        columns=columns(models),
        timed=any(model["epoch_s"] is not None for model in models),
        stated=stated,
        forest=plots.data_uri(_forest(models, document["reference"])),
    )


def _forest(models: list[dict[str, Any]], reference: str) -> Figure:
    found = [model["difference"] for model in models]
    return plots.forest(
        [shortened(model["name"]) for model in models],
        np.array([[model["scores"]["accuracy"], *model["interval"]] for model in models]),
        [[member["scores"]["accuracy"] for member in model["members"]] for model in models],
        np.array([[np.nan] * 3 if each is None else [each["accuracy"], *each["interval"]] for each in found]),
        shortened(reference),
    )


def columns(models: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Metric -> title, for those that a model has, in the table's order."""
    return {name: title for name, title in COLUMNS.items() if any(name in model["scores"] for model in models)}


def stated(metric: str, value: float | None) -> str:
    """A score, or its spread, as the table shows it."""
    return "–" if value is None else percent(value) if metric in SHARES else f"{value:.3f}".replace("-", "−")
