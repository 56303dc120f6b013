"""A tree of pictures, a folder a class, its folders mapped to emotions by name and alias, or to labels of one's own."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ferlab.data.copies import Copies, with_copies
from ferlab.data.cut import first_copies, stratified_cut
from ferlab.data.images import FileImages
from ferlab.data.source import SPLITS, Source, Split, SplitName
from ferlab.errors import ConfigError, DataError, LabelError
from ferlab.labels import CANONICAL, canonical, check_labels
from ferlab.quoting import as_item

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
FOLDERS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
LEFT_BY_SYSTEMS = ("Thumbs.db", "desktop.ini", "__MACOSX")


def imagefolder(
    root: str,
    labels: Sequence[str] | None = None,
    validation: float = 0.1,
    seed: int = 0,
    licence: str = "not stated",
    copies: Copies = "keep",
) -> Source:
    """A folder a class, perhaps below a folder a split.

    Args:
        root: the folder that holds `train`, and perhaps `validation` or `val`, and `test`; or the class folders.
        labels: names of one's own, in the order of the answers; the folders must be called exactly so. By default
            each folder is an emotion, by any of its spellings.
        validation: the share of each class of train to hold out where there is no folder for it.
        seed: of what is held out. Equal files stay on one side.
        licence: the terms of the pictures, for the model card.
        copies: "drop" takes the faces that another split has too out of train, see `with_copies`.

    Raises:
        ConfigError: an option that means nothing.
        DataError: no such folders, or anything in them that would not be read.
        LabelError: a class folder with a name that is no label.
    """
    if not 0 < validation < 1 or seed < 0:
        raise ConfigError(
            f"data.validation must be a share between 0 and 1 and data.seed 0 or more, got {validation:g} and {seed}"
        )
    if isinstance(labels, str):
        raise ConfigError(
            f"data.labels must be a list such as [bored,'très engagé'], other letters in quotes, got {labels}"
        )
    folder = Path(root)
    found = split_folders(folder)
    parts = {split: class_folders(part) for split, part in found.items()}
    classes = meanings([path for folders in parts.values() for path in folders], labels)
    order = list(dict.fromkeys(CANONICAL.values()))
    names = tuple(sorted(set(classes.values()), key=order.index)) if labels is None else tuple(labels)
    splits = {split: read_folder(split, part, names, classes) for split, part in found.items()}
    how = "splits as its folders have them"
    if "train" in splits and "validation" not in splits:
        splits |= cut(splits["train"], validation, seed)
        how = f"validation: {100 * validation:g} % of each class of train, copies together, seed {seed}"
    source = Source(
        name="imagefolder",
        labels=names,
        splits=splits,
        absent={split: f"{folder} has no {FOLDERS[split][0]}/ folder" for split in SPLITS if split not in splits},
        protocol=f"pictures of {folder.name or folder}, {len(names)} classes, {how}",
        licence=licence,
        mapping=classes,
        unread={} if folder in found.values() else unread(folder, found.values()),
    )
    return with_copies(source, copies)


def split_folders(folder: Path) -> dict[SplitName, Path]:
    """The folder of each split; `folder` itself is train's where it holds classes and no split."""
    there = {path.name.lower(): path for path in entries(folder) if path.is_dir()} if folder.is_dir() else {}
    found: dict[SplitName, Path] = {}
    for split, names in FOLDERS.items():
        named = [there[name] for name in names if name in there]
        if len(named) > 1:
            raise DataError(f"{folder} must have one folder for {split}, got {' and '.join(p.name for p in named)}")
        if named:
            found[split] = named[0]
    if not there:
        raise DataError(f"imagefolder needs <class>/ or train/<class>/ folders in {folder.absolute()}; set data.root")
    return found or {"train": folder}


def meanings(folders: Sequence[Path], labels: Sequence[str] | None) -> dict[str, str]:
    """Name of a class folder -> its label; LabelError with the path for one that has none."""
    if labels is None:
        try:
            return emotions(folders)
        except LabelError as error:
            own = ",".join(sorted({as_item(each.name) for each in folders}))
            raise LabelError(f"{error}; or declare labels of your own: 'data.labels=[{own}]'") from None
    check_labels(labels)
    for path in folders:
        if path.name not in labels:
            raise LabelError(f"{path}: the folder must be one of data.labels, {', '.join(labels)}; rename or remove it")
    return {path.name: path.name for path in folders}


