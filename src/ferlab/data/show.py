"""Pictures of a dataset: faces a class, some of each, the mean face of each, valence and arousal, and near copies."""

import textwrap
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke

from ferlab.data.source import SPLITS, Source, Split
from ferlab.data.verify import Findings
from ferlab.files import replacing
from ferlab.labels import COLOURS
from ferlab.spec import Image

COLUMNS = 12  # samples a class
CELL, GAP = 96, 8  # a face in the pictures, in pixels
MEAN_OF = 1000  # faces a class: the mean of more looks the same
PAIRS = 60
CELLS = 50  # of the plane of valence and arousal, a side
NAME = (0.45, 0.085)  # width and height of a class's name in that plane
INK, PALE = "#222222", "#8A8A8A"


def show(source: Source, out: Path) -> list[Path]:
    """Draw classes.png, samples.png, means.png and, if any split has affect, affect.png into `out`; returns the paths.

    Samples and means are of the training split, or of the first split that there is.

    Raises:
        DataError: a picture that is drawn cannot be read.
    """
    split = next(source.splits[name] for name in SPLITS if name in source.splits)
    figures = {"classes": _classes(source), "samples": _samples(source, split), "means": _means(source, split)}
    affected = [each for name in SPLITS if (each := source.splits.get(name)) and each.affect is not None]
    if affected:
        figures["affect"] = _affect(source, affected)
    return [_save(figure, out / f"{name}.png") for name, figure in figures.items()]


