"""RAF-DB as people have it on disk: the tree of the authors' archives, or Kaggle's copy."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ferlab.data.imagefolder import class_folders, entries, unread
from ferlab.errors import DataError
from ferlab.labels import RAFDB, RAFDB_COMPOUND

Pictures = Literal["aligned", "original"]
PARTS = ("train", "test")
LISTS = ("list_patition_label.txt", "list_partition_label.txt")  # RAF-DB spells it the first way
# train_00001.jpg in RAF-DB's list; train_00001_aligned.jpg on disk, and in Kaggle's lists.
PICTURE = r"(?P<face>(?P<part>train|test)_\w+?)(_aligned)?\.jpg"
LINE = PICTURE + r"[\s,]+(?P<id>\d+)"


@dataclass(frozen=True)
class Subset:
    """One of RAF-DB's two sets.

    Attributes:
        name: of its dataset here.
        kind: of its classes, and the name of its folder.
        labels: class ids on disk index them, from 1.
        official: the published number of faces in train and test.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    official: tuple[int, int]


BASIC = Subset("rafdb", "basic", RAFDB, (12_271, 3_068))
COMPOUND = Subset("rafdb_compound", "compound", RAFDB_COMPOUND, (3_162, 792))


@dataclass(frozen=True)
class Tree:
    """A copy of one set on disk.

    Attributes:
        title: what kind of copy it is and of which pictures, for the protocol.
        ids: face, such as train_00001 -> its class id, from 1.
        folder: where the pictures lie.
        files: face -> its picture below `folder`.
        annotation: the folder of boxes, landmarks and attributes; it need not exist.
        unread: place -> number of pictures there that belong to no face.
    """

    title: str
    ids: Mapping[str, int]
    folder: Path
    files: Mapping[str, str]
    annotation: Path
    unread: Mapping[str, int]


def find_tree(subset: Subset, root: Path, pictures: Pictures) -> Tree:
    """The copy of `subset` at or below `root`; DataError if it is not there, or not whole."""
    file = _list_file(root, subset.kind)
    if file is not None:
        return _official(file, subset, pictures)
    base = root / "DATASET" if (root / "DATASET").is_dir() else root
    if (base / "train").is_dir():
        if subset is COMPOUND or pictures == "original":
            raise DataError(f"{base} is Kaggle's copy, which has aligned faces of the basic set only; use RAF-DB's own")
        return _kaggle(base)
    other = COMPOUND if subset is BASIC else BASIC
    if _list_file(root, other.kind) is not None:
        raise DataError(
            f"{root.absolute()} holds the {other.kind} set only, not the {subset.kind} one; use data={other.name}"
        )
    raise DataError(
        f"{subset.name} needs EmoLabel/{LISTS[0]} and Image/ in {root.absolute()}; ask RAF-DB's authors for it (see "
        "README) or set data.root"
    )


def _list_file(root: Path, kind: str) -> Path | None:
    places = [base / "EmoLabel" / name for base in (root / kind, root) for name in LISTS]
    return next((place for place in places if place.is_file()), None)


def _official(file: Path, subset: Subset, pictures: Pictures) -> Tree:
    """The tree that RAF-DB's archives unpack to."""
    ids = read_list(file, subset)
    if subset is COMPOUND and max(ids.values()) <= len(BASIC.labels):
        raise DataError(f"{file} has no class id above {len(BASIC.labels)}, so it is the basic set; use data=rafdb")
    base = file.parent.parent
    folder = inner(base / "Image", pictures)
    files = {face: f"{face}_aligned.jpg" if pictures == "aligned" else f"{face}.jpg" for face in ids}
    require(folder, files.values(), f"restore the pictures that {file.name} lists")
    left = unread(folder, {folder / name for name in files.values()})
    return Tree(f"{pictures} pictures of the official tree", ids, folder, files, base / "Annotation", left)


