"""Figures of valence and arousal. Each function returns a matplotlib Figure and touches no global state."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from ferlab.evaluate.affect import Affect, ClassMean
from ferlab.evaluate.plots import GREY, INK, LINE, RIGHT, WRONG, styled
from ferlab.labels import AFFECT, COLOURS

EDGES = np.linspace(-1, 1, 33)  # 32 bins a side: each a sixteenth wide, finer than annotators agree
TICKS = (-1, -0.5, 0, 0.5, 1)
RARE = "#c3dbe9"  # one face in a bin: pale, and yet to be seen on white
Floats = npt.NDArray[np.floating[Any]]


@styled
def agreement(affect: Affect) -> Figure:
    """Predicted against true, a panel for valence and one for arousal, where known; the line is a perfect answer."""
    names = [name for name in AFFECT if name in affect.scores]
    figure = Figure(figsize=(4.6 * len(names) + 0.9, 4.5), layout="constrained")
    columns = [AFFECT.index(name) for name in names]
    pairs = [(affect.target[:, i], affect.predicted[:, i]) for i in columns]
    panels = _densities(figure, pairs)
    for name, axes in zip(names, panels, strict=True):
        axes.plot([-1, 1], [-1, 1], color=WRONG, linewidth=1.2, linestyle="--")
        axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}")
        axes.set_title(f"{name.capitalize()}: CCC {affect.scores[name]['ccc']:.3f}")
    return figure


@styled
def circumplex(affect: Affect) -> Figure:
    """Where the faces lie in the plane of valence and arousal (Russell 1980): as annotated, and as answered."""
    known = ~np.isnan(affect.target).any(1)
    figure = Figure(figsize=(10.1, 4.5), layout="constrained")
    panels = _densities(figure, [(values[known, 0], values[known, 1]) for values in (affect.target, affect.predicted)])
    for axes, title in zip(panels, ("True", "Predicted"), strict=True):
        _plane(axes)
        axes.set_title(title)
    return figure


@styled
def class_means(classes: Mapping[str, ClassMean]) -> Figure:
    """An arrow for each class from its true mean valence and arousal to its predicted one."""
    figure = Figure(figsize=(6.6, 4.6), layout="constrained")
    axes = figure.add_subplot()
    _plane(axes)
    for name, mean in classes.items():
        colour = COLOURS.get(name, GREY)
        axes.annotate(
            "", mean.predicted.tolist(), mean.true.tolist(),
            arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        axes.plot(*mean.true, "o", color=colour, markersize=7, label=f"{name} ({mean.faces:,})")
    axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), title="Class means: dot true, arrowhead predicted")
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1))
    return figure


def _densities(figure: Figure, pairs: list[tuple[Floats, Floats]]) -> list[Axes]:
    """A panel of binned faces for each x and y, in one logarithmic scale of colours."""
    known = [~np.isnan(x) & ~np.isnan(y) for x, y in pairs]
    counts = [np.histogram2d(x[k], y[k], [EDGES, EDGES])[0] for (x, y), k in zip(pairs, known, strict=True)]
    shades = LinearSegmentedColormap.from_list("blues", [RARE, RIGHT, INK])
    scale = LogNorm(1, max(2, *(grid.max() for grid in counts)))
    panels = list(np.atleast_1d(figure.subplots(1, len(pairs))))
    for axes, grid in zip(panels, counts, strict=True):
        mesh = axes.pcolormesh(EDGES, EDGES, np.ma.masked_equal(grid.T, 0), cmap=shades, norm=scale)
        axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xticks=TICKS, yticks=TICKS)
    figure.colorbar(mesh, ax=panels, label="faces", shrink=0.85, pad=0.02, format="{x:,.0f}")
    return panels


def _plane(axes: Axes) -> None:
    """Axes through the middle, the circle of radius 1, and names."""
    axes.axhline(0, color=LINE, linewidth=1, zorder=0.5)
    axes.axvline(0, color=LINE, linewidth=1, zorder=0.5)
    axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=GREY, linewidth=1, clip_on=False))
    axes.set(aspect="equal", xticks=TICKS, yticks=TICKS)
    axes.set(xlabel="valence: negative to positive", ylabel="arousal: calm to excited")
    axes.tick_params(labelcolor=INK)
