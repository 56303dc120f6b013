"""RAF-DB (Li et al. 2017): faces from the web in 7 basic or 11 compound classes, with age, gender and race."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt

from ferlab.data.copies import Copies, with_copies
from ferlab.data.cut import first_copies, stratified_cut
from ferlab.data.images import CutImages, FileImages, Images
from ferlab.data.rafdb_annotation import read_boxes, read_manual
from ferlab.data.rafdb_tree import BASIC, COMPOUND, PARTS, Pictures, Subset, Tree, find_tree, inner
from ferlab.data.source import WEB, Source, Split, SplitName
from ferlab.errors import ConfigError, DataError, suggest
from ferlab.faces import FaceCrop

LICENCE = "RAF-DB is lent to each user by its authors, for non-commercial research only"
AUTHORS = FaceCrop(margin=0.0, aligned=True)  # how the aligned pictures were cut: tight, but how tight is not published


def rafdb(
    root: str,
    pictures: Pictures = "aligned",
    margin: float = 0.0,
    align: bool = True,
    validation: float = 0.1,
    seed: int = 0,
    copies: Copies = "keep",
) -> Source:
    """RAF-DB's 7 basic classes: the official test part, and the train part less a validation split cut from it.

    Args:
        root: a folder with `EmoLabel/`, `Image/` and perhaps `Annotation/`, or the folder above if that one is called
            `basic`; or Kaggle's copy, with `DATASET/train/1` to `DATASET/test/7`.
        pictures: "aligned", as RAF-DB's authors cut them, or "original", cut here by the boxes of `Annotation/`.
        margin: of original pictures: what is added to each side of the box, as a fraction of its longer side.
        align: of original pictures: whether to turn the eyes onto a horizontal line.
        validation: the share of each class of the train part to hold out, for there is no official validation split.
        seed: of what is held out. Equal files stay on one side.
        copies: "drop" takes the faces that another split has too out of train, see `with_copies`.

    Raises:
        ConfigError: an option that means nothing.
        DataError: no RAF-DB at `root`, or the other set; a missing file; a malformed line, with its file.
        SpecError: an impossible margin.
    """
    return with_copies(_source(BASIC, Path(root), pictures, FaceCrop(margin, align), validation, seed), copies)


def rafdb_compound(
    root: str,
    pictures: Pictures = "aligned",
    margin: float = 0.0,
    align: bool = True,
    validation: float = 0.1,
    seed: int = 0,
    copies: Copies = "keep",
) -> Source:
    """RAF-DB's 11 compound classes, such as "happily surprised"; arguments and errors as for `rafdb`.

    The folder below `root` may be called `compound`. Kaggle has no copy.
    """
    return with_copies(_source(COMPOUND, Path(root), pictures, FaceCrop(margin, align), validation, seed), copies)


def _source(subset: Subset, root: Path, pictures: Pictures, crop: FaceCrop, validation: float, seed: int) -> Source:
    _check(pictures, crop, validation, seed)
    tree = find_tree(subset, root, pictures)
    part = {name: [face for face in sorted(tree.ids) if face.startswith(name)] for name in PARTS}
    held_out = _hold_out(tree, part["train"], validation, seed)
    members: dict[SplitName, list[str]] = {
        "train": [face for face in part["train"] if face not in held_out],
        "validation": sorted(held_out),
        "test": part["test"],
    }
    train, test = subset.official
    return Source(
        name=subset.name,
        labels=subset.labels,
        splits={name: _split(name, faces, tree, pictures, crop) for name, faces in members.items() if faces},
        absent={name: f"{root} has too few faces for it" for name, faces in members.items() if not faces},
        protocol=f"RAF-DB, {len(subset.labels)} {subset.kind} classes, {tree.title}, official test; "
        f"validation: {100 * validation:g} % of each class of train, copies together, seed {seed}",
        licence=LICENCE,
        confidential=True,
        origin=WEB,
        face=crop,
        unread=tree.unread,
        mapping={str(i): label for i, label in enumerate(subset.labels, 1)},
        official={"train": train - len(held_out), "test": test},
    )


def _check(pictures: Pictures, crop: FaceCrop, validation: float, seed: int) -> None:
    if pictures not in get_args(Pictures):
        raise ConfigError(f"unknown data.pictures '{pictures}'; {suggest(pictures, get_args(Pictures))}")
    if pictures == "aligned" and crop != AUTHORS:
        raise ConfigError(
            "data.margin and data.align say how original pictures are cut, got "
            f"{crop.margin:g} and {str(crop.aligned).lower()} for aligned ones; set data.pictures=original"
        )
    if not 0 < validation < 1:
        raise ConfigError(
            f"data.validation must be a share between 0 and 1, got {validation:g}: RAF-DB has no validation split, and "
            "an epoch selected on the test part makes its score too good; use 0.1"
        )
    if seed < 0:
        raise ConfigError(f"data.seed must be 0 or more, got {seed}")


def _hold_out(tree: Tree, faces: Sequence[str], share: float, seed: int) -> set[str]:
    """The faces of the train part that become the validation split, the same in every copy of the same pictures."""
    copies = first_copies(FileImages.of(tree.folder, [tree.files[face] for face in faces]))
    labels = np.array([tree.ids[face] - 1 for face in faces], np.int64)
    return {faces[row] for row in stratified_cut(labels, copies, share, seed)}


def _split(name: SplitName, faces: Sequence[str], tree: Tree, pictures: Pictures, crop: FaceCrop) -> Split:
    """One split, with the attributes where they are annotated."""
    images: Images = FileImages.of(tree.folder, [tree.files[face] for face in faces])
    eyes: npt.NDArray[np.float32] | None = None
    slices: Mapping[str, npt.NDArray[np.str_]] = {}
    if (manual := inner(tree.annotation, "manual")).is_dir():
        eyes, slices = read_manual(manual, faces)
    if pictures == "original":
        if crop.aligned and eyes is None:
            raise DataError(f"data.align needs the eyes, got no folder {manual}; restore it or set data.align=false")
        images = CutImages(images, read_boxes(inner(tree.annotation, "boundingbox"), faces), eyes, crop)
    return Split(name, images, np.array([tree.ids[face] - 1 for face in faces], np.int64), slices=slices)