def _kaggle(base: Path) -> Tree:
    """Kaggle's copy: `train` and `test`, a folder a class, named by its id; its lists, if there, must agree."""
    ids: dict[str, int] = {}
    files: dict[str, str] = {}
    for part in PARTS:
        for face, path in _kaggle_pictures(base / part):
            if face in ids:
                raise DataError(f"{path} is also in class {ids[face]}; remove one of the two")
            ids[face] = int(path.parent.name)
            files[face] = str(path.relative_to(base))
        for file in (base / f"{part}_labels.csv", base.parent / f"{part}_labels.csv"):
            if file.is_file():
                _compare(file, read_list(file, BASIC), {face: i for face, i in ids.items() if face.startswith(part)})
    if not ids:
        raise DataError(f"{base} must hold pictures in its class folders, got none; download it again")
    left = unread(base, [base / part for part in PARTS])
    return Tree("aligned pictures of Kaggle's copy", ids, base, files, base / "Annotation", left)


def _kaggle_pictures(part: Path) -> Iterator[tuple[str, Path]]:
    """Each face in the class folders of `part`, and its picture."""
    for folder in class_folders(part) if part.is_dir() else ():
        if folder.name not in map(str, range(1, len(RAFDB) + 1)):
            raise DataError(f"{folder}: a class folder must be 1 to {len(RAFDB)}, got '{folder.name}'; remove it")
        for path in entries(folder):
            match = re.fullmatch(PICTURE, path.name)
            if not match or match["part"] != part.name:
                raise DataError(f"{path}: a picture must be called {part.name}_….jpg; move or remove it")
            yield match["face"], path


def _compare(file: Path, listed: Mapping[str, int], found: Mapping[str, int]) -> None:
    """DataError for the first face that Kaggle's list and folders place in different classes."""
    for face in sorted(listed.keys() | found.keys()):
        if listed.get(face) != found.get(face):
            told, seen = (x.get(face, "none") for x in (listed, found))
            raise DataError(f"{file}: {face} has class {told} in the list and {seen} as a folder; download it again")


def read_list(file: Path, subset: Subset) -> dict[str, int]:
    """Each listed face and its class id, from 1; DataError with the line for anything else."""
    ids: dict[str, int] = {}
    lines = file.read_text(encoding="utf-8-sig", errors="replace").rstrip().splitlines()
    for number, text in enumerate(lines, 1):
        if number == 1 and text.strip() == "image,label":  # Kaggle's header
            continue
        match = re.fullmatch(LINE, text.strip())
        if not match:
            raise DataError(
                f"{file}:{number}: a line must be train_….jpg or test_….jpg and a class id, got '{text[:60]}'; "
                "correct that line"
            )
        face, i = match["face"], int(match["id"])
        if not 1 <= i <= len(subset.labels):
            compound = subset is BASIC and 1 <= i <= len(COMPOUND.labels)
            remedy = "for the compound set use data=rafdb_compound" if compound else "correct that line"
            raise DataError(f"{file}:{number}: the class id must be 1 to {len(subset.labels)}, got {i}; {remedy}")
        if face in ids:
            raise DataError(f"{file}:{number}: a face must be listed once, got {face} again; remove one of its lines")
        ids[face] = i
    if not ids:
        raise DataError(f"{file} must list faces, got none; restore it from RAF-DB's archive")
    return ids


def inner(parent: Path, name: str) -> Path:
    """The folder `name` in `parent`, or the one of the same name in that, as some archives unpack."""
    folder = parent / name
    return folder / name if (folder / name).is_dir() else folder


def require(folder: Path, names: Iterable[str], remedy: str) -> None:
    """DataError if `folder` lacks one of the files `names`: the first of them, how many, and the remedy."""
    try:
        with os.scandir(folder) as entries:  # once: 15,000 single questions take long on a network's disk
            there = {entry.name for entry in entries}
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}; {remedy}") from error
    if missing := [name for name in names if name not in there]:
        raise DataError(f"{folder / missing[0]} must be there, the first of {len(missing):,} missing files; {remedy}")
