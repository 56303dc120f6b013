"""Scores of each group of faces apart, such as those of each age: an average over all may hide a group it fails."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ferlab.data.source import Split
from ferlab.evaluate.affect import Affect
from ferlab.evaluate.expression import Expression

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
    """

    values: Mapping[str, Mapping[str, Mapping[str, Any]]]
    gaps: Mapping[str, Gap]
    few: tuple[str, ...]
    unknown: int


def score_slices(
    split: Split, heads: Mapping[str, Expression | Affect], resamples: int, seed: int
) -> dict[str, Attribute]:
    """Score each value of each attribute in `split.slices` that a scored face has.

    Args:
        split: the data.
        heads: the scored heads by name.
        resamples, seed: of the intervals.
    """
    result = {}
    scored = np.unique(np.concatenate([head.rows for head in heads.values()]))
    for name, column in split.slices.items():
        found = sorted((str(value) for value in np.unique(column[scored]) if value), key=_natural)
        values = {value: _scores(column == value, heads, resamples, seed) for value in found}
        if values:
            few = tuple(value for value, by_head in values.items() if min(s["faces"] for s in by_head.values()) < FEW)
            result[name] = Attribute(values, _gaps(values), few, int((column[scored] == "").sum()))
    return result


def _natural(value: str) -> list[tuple[int, str]]:
    """A key that sorts "4-19" before "20-39"."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", value)]


def _scores(
    belongs: Any, heads: Mapping[str, Expression | Affect], resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Scores by head of the faces that belong, (n,) bool over the split."""
    result = {}
    for name, head in heads.items():
        inside = belongs[head.rows]
        if inside.any():
            result[name] = {"faces": int(inside.sum())} | head.subset(inside, resamples, seed)
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


def sentences(attribute: Attribute) -> list[str]:
    """What to say beside the scores: the largest gaps, which values have too few faces, and who was left out."""
    said = [
        f"{name} differs by up to {_shown(score, gap.size)}: highest for {gap.highest}, lowest for {gap.lowest}"
        for score, name in GAPS.items()
        if (gap := attribute.gaps.get(score))
    ]
    if attribute.few:
        said.append(f"fewer than {FEW} faces are {', '.join(attribute.few)}: scores and gaps there may be chance")
    if attribute.unknown:
        said.append(f"{attribute.unknown:,} scored faces have no value and are in none of these rows")
    return said


def _shown(score: str, size: float) -> str:
    return f"{100 * size:.1f} points" if score == "accuracy" else f"{size:.3f}"
