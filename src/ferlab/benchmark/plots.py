"""Figures of a benchmark of exports."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ferlab.evaluation.plots import FAINT, INK, RIGHT, WRONG, styled

COLOURS = (RIGHT, "#e09f3e", "#6a994e", "#7d5ba6", FAINT)  # of the numbers of threads


@styled
def latency(rows: Sequence[Mapping[str, Any]], batch: int, best: str, bad: Collection[str]) -> Figure:
    """Latency of a call by model: a dot at the median, a line to the 95th percentile, a colour for each threads.

    Args:
        rows: of one batch, see `ferlab.benchmark.export.Row`, in the order from the top.
        batch: faces a call.
        best: name of the model to emphasise.
        bad: names of models that do not answer like the bundle; they are hollow.
    """
    names, threads = list(dict.fromkeys(row["name"] for row in rows)), sorted({row["threads"] for row in rows})
    colours = {number: COLOURS[i % len(COLOURS)] for i, number in enumerate(threads)}
    gap = 0.64 / len(threads)
    figure = Figure(figsize=(6.2, (0.2 + 0.19 * len(threads)) * len(names) + 1.3), layout="constrained")
    axes = figure.add_subplot()
    for row in rows:
        place = names.index(row["name"]) + gap * (threads.index(row["threads"]) - (len(threads) - 1) / 2)
        colour = colours[row["threads"]]
        axes.hlines(place, row["p50_ms"], row["p95_ms"], color=colour, linewidth=1.6, alpha=0.55)
        face = "white" if row["name"] in bad else colour
        axes.scatter(row["p50_ms"], place, s=38, facecolor=face, edgecolor=colour, linewidth=1.5, zorder=3)
        axes.annotate(
            f"{row['p50_ms']:,.0f}" if row["p50_ms"] >= 100 else f"{row['p50_ms']:.2g}",
            (row["p50_ms"], place),
            (-7, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8.5,
        )
    axes.set_yticks(range(len(names)), names)
    for label in axes.get_yticklabels():
        label.set_color(WRONG if label.get_text() in bad else INK)
        label.set_fontweight("bold" if label.get_text() == best else "normal")
    axes.set(ylim=(len(names) - 0.5, -0.5), title=f"{'One face' if batch == 1 else f'{batch} faces'} a call, ms")
    axes.set_xscale("log")
    least, most = min(row["p50_ms"] for row in rows), max(row["p95_ms"] for row in rows)
    axes.set_xlim(0.8 * least * (least / most) ** 0.13, 1.2 * most)  # the numbers stand left of the dots
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 300 * least else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(False, axis="y")
    dots = [Line2D([], [], color=colours[n], marker="o", label=f"{n} thread{'s' * (n > 1)}") for n in threads]
    figure.legend(handles=dots, loc="outside lower left", ncols=len(dots))
    return figure
