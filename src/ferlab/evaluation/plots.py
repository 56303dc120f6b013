"""Figures for reports and trackers. Each function returns a matplotlib Figure and touches no global state."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ferlab.labels import COLOURS

if TYPE_CHECKING:
    from ferlab.evaluation.calibration import Reliability
    from ferlab.evaluation.expression import ClassScore

P = ParamSpec("P")
INK, GREY, LINE, RIGHT, WRONG = "#1c2733", "#667380", "#dfe4e8", "#2a6f97", "#d1603d"
FEW = 10  # faces in a bin of the reliability diagram
FAINT = "#9aa5af"  # of a zero, and of a class without a face
STYLE: Any = {  # Any, for matplotlib types the keys as one literal of all their names
    "font.size": 10, "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.titlepad": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#aab4bd",
    "axes.labelcolor": GREY, "text.color": INK, "xtick.color": GREY, "ytick.color": GREY, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": LINE, "grid.linewidth": 0.8, "lines.linewidth": 1.8,
    "legend.frameon": False, "svg.hashsalt": "ferlab", "xtick.major.size": 0, "ytick.major.size": 0,
}  # fmt: skip


class Picture(Figure):
    """A figure that a notebook shows though pyplot, which is global, does not know it."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):
            self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw under the style of this module, and leave matplotlib's settings as they were."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


@styled
def confusion_matrix(counts: npt.NDArray[Any], names: Sequence[str], normalised: bool = False) -> Figure:
    """True classes in rows, predicted ones in columns.

    Args:
        counts: (k, k) faces.
        names: k label names.
        normalised: show each row as percentages of its faces instead of as counts; colours always show these shares.
    """
    k = len(names)
    support = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(support, 1)
    figure = Figure(figsize=(0.62 * k + 1.9, 0.56 * k + 1.5), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(k), names, rotation=40, ha="right", rotation_mode="anchor", color=INK)
    axes.set_yticks(range(k), names, color=INK)
    for label, faces in zip(axes.get_yticklabels(), support, strict=True):
        label.set_color(INK if faces else FAINT)
    axes.set(
        xlabel="predicted",
        ylabel="true",
        title="Share of the true class, %" if normalised else "Faces, coloured by share",
    )
    axes.grid(False)
    axes.spines[:].set_visible(False)
    for i, j in np.ndindex(k, k):
        text = f"{100 * shares[i, j]:.1f}" if normalised else f"{counts[i, j]:d}"
        if normalised and not support[i]:
            text = "–"
        dark = "white" if shares[i, j] > 0.55 else (INK if counts[i, j] else FAINT)
        axes.text(j, i, text, ha="center", va="center", color=dark, weight="bold" if i == j else "normal")
    return figure


