"""RAF-DB's layouts, with drawn faces: the authors' tree and Kaggle's copy. Neither has a validation split."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.data.drawn import landmarks
from ferlab.data.images import write_image
from ferlab.data.rafdb_annotation import ATTRIBUTES, LANDMARKS
from ferlab.data.rafdb_tree import LISTS, PARTS
from ferlab.data.source import SPLITS, Split, SplitName
from ferlab.data.synthetic import face_rng, sample_face
from ferlab.labels import RAFDB
from ferlab.spec import Image

Splits = Mapping[SplitName, Split]


def write_rafdb(out: Path, splits: Splits, seed: int) -> None:
    """The list, and the aligned pictures."""
    lines = []
    for face, split, i in _faces(splits):
        write_image(out / "Image" / "aligned" / f"{face}_aligned.jpg", split.read(i))
        lines.append(f"{face}.jpg {split.labels[i] + 1}\n")
    _write_text(out / "EmoLabel" / LISTS[0], "".join(lines))


def write_rafdb_original(out: Path, splits: Splits, seed: int) -> None:
    """The same, and the original pictures with their boxes, landmarks and attributes, these drawn by lot."""
    write_rafdb(out, splits, seed)
    for face, split, i in _faces(splits):
        aligned = split.read(i)
        rng = np.random.default_rng((seed, SPLITS.index(split.name), i, 2))
        picture, place = paste(aligned, rng)
        write_image(out / "Image" / "original" / f"{face}.jpg", picture)
        side = len(aligned)
        left, top = place @ ((side - 1) / 2, (side - 1) / 2, 1) - (side - 1) / 2
        box = f"{left:.3f} {top:.3f} {left + side:.3f} {top + side:.3f}\n"
        _write_text(out / "Annotation" / "boundingbox" / f"{face}_boundingbox.txt", box)
        _, expression, looks = sample_face(RAFDB, face_rng(split.name, i, seed))
        points = np.c_[five_of(landmarks(expression, looks, side)), np.ones(len(LANDMARKS))] @ place.T
        lines = [f"{x:.3f}\t{y:.3f}\n" for x, y in points]
        lines += [f"{rng.integers(len(meanings))}\n" for meanings in ATTRIBUTES.values()]
        _write_text(out / "Annotation" / "manual" / f"{face}_manu_attri.txt", "".join(lines))


def five_of(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """RAF-DB's points, the eyes, the tip of the nose and the corners of the mouth, (5, 2), from iBUG's 68, (68, 2)."""
    return np.stack([(points[36] + points[39]) / 2, (points[42] + points[45]) / 2, *points[[30, 48, 54]]])


def paste(face: Image, rng: np.random.Generator) -> tuple[Image, npt.NDArray[np.float64]]:
    """A picture with the face somewhere in it, turned by up to 15° about its middle.

    Args:
        face: (s, s, 3) uint8 RGB.
        rng: decides where, how far, and on what.

    Returns:
        (1.5 s, 2 s, 3) uint8 RGB, and the affine map (2, 3) from the face's pixels to the picture's.
    """
    side = len(face)
    width, height, room = 2 * side, 3 * side // 2, side // 8 + 1  # room for the corners of a turned square
    middle = (side - 1) / 2
    place = np.asarray(cv2.getRotationMatrix2D((middle, middle), rng.uniform(-15, 15), 1.0), np.float64)
    place[:, 2] += rng.integers(room, (width - side - room, height - side - room), endpoint=True)
    blobs: Any = rng.integers(70, 170, (3, 4, 3), np.uint8)
    picture: Any = cv2.resize(blobs, (width, height), interpolation=cv2.INTER_CUBIC)
    cv2.warpAffine(face, place, (width, height), dst=picture, borderMode=cv2.BORDER_TRANSPARENT)
    return picture, place


def write_rafdb_kaggle(out: Path, splits: Splits, seed: int) -> None:
    """A folder a class, and a list for each part."""
    lists = {part: ["image,label\n"] for part in PARTS}
    for face, split, i in _faces(splits):
        part, label = face.split("_")[0], split.labels[i] + 1
        write_image(out / "DATASET" / part / str(label) / f"{face}_aligned.jpg", split.read(i))
        lists[part].append(f"{face}_aligned.jpg,{label}\n")
    for part, lines in lists.items():
        _write_text(out / f"{part}_labels.csv", "".join(lines))


def _faces(splits: Splits) -> Iterator[tuple[str, Split, int]]:
    """Each face's name, its split and its position there; those drawn for validation are numbered after train's."""
    digits = {"train": 5, "test": 4}
    number = dict.fromkeys(digits, 0)
    for split in splits.values():
        part = "test" if split.name == "test" else "train"
        for i in range(len(split)):
            number[part] += 1
            yield f"{part}_{number[part]:0{digits[part]}d}", split, i


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