def emotions(folders: Sequence[Path]) -> dict[str, str]:
    """Name of a class folder -> the emotion that it means; LabelError with the path for one that means none."""
    result: dict[str, str] = {}
    for path in folders:
        try:
            result[path.name] = canonical(path.name)
        except LabelError as error:
            raise LabelError(f"{path}: {error}") from None
    return result


def cut(train: Split, share: float, seed: int) -> dict[SplitName, Split]:
    """The train split without a share of each class, and that share as the validation split."""
    assert isinstance(train.images, FileImages)
    held_out = stratified_cut(train.labels, first_copies(train.images), share, seed)
    parts: dict[SplitName, npt.NDArray[np.int64]] = {
        "train": np.setdiff1d(np.arange(len(train)), held_out),
        "validation": held_out,
    }
    root, files = train.images.root, train.images.names
    return {
        name: Split(name, FileImages(root, files[rows]), train.labels[rows])
        for name, rows in parts.items()
        if len(rows)
    }


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, by name, less what systems leave in it; a link to nothing is a DataError."""
    found = sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.name not in LEFT_BY_SYSTEMS)
    for path in found:
        if not path.exists():
            raise DataError(f"{path} must lead to a file or folder, got a link to nothing; restore that or remove it")
        if any("\ud800" <= letter <= "\udfff" for letter in path.name):  # Python's signs of bytes that are no text
            raise DataError(f"{folder}: a name must be text in UTF-8, got {os.fsencode(path.name)!r}; rename it")
    return found


def class_folders(folder: Path) -> list[Path]:
    """The class folders of one split, by name; DataError if there are none, or pictures beside them."""
    found = entries(folder)
    folders = [path for path in found if path.is_dir()]
    if not folders:
        raise DataError(f"{folder} must hold one folder a class, got none; put the pictures into class folders")
    if loose := [path for path in found if path.suffix.lower() in SUFFIXES and path.is_file()]:
        raise DataError(f"{loose[0]} must lie in a class folder, as must {len(loose) - 1:,} more; move or remove them")
    return folders


def read_folder(split: SplitName, folder: Path, labels: Sequence[str], classes: Mapping[str, str]) -> Split:
    """One split: the pictures of every class folder, by class and file name.

    Args:
        split: its name.
        folder: that holds the class folders.
        labels: that ids index.
        classes: name of a class folder -> its label.
    """
    paths: list[Path] = []
    ids: list[int] = []
    seen: dict[str, Path] = {}
    for part in class_folders(folder):
        name = classes[part.name]
        if name in seen:
            raise DataError(f"{folder}: '{seen[name].name}' and '{part.name}' both mean {name}; merge them")
        if name not in labels:
            raise DataError(f"{part}: the class must be one of {', '.join(labels)}, got {name}; move or remove it")
        seen[name] = part
        files = entries(part)
        for path in files:
            if path.is_dir():
                raise DataError(f"{path} must be a picture, got a folder; move its pictures into {part} or remove it")
            if path.suffix.lower() not in SUFFIXES:
                raise DataError(f"{path} must be a picture ({', '.join(sorted(SUFFIXES))}); move or remove it")
        paths += files
        ids += [labels.index(name)] * len(files)
    if not paths:
        raise DataError(f"{folder} must hold pictures in its class folders, got none; copy them there")
    images = FileImages.of(folder, [str(path.relative_to(folder)) for path in paths])
    return Split(split, images, np.array(ids, dtype=np.int64))


def unread(folder: Path, read: Collection[Path]) -> dict[str, int]:
    """What in `folder` is not in `read` and holds pictures -> how many; a reader that leaves them out has to say so."""
    result: dict[str, int] = {}
    for path in entries(folder):
        if path in read:
            continue
        names = (name for _, _, found in os.walk(path) for name in found) if path.is_dir() else iter([path.name])
        if number := sum(Path(name).suffix.lower() in SUFFIXES for name in names):
            place = f"{path}{os.sep}" if path.is_dir() else f"{folder}{os.sep}"
            result[place] = result.get(place, 0) + number
    return result