@styled
def recall_bars(classes: "Mapping[str, ClassScore]", mean: float) -> Figure:
    """Recall of every class that occurs, with its number of faces, and their mean as a dashed line."""
    occurring = {name: (row.recall, row.support) for name, row in classes.items() if row.recall is not None}
    rows = dict(sorted(occurring.items(), key=lambda row: row[1][0]))
    figure = Figure(figsize=(6.2, 0.36 * len(rows) + 1.3), layout="constrained")
    axes = figure.add_subplot()
    recalls = [recall for recall, _ in rows.values()]
    axes.barh(list(rows), recalls, color=[COLOURS.get(name, GREY) for name in rows], height=0.68)
    axes.axvline(mean, color=INK, linestyle="--", linewidth=1.2, zorder=0.9)  # behind the bars and what is written
    for place, (recall, faces) in enumerate(rows.values()):
        axes.annotate(
            f"{100 * recall:.1f} % of {faces:,}", (recall, place), (5, 0), textcoords="offset points", va="center",
            fontsize=9, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    axes.tick_params(axis="y", labelcolor=INK)
    axes.grid(False, axis="y")
    axes.set(xlim=(0, 1.2), xticks=np.linspace(0, 1, 6), title="Recall by class (dashed: mean)")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


@styled
def forest(
    names: Sequence[str],
    accuracy: npt.NDArray[np.floating[Any]],
    members: Sequence[Sequence[float]],
    difference: npt.NDArray[np.floating[Any]],
    reference: str,
) -> Figure:
    """Accuracies with their intervals, and beside them the differences to the reference, which has none.

    Args:
        names: n models, from the top.
        accuracy: (n, 3) shares: the value and its interval.
        members: for each model the accuracies of its seeds, drawn as ticks if there are several.
        difference: (n, 3) likewise; NaN for the reference.
        reference: its name; it is drawn in another colour.
    """
    figure = Figure(figsize=(10.6, 0.5 * len(names) + 1.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(names))
    for axes, values in ((left, accuracy), (right, difference)):
        centre, low, high = 100 * values.T
        colours = [INK if name == reference else RIGHT for name in names]
        axes.hlines(places, low, high, color=colours, linewidth=2.2)
        axes.scatter(centre, places, s=46, color=colours, zorder=3)
        axes.grid(False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(7))
    for place, each in enumerate(members):
        if len(each) > 1:
            left.scatter([100 * value for value in each], [place] * len(each), s=130, marker="|", color=RIGHT)
    right.axvline(0, color=INK, linestyle="--", linewidth=1.2)
    left.set_yticks(places, names, color=INK)
    left.set(ylim=(len(names) - 0.5, -0.5), title="Accuracy, %")
    right.set(title="Difference to the reference, points")
    return figure


@styled
def reliability_diagram(curves: "Mapping[str, Reliability]") -> Figure:
    """Accuracy against confidence, one curve an entry; a point's area is its share of the faces.

    Of a bin with under FEW faces accuracy is chance, so it is a hollow point that no line leads to.
    """
    figure = Figure(figsize=(6.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2, label="perfect")
    for (name, curve), colour in zip(curves.items(), (WRONG, RIGHT, "#6a994e"), strict=False):
        count, x, y = (np.array(values, float) for values in (curve.count, curve.confidence, curve.accuracy))
        many, few = count >= FEW, (count > 0) & (count < FEW)
        axes.plot(x[many], y[many], color=colour, label=f"{name}: ECE {100 * curve.ece:.1f} %")
        axes.scatter(x[many], y[many], s=8 + 240 * count[many] / count.sum(), color=colour, zorder=3, clip_on=False)
        axes.scatter(x[few], y[few], s=14, facecolor="white", edgecolor=colour, zorder=2, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title="Reliability")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside lower left")
    return figure


@styled
def confidence_histogram(correct: Sequence[int], wrong: Sequence[int]) -> Figure:
    """How many faces were answered with which confidence, in equal bins from 0 to 1: correct and wrong ones stacked."""
    figure = Figure(figsize=(6.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    places = (np.arange(len(correct)) + 0.5) / len(correct)
    below = np.zeros(len(correct))
    for name, colour, faces in (("correct", RIGHT, correct), ("wrong", WRONG, wrong)):
        axes.bar(places, faces, 0.9 / len(faces), below, color=colour, label=f"{name} ({sum(faces):,})")
        below = below + faces
    axes.set(xlim=(0, 1), xlabel="confidence", ylabel="faces", title="Confidence")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(False, axis="x")
    figure.legend(loc="outside lower left", ncols=2)
    return figure


# What `curves` draws: a panel's title, and its lines as key -> (name, colour).
PANELS: dict[str, dict[str, tuple[str, str]]] = {
    # Two panels: the loss may be another function, of augmented and mixed faces, under weights.
    "Training loss": {"train/loss": ("training", RIGHT)},
    "Validation NLL": {"validation/nll": ("validation", WRONG)},
    "Accuracy": {"train/accuracy": ("training", RIGHT), "validation/accuracy": ("validation", WRONG)},
    "Macro F1": {"train/macro_f1": ("training", RIGHT), "validation/macro_f1": ("validation", WRONG)},
    "Valence and arousal": {
        "validation/valence_ccc": ("valence CCC", RIGHT),
        "validation/arousal_ccc": ("arousal CCC", WRONG),
    },
    "Learning rate": {"train/lr": ("learning rate", GREY)},
}


@styled
def curves(rows: Sequence[Mapping[str, float]]) -> Figure:
    """A run's training: loss, accuracy, macro F1 and learning rate over epochs; a dot marks the best validation epoch.

    Args:
        rows: one mapping an epoch with the key "epoch" and any of PANELS' keys; a panel without a value is left out.
    """
    filled = {title: lines for title, lines in PANELS.items() if any(key in row for row in rows for key in lines)}
    figure = Picture(figsize=(10, 3 * ((len(filled) + 1) // 2)), layout="constrained")
    for place, (title, lines) in enumerate(filled.items(), 1):
        axes = figure.add_subplot((len(filled) + 1) // 2, 2, place)
        for key, (name, colour) in lines.items():
            points = [(row["epoch"], row[key]) for row in rows if key in row]
            if points:
                x, y = zip(*points, strict=True)
                axes.plot(x, y, color=colour, label=name, marker="." if len(x) < 3 else None)
                if key.startswith("validation/"):
                    best = int(np.argmin(y) if key.endswith("nll") else np.argmax(y))
                    axes.plot(x[best], y[best], "o", color=colour, label=f"best: {y[best]:.4g} in epoch {x[best]:g}")
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if len(rows) == 1:
            axes.set_xticks([rows[0]["epoch"]])
        if title != "Learning rate":
            axes.legend()
    return figure


def data_uri(figure: Figure) -> str:
    """The figure as an SVG in a `data:` address, for a page that needs no other file."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
