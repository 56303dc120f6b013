"""Figures of valence and arousal. Each function returns a matplotlib Figure and touches no global state."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from ferlab.evaluation.affect import EDGES, ClassMean, Density
from ferlab.evaluation.plots import GREY, INK, LINE, RIGHT, WRONG, styled
from ferlab.labels import COLOURS

TICKS = (-1, -0.5, 0, 0.5, 1)
RARE = "#c3dbe9"  # one face in a bin: pale, and yet to be seen on white


@styled
def agreement(densities: Mapping[str, Density], ccc: Mapping[str, float]) -> Figure:
    """Predicted against true, a panel for valence and one for arousal, where known; the line is a perfect answer.

    Args:
        densities: name -> faces by true (x) and predicted (y) value.
        ccc: name -> concordance, for the panels' titles.
    """
    figure = Figure(figsize=(4.6 * len(ccc) + 0.9, 4.5), layout="constrained")
    panels = _panels(figure, [densities[name] for name in ccc])
    for (name, value), axes in zip(ccc.items(), panels, strict=True):
        axes.plot([-1, 1], [-1, 1], color=WRONG, linewidth=1.2, linestyle="--")
        axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}")
        axes.set_title(f"{name.capitalize()}: CCC {value:.3f}")
    return figure


@styled
def circumplex(true: Density, predicted: Density) -> Figure:
    """Where the faces lie in the plane of valence and arousal (Russell 1980): as annotated, and as answered."""
    figure = Figure(figsize=(10.1, 4.5), layout="constrained")
    for axes, title in zip(_panels(figure, [true, predicted]), ("True", "Predicted"), strict=True):
        _plane(axes)
        axes.set_title(title)
    return figure


@styled
def class_means(classes: Mapping[str, ClassMean]) -> Figure:
    """An arrow for each class from its true mean valence and arousal to its predicted one."""
    figure = Figure(figsize=(6.6, 4.6), layout="constrained")
    axes = figure.add_subplot()
    _plane(axes)
    for label, mean in classes.items():
        colour = COLOURS.get(label, GREY)
        true, predicted = ((point["valence"], point["arousal"]) for point in (mean.true, mean.predicted))
        axes.annotate(
            "", predicted, true,
            arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        axes.plot(*true, "o", color=colour, markersize=7, label=f"{label} ({mean.faces:,})")
    axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), title="Class means: dot true, arrowhead predicted")
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1))
    return figure


def _panels(figure: Figure, densities: Sequence[Density]) -> list[Axes]:
    """A panel for each density, in one logarithmic scale of colours."""
    shades = LinearSegmentedColormap.from_list("blues", [RARE, RIGHT, INK])
    scale = LogNorm(1, max(2, *(max(density.faces) for density in densities)))
    panels = list(np.atleast_1d(figure.subplots(1, len(densities))))
    for axes, density in zip(panels, densities, strict=True):
        grid = np.zeros((len(EDGES) - 1, len(EDGES) - 1))
        grid[density.y, density.x] = density.faces
        mesh = axes.pcolormesh(EDGES, EDGES, np.ma.masked_equal(grid, 0), cmap=shades, norm=scale)
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
