"""Drawn faces on disk, in the layouts in which people have the real datasets: for demonstrations and tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.data import layouts_affectnet
from ferlab.data.fer2013 import SIDE, USAGES
from ferlab.data.ferplus import COLUMNS
from ferlab.data.images import write_image
from ferlab.data.layouts_rafdb import write_rafdb, write_rafdb_kaggle, write_rafdb_original
from ferlab.data.source import SPLITS, Split, SplitName
from ferlab.data.synthetic import draw_split
from ferlab.errors import ConfigError, DataError, suggest
from ferlab.files import creating_folder
from ferlab.labels import AFFECTNET, FER2013, FERPLUS, RAFDB, RAFDB_COMPOUND
from ferlab.spec import Image

Splits = Mapping[SplitName, Split]
KAGGLE = {
    "anger": "angry", "disgust": "disgust", "fear": "fear", "happiness": "happy",
    "neutral": "neutral", "sadness": "sad", "surprise": "surprise",
}  # fmt: skip
# Whom else raters see in a face of a class, most often first.
CONFUSED: dict[str, tuple[str, str]] = {
    "neutral": ("sadness", "contempt"),
    "happiness": ("neutral", "surprise"),
    "surprise": ("fear", "happiness"),
    "sadness": ("neutral", "fear"),
    "anger": ("disgust", "neutral"),
    "disgust": ("anger", "contempt"),
    "fear": ("surprise", "sadness"),
    "contempt": ("neutral", "anger"),
}


@dataclass(frozen=True)
class Layout:
    """One layout.

    Attributes:
        labels: the classes that it knows; no others are drawn.
        write: writes the splits, whose class ids index `labels`, to a folder; the number is the seed.
        size: height and width of its pictures in pixels, or None for any.
        absent: for each split that it has no place for, why; no faces are drawn for it.
    """

    labels: tuple[str, ...]
    write: Callable[[Path, Splits, int], None]
    size: int | None = None
    absent: Mapping[SplitName, str] = field(default_factory=dict)


def write(
    layout: str, out: Path, train: int = 2048, validation: int = 512, test: int = 512, size: int = 48, seed: int = 0
) -> None:
    """Draw faces and write them to the folder `out`, which appears whole or not at all.

    Args:
        layout: one of LAYOUTS.
        out: a folder that does not exist yet, or is empty.
        train, validation, test: number of faces; 0 leaves the split out, as does a layout that has no such split.
        size: height and width, in pixels.
        seed: of the faces, and of what raters would say of them.

    Raises:
        ConfigError: an unknown layout, or a size or number of faces that it does not take.
        DataError: `out` holds files, or cannot be written.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"unknown layout '{layout}'; {suggest(layout, LAYOUTS)}")
    chosen = LAYOUTS[layout]
    if chosen.size not in (None, size):
        raise ConfigError(f"layout {layout} holds pictures of {chosen.size} pixels, got size {size}; leave size out")
    numbers = dict(zip(SPLITS, (train, validation, test), strict=True))
    drawn = {name: n for name, n in numbers.items() if n and name not in chosen.absent}
    if min(numbers.values()) < 0 or not drawn:
        raise ConfigError(f"layout {layout} needs 0 or more faces a split and one at least; give train=…")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise DataError(f"{out} must be a new or an empty folder, got one that holds files; choose another")
    splits = {name: draw_split(name, n, size, seed, chosen.labels) for name, n in drawn.items()}
    try:
        with creating_folder(out) as folder:
            chosen.write(folder, splits, seed)
    except OSError as error:
        raise DataError(
            f"cannot write to {out}: {error.strerror or error}; free some space or choose another folder"
        ) from error


