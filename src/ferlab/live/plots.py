"""The figure of a live evaluation."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from ferlab.evaluation.plots import GREY, INK, styled
from ferlab.live.scoring import IN_S
from ferlab.live.strength import Point

PALETTE = ("#2a6f97", "#d1603d", "#6a994e", "#8a5a9e", "#c98a1b", "#4d908e", "#b5838d", "#577590")


@styled
def flicker_response(curves: Mapping[str, Mapping[str, Sequence[Point]]], flicker: float) -> Figure:
    """Mean response against spurious switches, a panel a model and a curve a way of smoothing.

    Args:
        curves: model -> way -> its points, weakest first; the point as the preset is has a ring.
        flicker: at which the ways are compared, drawn as a line.
    """
    across = min(len(curves), 2)
    down = -(-len(curves) // across)
    figure = Figure(figsize=(5.2 * across + (1.6 if across == 1 else 0), 4.2 * down), layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (model, ways) in zip(panels, curves.items(), strict=False):
        for place, (way, points) in enumerate(ways.items()):
            colour = PALETTE[place % len(PALETTE)]
            x, y = ([getattr(p.scores, name) for p in points] for name in ("spurious", "response_mean"))
            style = "-" if not way.endswith("filter") else "--"
            label = way if model == next(iter(curves)) else None
            axes.plot(x, y, style, color=colour, marker="o", markersize=4, label=label)
            own = [(p.scores.spurious, p.scores.response_mean) for p in points if p.factor == 1]
            axes.plot(*zip(*own, strict=True), "o", color=colour, markersize=10, fillstyle="none", markeredgewidth=1.8)
        axes.axvline(flicker, color=INK, linestyle=":", linewidth=1.2)
        axes.set(xlabel=f"spurious switches in {IN_S:g} s", ylabel="mean response, s")
        if len(curves) > 1:
            axes.set_title(model)
        axes.tick_params(labelcolor=GREY)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    figure.legend(loc="outside upper left", ncols=4)
    return figure
