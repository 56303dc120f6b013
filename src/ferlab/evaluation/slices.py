"""Scores of each group of faces apart, such as those of each age: an average over all may hide a group it fails."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ferlab.evaluation.affect import answered
from ferlab.evaluation.bootstrap import affect_intervals, intervals
from ferlab.evaluation.predictions import Predictions
from ferlab.evaluation.settings import Settings
from ferlab.metrics import affect_scores, confusion_counts, summary

FEW = 30  # faces of a group below which its accuracy is not known to within some 18 points
# The scores that are compared between groups, and their names.
GAPS = {"accuracy": "accuracy", "valence_ccc": "CCC of valence", "arousal_ccc": "CCC of arousal"}


@dataclass(frozen=True)
class Gap:
    """The largest difference of a score between two values of an attribute.

    Attributes:
        size: the difference.
        highest, lowest: the values with the best and the worst score.
    """

    size: float
    highest: str
    lowest: str


@dataclass(frozen=True)
class Attribute:
    """The scores of each value of an attribute, such as "gender".

    Attributes:
        values: value -> head -> score -> number, with the number of `faces`; a head without a face is left out.
        gaps: score -> the largest gap, for those of GAPS that two values or more have.
        few: the values with fewer than FEW faces under a head.
        unknown: scored faces without a value.
        notes: what to say beside the scores: the largest gaps, which values have too few faces, who was left out.
    """

    values: dict[str, dict[str, dict[str, Any]]]
    gaps: dict[str, Gap]
    few: list[str]
    unknown: int
    notes: list[str]


def score_slices(predictions: Predictions, settings: Settings) -> dict[str, Attribute]:
    """Score each value of each attribute that a face has.

    Args:
        predictions: of faces that are scored under a head.
        settings: resamples and seed of the intervals.
    """
    result = {}
    for name, column in predictions.slices.items():
        found = sorted((str(value) for value in np.unique(column) if value), key=_natural)
        values = {value: _scores(predictions.take(column == value), settings) for value in found}
        if values:
            few = [value for value, by_head in values.items() if min(s["faces"] for s in by_head.values()) < FEW]
            gaps, unknown = _gaps(values), int((column == "").sum())
            result[name] = Attribute(values, gaps, few, unknown, sentences(gaps, few, unknown))
    return result


def _natural(value: str) -> list[tuple[int, str]]:
    """A key that sorts "4-19" before "20-39"."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", value)]


def _scores(group: Predictions, settings: Settings) -> dict[str, dict[str, Any]]:
    """Scores by head of the faces of one value."""
    result: dict[str, dict[str, Any]] = {}
    resamples, seed = settings.bootstrap, settings.seed
    if (labelled := group.take(group.labelled)).faces.size:
        guesses = labelled.probabilities().argmax(1)
        confusion = confusion_counts(labelled.labels, guesses, len(group.names))
        scores = {name: float(value) for name, value in summary(confusion).items() if name != "weighted_f1"}
        interval = intervals(confusion, resamples, seed)["accuracy"]
        result["expression"] = {"faces": len(labelled), **scores, "accuracy_interval": interval}
    if (rated := group.take(group.rated)).faces.size:
        drawn = affect_intervals(answered(rated), rated.target, resamples, seed)
        result["affect"] = {"faces": len(rated)}
        for name, values in affect_scores(answered(rated), rated.target).items():
            result["affect"] |= {f"{name}_ccc": values["ccc"], f"{name}_ccc_interval": drawn[name]["ccc"]}
    return result


def _gaps(values: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Gap]:
    result = {}
    for score in GAPS:
        found = {
            value: scores[score] for value, heads in values.items() for scores in heads.values() if score in scores
        }
        if len(found) > 1:
            highest, lowest = max(found, key=found.__getitem__), min(found, key=found.__getitem__)
            result[score] = Gap(found[highest] - found[lowest], highest, lowest)
    return result


def sentences(gaps: Mapping[str, Gap], few: Sequence[str], unknown: int) -> list[str]:
    """What to say beside the scores: the largest gaps, which values have too few faces, and who was left out."""
    said = [
        f"{name} differs by up to {_shown(score, gap.size)}: highest for {gap.highest}, lowest for {gap.lowest}"
        for score, name in GAPS.items()
        if (gap := gaps.get(score))
    ]
    if few:
        said.append(f"fewer than {FEW} faces are {', '.join(few)}: scores and gaps there may be chance")
    if unknown:
        said.append(f"{unknown:,} scored faces have no value and are in none of these rows")
    return said


def _shown(score: str, size: float) -> str:
    return f"{100 * size:.1f} points" if score == "accuracy" else f"{size:.3f}"
