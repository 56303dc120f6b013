"""Any `train/validation[/test]/<class>` tree of pictures, its folders mapped to emotions by name and alias."""

from pathlib import Path

import numpy as np

from ferlab.data.images import FileImages
from ferlab.data.source import SPLITS, Source, Split, SplitName
from ferlab.errors import DataError
from ferlab.labels import CANONICAL, canonical

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
FOLDERS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}


def imagefolder(root: str, licence: str = "not stated") -> Source:
    """A folder a split, a folder a class.

    Args:
        root: the folder that holds `train`, and `validation` or `val`, and perhaps `test`.
        licence: the terms of the pictures, for the model card.

    Raises:
        DataError: no such folders, a file that is no picture, or a class that is empty.
        LabelError: a class folder that is no emotion's name.
    """
    folder = Path(root)
    found = {
        split: next(folder / name for name in names if (folder / name).is_dir())
        for split, names in FOLDERS.items()
        if any((folder / name).is_dir() for name in names)
    }
    if not found:
        raise DataError(f"imagefolder needs train/<class>/ folders in {folder.absolute()}; set data.root")
    classes = {path.name: canonical(path.name) for part in found.values() for path in class_folders(part)}
    order = list(dict.fromkeys(CANONICAL.values()))
    labels = tuple(sorted(set(classes.values()), key=order.index))
    splits = {split: read_folder(split, part, labels) for split, part in found.items()}
    return Source(
        name="imagefolder",
        labels=labels,
        splits=splits,
        absent={split: f"{folder} has no {FOLDERS[split][0]}/ folder" for split in SPLITS if split not in splits},
        protocol=f"pictures of {folder.name or folder}, {len(labels)} classes, splits as its folders have them",
        licence=licence,
        mapping=classes,
    )


def class_folders(folder: Path) -> list[Path]:
    """The class folders of one split, by name; DataError if there are none."""
    folders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise DataError(f"{folder} must hold one folder a class, got none; put the pictures into class folders")
    return folders


def read_folder(split: SplitName, folder: Path, labels: tuple[str, ...]) -> Split:
    """One split: the pictures of every class folder, by class and file name."""
    paths: list[Path] = []
    ids: list[int] = []
    seen: dict[str, Path] = {}
    for part in class_folders(folder):
        name = canonical(part.name)
        if name in seen:
            raise DataError(f"{folder}: '{seen[name].name}' and '{part.name}' both mean {name}; merge them")
        if name not in labels:
            raise DataError(f"{part}: the class must be one of {', '.join(labels)}, got {name}; move or remove it")
        seen[name] = part
        files = sorted(p for p in part.iterdir() if p.is_file() and not p.name.startswith("."))
        for path in files:
            if path.suffix.lower() not in SUFFIXES:
                raise DataError(f"{path} must be a picture ({', '.join(sorted(SUFFIXES))}); move or remove it")
        paths += files
        ids += [labels.index(name)] * len(files)
    if not paths:
        raise DataError(f"{folder} must hold pictures in its class folders, got none; copy them there")
    images = FileImages.of(folder, [str(path.relative_to(folder)) for path in paths])
    return Split(split, images, np.array(ids, dtype=np.int64))