def gray(split: Split, i: int) -> Image:
    """Face `i` in grey, (h, w) uint8."""
    result: Image = cv2.cvtColor(split.read(i), cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
    return result


def _write_fer2013(out: Path, splits: Splits, seed: int) -> None:
    _write_csv(out / "fer2013.csv", "emotion,pixels,Usage", "{emotion},{pixels},{usage}", splits, FER2013)


def _write_icml(out: Path, splits: Splits, seed: int) -> None:
    _write_csv(out / "icml_face_data.csv", "emotion, Usage, pixels", "{emotion},{usage},{pixels}", splits, FER2013)


def _write_csv(file: Path, header: str, row: str, splits: Splits, labels: tuple[str, ...]) -> None:
    """The challenge file; contempt, which it has no number for, is called neutral there."""
    numbers = [FER2013.index(label if label in FER2013 else "neutral") for label in labels]
    text = [str(value) for value in range(256)]
    with open(file, "w", encoding="utf-8") as opened:
        opened.write(header + "\n")
        for usage, name in USAGES.items():
            for i, label in enumerate(splits[name].labels if name in splits else ()):
                pixels = " ".join([text[value] for value in gray(splits[name], i).ravel()])
                opened.write(row.format(emotion=numbers[label], pixels=pixels, usage=usage) + "\n")


def _write_kaggle(out: Path, splits: Splits, seed: int) -> None:
    """Alphabetical class folders, PublicTest and PrivateTest both in `test`; PNG, to lose nothing."""
    for usage, name in USAGES.items():
        for i, label in enumerate(splits[name].labels if name in splits else ()):
            folder = out / ("train" if name == "train" else "test") / KAGGLE[FER2013[label]]
            write_image(folder / f"{usage}_{i}.png", gray(splits[name], i))


def _write_ferplus(out: Path, splits: Splits, seed: int) -> None:
    _write_csv(out / "fer2013.csv", "emotion,pixels,Usage", "{emotion},{pixels},{usage}", splits, FERPLUS)
    with open(out / "fer2013new.csv", "w", encoding="utf-8") as opened:
        opened.write(",".join(("Usage", "Image name", *COLUMNS)) + "\n")
        row = 0
        for usage, name in USAGES.items():
            for i, label in enumerate(splits[name].labels if name in splits else ()):
                votes, named = draw_votes(FERPLUS[label], np.random.default_rng((seed, SPLITS.index(name), i, 1)))
                picture = f"fer{row:07d}.png" if named else ""
                opened.write(",".join([usage, picture, *(str(v) for v in votes)]) + "\n")
                row += 1


def draw_votes(label: str, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], bool]:
    """What ten raters say of a face of class `label`: votes (10,) in the order of FER+'s columns.

    Also whether FER+ has a picture of it: where it has not, all ten votes are NF, as in the real file.
    """
    kind = rng.random()
    shares = np.full(len(COLUMNS), 0.01)
    if kind < 0.01:
        return np.array([0] * (len(COLUMNS) - 1) + [10]), False
    if kind < 0.015:
        shares[COLUMNS.index("NF")] = 2.0
    elif kind < 0.035:
        shares[COLUMNS.index("unknown")] = 1.0
    first, second = CONFUSED[label]
    agreement = rng.uniform(0.45, 1.0)
    shares[COLUMNS.index(label)] += agreement
    shares[COLUMNS.index(first)] += 0.65 * (1 - agreement)
    shares[COLUMNS.index(second)] += 0.35 * (1 - agreement)
    return rng.multinomial(10, shares / shares.sum()), True


def _write_imagefolder(out: Path, splits: Splits, seed: int) -> None:
    for name, split in splits.items():
        for i, label in enumerate(split.labels):
            write_image(out / name / FERPLUS[label] / f"{i:05d}.png", split.read(i))


# A new layout is one function and one line here.
LAYOUTS: dict[str, Layout] = {
    "fer2013": Layout(FER2013, _write_fer2013, SIDE),
    "icml_face_data": Layout(FER2013, _write_icml, SIDE),
    "kaggle": Layout(FER2013, _write_kaggle, SIDE),
    "ferplus": Layout(FERPLUS, _write_ferplus, SIDE),
    "imagefolder": Layout(FERPLUS, _write_imagefolder),
    "rafdb": Layout(RAFDB, write_rafdb),
    "rafdb_compound": Layout(RAFDB_COMPOUND, write_rafdb),
    "rafdb_original": Layout(RAFDB, write_rafdb_original),
    "rafdb_kaggle": Layout(RAFDB, write_rafdb_kaggle),
    "affectnet": Layout(AFFECTNET, layouts_affectnet.write_npy, absent=layouts_affectnet.ABSENT),
    "affectnet_csv": Layout(AFFECTNET, layouts_affectnet.write_csv, absent=layouts_affectnet.ABSENT),
    "affectnet_annotations": Layout(AFFECTNET, layouts_affectnet.write_annotations, absent=layouts_affectnet.ABSENT),
}