def show_near(findings: Findings, out: Path) -> Path:
    """Draw duplicates.png into the folder `out`: up to 60 near copies, from the surest to the most doubtful."""
    pairs, correlation = findings.near
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), PAIRS)).astype(int))
    rows = max(1, -(-len(chosen) // 6))
    figure = Figure(figsize=(13, 0.7 + 1.3 * rows), dpi=110, layout="constrained")
    axes = figure.subplots(rows, 6, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, k in zip(axes, chosen, strict=False):
        first, second = (findings.pictures[i] for i in pairs[k])
        images = [_square(findings.source.splits[p.split].read(p.index), CELL) for p in (first, second)]
        axis.imshow(np.hstack(images))
        names = [findings.source.labels[p.label] if p.label >= 0 else "no label" for p in (first, second)]
        where = first.split if first.split == second.split else f"{first.split} / {second.split}"
        differ = first.label != second.label
        axis.set_title(
            f"{correlation[k]:.3f}  {where}\n{names[0]}" + (f" / {names[1]}" if differ else ""),
            fontsize=7, color="#C0392B" if differ else INK,
        )  # fmt: skip
    figure.suptitle(f"{findings.source.name}: {len(chosen)} of {len(pairs):,} pairs of near copies; red: labels differ")
    return _save(figure, out / "duplicates.png")


def _classes(source: Source) -> Figure:
    """Bars: faces a class, one panel a split."""
    present = [source.splits[name] for name in SPLITS if name in source.splits]
    k = len(source.labels)
    figure = Figure(figsize=(1.2 + 3.6 * len(present), 1.2 + 0.36 * k), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(present), squeeze=False, sharey=True)[0]
    for axis, split in zip(panels, present, strict=True):
        counts = split.counts(k)
        total = max(1, int(counts.sum()))
        bars = axis.barh(range(k), counts, color=[COLOURS.get(name, PALE) for name in source.labels], height=0.72)
        texts = [f"{n:,}  ({n / total:.1%})" for n in counts]
        axis.bar_label(bars, texts, padding=4, fontsize=8, color=INK)
        axis.set_xlim(0, max(1, int(counts.max())) * 1.45)
        axis.set_title(f"{split.name}: {len(split):,} faces", fontsize=10, loc="left", color=INK)
        axis.set_yticks(range(k), source.labels, fontsize=9)
        axis.set_xticks([])
        axis.spines[["top", "right", "bottom"]].set_visible(False)
        axis.tick_params(length=0)
    panels[0].invert_yaxis()
    _title(figure, source)
    return figure


def _samples(source: Source, split: Split) -> Figure:
    """A row a class of faces drawn at random."""
    k, side = len(source.labels), CELL + GAP
    mosaic = np.full((k * side, COLUMNS * side, 3), 255, np.uint8)
    rng = np.random.default_rng(0)
    for row in range(k):
        for column, i in enumerate(rng.permutation(np.flatnonzero(split.labels == row))[:COLUMNS]):
            top, left = row * side, column * side
            mosaic[top : top + CELL, left : left + CELL] = _square(split.read(int(i)), CELL)
    figure = Figure(figsize=(1.4 + 0.82 * COLUMNS, 0.6 + 0.82 * k), dpi=130, layout="constrained")
    axis = figure.subplots()  # one for all, for laying out a hundred takes seconds
    axis.imshow(mosaic)
    _bare(axis)
    axis.set_yticks(np.arange(k) * side + CELL / 2, source.labels, fontsize=9, color=INK)
    axis.tick_params(length=0)
    _title(figure, source, split)
    return figure


def _means(source: Source, split: Split) -> Figure:
    """The mean face of each class, with the contrast stretched over all of them alike, for means are pale."""
    k = len(source.labels)
    columns = min(k, 4)
    rows = -(-k // columns)
    figure = Figure(figsize=(1.9 * columns + 0.4, 2.2 * rows + 0.6), dpi=130, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    rng = np.random.default_rng(0)
    means: dict[int, Any] = {}
    for label in range(k):
        members = rng.permutation(np.flatnonzero(split.labels == label))[:MEAN_OF]
        if len(members):
            means[label] = sum(_square(split.read(int(i)), CELL).astype(np.float32) for i in members) / len(members)
    low, high = np.percentile(np.stack(list(means.values())), (0.5, 99.5)) if means else (0, 255)
    for axis in axes:
        _bare(axis)
    for axis, label, n in zip(axes, range(k), split.counts(k), strict=False):
        if label in means:
            axis.imshow(np.clip((means[label] - low) / max(high - low, 1), 0, 1))
        number = f"{n:,} faces" if n <= MEAN_OF else f"{MEAN_OF:,} of {n:,} faces"
        axis.set_title(f"{source.labels[label]}\n{number}", fontsize=9, color=INK)
    _title(figure, source, split)
    return figure


def _affect(source: Source, splits: list[Split]) -> Figure:
    """Where the faces lie in the plane of valence and arousal (Russell 1980), and the mean of each class; by split."""
    figure = Figure(figsize=(1.5 + 4.6 * len(splits), 5.4), dpi=140, layout="constrained")
    panels = figure.subplots(1, len(splits), squeeze=False, sharey=True)[0]
    planes = [known_affect(split) for split in splits]
    edges = np.linspace(-1, 1, CELLS + 1)
    counts = [np.histogram2d(affect[:, 0], affect[:, 1], bins=[edges, edges])[0] for affect, _ in planes]
    scale = LogNorm(1, max(2, *(int(table.max()) for table in counts)))  # one for all panels
    for axis, split, table, (affect, labels) in zip(panels, splits, counts, planes, strict=True):
        cells = np.ma.masked_less(table.T, 1)
        drawn = axis.imshow(cells, origin="lower", extent=(-1, 1, -1, 1), cmap="YlGnBu", norm=scale)
        _plane(axis)
        _mark(axis, {name: affect[labels == i].mean(0) for i, name in enumerate(source.labels) if (labels == i).any()})
        axis.set_title(f"{split.name}: {len(affect):,} of {len(split):,} faces", fontsize=10, loc="left", color=INK)
    panels[0].set_ylabel("calm  ←  arousal  →  excited", fontsize=9, color=INK)
    bar = figure.colorbar(drawn, ax=panels, shrink=0.7, pad=0.015, format=lambda value, _: f"{value:,.0f}")
    bar.set_label("faces a cell; dots: the mean of each class", fontsize=9, color=INK)
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.outline.set_visible(False)
    _title(figure, source)
    return figure


def known_affect(split: Split) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Valence and arousal, (m, 2), of the faces of which both are known, and their class ids, (m,)."""
    if split.affect is None:
        return np.empty((0, 2), np.float32), np.empty(0, np.int64)
    known = ~np.isnan(split.affect).any(1)
    return split.affect[known], split.labels[known]


def _plane(axis: Axes) -> None:
    """The circle, the axes through its middle, and what the ends of valence mean."""
    axis.add_patch(Circle((0, 0), 1, fill=False, color=PALE, linewidth=0.8, zorder=2))
    axis.axhline(0, color=PALE, linewidth=0.6)
    axis.axvline(0, color=PALE, linewidth=0.6)
    axis.set_xlim(-1.04, 1.04)
    axis.set_ylim(-1.04, 1.04)
    axis.set_xlabel("unpleasant  ←  valence  →  pleasant", fontsize=9, color=INK)
    axis.set_xticks(np.linspace(-1, 1, 5))
    axis.set_yticks(np.linspace(-1, 1, 5))
    axis.tick_params(labelsize=8, colors=INK, length=2)
    axis.spines[:].set_visible(False)


def _mark(axis: Axes, means: dict[str, npt.NDArray[np.float32]]) -> None:
    """A dot in each class's colour, and its name beside it, lower where another one is in the way."""
    halo = [withStroke(linewidth=3, foreground="white")]
    names: list[tuple[float, float]] = []
    for name, (x, y) in sorted(((name, mean.tolist()) for name, mean in means.items()), key=lambda each: -each[1][1]):
        level = y
        while any(abs(x - a) < NAME[0] and abs(level - b) < NAME[1] for a, b in names):
            level -= 0.01
        names.append((x, level))
        axis.plot(x, y, "o", color=COLOURS.get(name, PALE), markersize=7, markeredgecolor="white", zorder=4)
        side = -1 if x > 0.5 else 1
        axis.annotate(
            name, (x, y), (x + side * 0.06, level), color=COLOURS.get(name, PALE), path_effects=halo, zorder=5,
            fontsize=8, fontweight="bold", va="center", ha="right" if side < 0 else "left",
        )  # fmt: skip


def _title(figure: Figure, source: Source, split: Split | None = None) -> None:
    text = f"{source.protocol_of(split.name)} — {split.name}" if split else source.protocol
    letters = int(13 * figure.get_figwidth())  # that fit a line
    figure.suptitle(textwrap.fill(text, letters), fontsize=10, color=INK, x=0.01, ha="left")


def _bare(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def _square(image: Image, size: int) -> npt.NDArray[np.uint8]:
    """The picture fitted into a (size, size, 3) white square."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    small: Any = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (size - shape[1]) // 2, (size - shape[0]) // 2
    result = np.full((size, size, 3), 255, np.uint8)
    result[top : top + shape[1], left : left + shape[0]] = small
    return result


def _save(figure: Figure, path: Path) -> Path:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", facecolor="white")
    return path
