"""The parts of `report.json`: a head's scores or the slices as plain values; None stands for what is undefined."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.data.source import Split
from ferlab.evaluate.affect import Affect
from ferlab.evaluate.calibration import BINS, FOLDS, Reliability
from ferlab.evaluate.expression import AFTER, BEFORE, OWN, Expression
from ferlab.evaluate.slices import Attribute, sentences
from ferlab.labels import AFFECT
from ferlab.metrics import Classification

MISTAKES = 24
ECE = {"ece_before": BEFORE, "ece_after": AFTER, "ece_bundle": OWN}


def expression_section(expression: Expression, split: Split) -> dict[str, Any]:
    """Scores, classes, confusion, calibration and the most confident mistakes."""
    return {
        "faces": len(expression.rows),
        "scores": expression.result.scores,
        "intervals": {name: list(pair) for name, pair in expression.intervals.items()},
        "baselines": {name: dict(scores) for name, scores in expression.baselines.items()},
        "baseline_note": expression.baseline_note,
        "classes": _classes(expression.result),
        "confusion": expression.result.confusion.tolist(),
        "calibration": _calibration(expression),
        "mistakes": [_mistake(expression, split, int(i)) for i in expression.mistakes(MISTAKES)],
    }


def affect_section(affect: Affect) -> dict[str, Any]:
    """Scores of valence, of arousal and their means, and where each class lies on average."""
    return {
        "faces": len(affect.rows),
        "scores": {name: dict(scores) for name, scores in affect.scores.items()},
        "intervals": {
            name: {score: list(pair) for score, pair in pairs.items()} for name, pairs in affect.intervals.items()
        },
        "baseline": {name: dict(scores) for name, scores in affect.baseline.items()},
        "baseline_note": affect.baseline_note,
        "classes": {
            label: {"faces": mean.faces, "true": _point(mean.true), "predicted": _point(mean.predicted)}
            for label, mean in affect.classes.items()
        },
    }


def slices_section(slices: Mapping[str, Attribute]) -> dict[str, Any]:
    """By attribute: the scores of each value, the largest gaps, and what to say of them."""
    return {name: asdict(attribute) | {"notes": sentences(attribute)} for name, attribute in slices.items()}


def _classes(result: Classification) -> dict[str, dict[str, float | int | None]]:
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


def _calibration(expression: Expression) -> dict[str, Any]:
    """ECE by name of the curve, None where a curve is missing, and the curves themselves."""
    curves = expression.curves
    return {
        **{key: curves[name].ece if name in curves else None for key, name in ECE.items()},
        "bins": BINS,
        "folds": FOLDS,
        "bundle_temperature": expression.predictions.temperature,
        "fitted_temperature": expression.temperature,
        "curves": {name: _curve(curve) for name, curve in curves.items()},
    }


def _curve(curve: Reliability) -> dict[str, list[Any]]:
    return {
        "confidence": [_number(value) for value in curve.confidence],
        "accuracy": [_number(value) for value in curve.accuracy],
        "count": curve.count.tolist(),
    }


def _mistake(expression: Expression, split: Split, i: int) -> dict[str, Any]:
    predictions, probabilities = expression.predictions, expression.probabilities[i]
    guess = int(probabilities.argmax())
    return {
        "image": split.images.name(int(predictions.rows[i])),
        "true": predictions.names[predictions.labels[i]],
        "predicted": predictions.names[guess],
        "confidence": float(probabilities[guess]),
    }


def _point(values: npt.NDArray[np.float64]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(AFFECT, values, strict=True)}


def _number(value: float | np.float64 | npt.NDArray[Any]) -> float | None:
    return float(value) if np.isfinite(value) else None
