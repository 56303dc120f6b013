"""The figure of the slices: each group's scores with their intervals, beside the score of all faces."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ferlab.evaluation.plots import GREY, INK, RIGHT, styled
from ferlab.evaluation.slices import FEW, GAPS, Attribute


@styled
def slice_intervals(slices: Mapping[str, Attribute], overall: Mapping[str, float]) -> Figure:
    """A panel for each score, a row for each value of each attribute: a dot and its 95 % interval.

    Args:
        slices: attribute -> its values' scores.
        overall: a score of slices.GAPS -> that of all faces, a dashed line; a score that is not here has no panel.
    """
    rows = [(name, value) for name, attribute in slices.items() for value in ("", *attribute.values)]
    figure = Figure(figsize=(max(7.5, 2.2 + 3.4 * len(overall)), 0.3 * len(rows) + 1.1), layout="constrained")
    panels: list[Axes] = list(np.atleast_1d(figure.subplots(1, len(overall), sharey=True)))
    for axes, (score, whole) in zip(panels, overall.items(), strict=True):
        axes.axvline(whole, color=INK, linestyle="--", linewidth=1.2, zorder=1)
        for place, (name, value) in enumerate(rows):
            if value:
                _dot(axes, place, score, slices[name].values[value])
        axes.set_title(GAPS[score][0].upper() + GAPS[score][1:])
        axes.grid(False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if score == "accuracy":
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    first = panels[0]
    first.set_yticks(range(len(rows)), [value or name for name, value in rows], color=INK)
    for label, (_, value) in zip(first.get_yticklabels(), rows, strict=True):
        label.set_fontweight("normal" if value else "bold")
    first.set_ylim(len(rows) - 0.4, -0.6)
    return figure


def _dot(axes: Axes, place: int, score: str, heads: Mapping[str, Mapping[str, Any]]) -> None:
    """One value's score, if it has one; hollow where it rests on few faces."""
    for scores in heads.values():
        if score in scores:
            low, high = scores[f"{score}_interval"]
            axes.plot([low, high], [place, place], color=RIGHT, linewidth=2.2, solid_capstyle="butt", zorder=2)
            few = scores["faces"] < FEW
            axes.plot(
                scores[score],
                place,
                "o",
                markersize=7,
                color=RIGHT,
                zorder=3,
                markerfacecolor="white" if few else RIGHT,
            )
            axes.annotate(
                f"{scores['faces']:,}", (1, place), (2, 0), xycoords=("axes fraction", "data"), fontsize=8.5,
                textcoords="offset points", va="center", ha="left", color=GREY,
            )  # fmt: skip
