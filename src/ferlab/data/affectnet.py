"""AffectNet (Mollahosseini et al. 2017, arXiv:1708.03985): faces with an expression, valence and arousal."""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ferlab.data.affectnet_annotations import EXPRESSIONS, Annotations
from ferlab.data.affectnet_csv import ONE_LIST, find_annotations, find_csv, read_annotations, read_csv
from ferlab.data.affectnet_npy import find_npy, read_npy
from ferlab.data.copies import Copies, with_copies
from ferlab.data.cut import first_copies, stratified_cut
from ferlab.data.imagefolder import SUFFIXES
from ferlab.data.images import CutImages, FileImages, Images
from ferlab.data.source import WEB, Source, Split, SplitName
from ferlab.errors import ConfigError, DataError, suggest
from ferlab.faces import FaceCrop
from ferlab.labels import AFFECTNET, AFFECTNET_7

Missing = Literal["error", "drop"]
OFFICIAL: dict[int, dict[SplitName, int]] = {
    8: {"train": 287_651, "validation": 4_000},
    7: {"train": 283_901, "validation": 3_500},
}
LICENCE = "AffectNet: for research only, under an agreement that each user signs with its authors; not to be passed on"
ENDINGS = {os.fsencode(suffix) for suffix in SUFFIXES}
NO_TEST = "AffectNet's test part is not public; data.holdout=0.1 makes the official validation part the test split"


@dataclass(frozen=True)
class Release:
    """One form in which AffectNet is on people's disks.

    Attributes:
        find: folder -> the parts that are there, each a file or a folder.
        read: folder and part -> its annotations.
        looks: what to look for, for errors.
    """

    find: Callable[[Path], dict[SplitName, Path]]
    read: Callable[[Path, Path], Annotations]
    looks: str


RELEASES: dict[str, Release] = {
    "npy": Release(find_npy, read_npy, "train_set/annotations/0_exp.npy"),
    "csv": Release(find_csv, read_csv, "training.csv and Manually_Annotated_Images/"),
    "annotations": Release(find_annotations, read_annotations, f"train_set_annotation….csv or {ONE_LIST}"),
}


def affectnet(
    root: str,
    classes: int = 8,
    release: str | None = None,
    holdout: float = 0.0,
    seed: int = 0,
    align: bool | None = None,
    margin: float = 0.0,
    missing: Missing = "error",
    copies: Copies = "keep",
) -> Source:
    """AffectNet's manually annotated faces; those marked none, uncertain or non-face are left out and counted.

    Args:
        root: a folder with one of RELEASES.
        classes: 8, or 7 without contempt, whose faces are left out.
        release: which of RELEASES to read where `root` holds more than one.
        holdout: share of the training part, stratified by expression, to select on as `validation`; the official
            validation part is then the `test` split. 0 keeps it as `validation`, as the field selects and reports.
        seed: of the holdout. Equal files stay on one side.
        align: whether to turn the eyes onto a horizontal line, by the landmarks; None where every face has them.
        margin: what to add to each side of the face box, as a fraction of the box; for the csv release alone.
        missing: "drop" leaves out and counts faces whose picture is not there.
        copies: "drop" takes the faces that another split has too out of train, see `with_copies`.

    Raises:
        ConfigError: an option that means nothing.
        DataError: no release or several, or a malformed annotation or missing picture, by name.
    """
    _check(classes, release, holdout, seed, missing)
    folder = Path(root)
    name, parts = _find(folder, release)
    if margin and name != "csv":
        raise ConfigError(f"data.margin widens the boxes of the csv release, got {margin} for {name}, which has none")
    faces: dict[SplitName, Annotations] = {}
    dropped: dict[str, int] = {}
    listed = {part: RELEASES[name].read(folder, path) for part, path in parts.items()}
    for part, path in parts.items():
        faces[part], left = _keep(listed[part], path, classes, missing)
        dropped |= {f"official {part} part, {reason}": n for reason, n in left.items() if n}
    absent: dict[SplitName, str] = {
        part: f"{folder.absolute()} has no official {part} part" for part in OFFICIAL[classes] if part not in parts
    }
    official = _official(name, parts, classes)
    mapping = {found: label for each in faces.values() for found, label in each.mapping.items()}
    if holdout:
        faces, absent, official = _hold_out(faces, absent, official, holdout, seed)
    else:
        absent["test"] = NO_TEST
    face = FaceCrop(margin, _aligned(faces, align))
    source = Source(
        name="affectnet",
        labels=AFFECTNET if classes == 8 else AFFECTNET_7,
        splits={split: _split(split, each, face) for split, each in faces.items()},
        absent=absent,
        protocol=_protocol(name, classes, holdout, seed, face),
        licence=LICENCE,
        confidential=True,
        origin=WEB,
        face=face,
        mapping=mapping,
        official=official,
        dropped=dropped,
        unread={} if name == "annotations" else _unlisted(listed.values()),  # whose lists are a choice of pictures
    )
    return with_copies(source, copies)


def _check(classes: int, release: str | None, holdout: float, seed: int, missing: str) -> None:
    if classes not in (7, 8):
        raise ConfigError(f"data.classes must be 8, or 7 without contempt, got {classes}")
    if release is not None and release not in RELEASES:
        raise ConfigError(f"unknown data.release '{release}'; {suggest(release, RELEASES)}")
    if not 0 <= holdout < 1:
        raise ConfigError(f"data.holdout must be a share of train, 0 or more and below 1, got {holdout}")
    if seed < 0:
        raise ConfigError(f"data.seed must be 0 or more, got {seed}")
    if missing not in get_args(Missing):
        raise ConfigError(f"unknown data.missing '{missing}'; {suggest(missing, get_args(Missing))}")


def _find(root: Path, release: str | None) -> tuple[str, dict[SplitName, Path]]:
    """The one release at `root`, or the one asked for, and its parts."""
    wanted = [release] if release else list(RELEASES)
    found = {name: parts for name in wanted if (parts := RELEASES[name].find(root))}
    if not found:
        looks = ", or ".join(f"{RELEASES[name].looks} ({name})" for name in wanted)
        raise DataError(f"affectnet needs {looks} in {root.absolute()}; ask its authors (see README) or set data.root")
    if len(found) > 1:
        raise DataError(
            f"{root.absolute()} must hold one release of AffectNet, got {', '.join(found)}; set data.release"
        )
    return next(iter(found.items()))


def _official(release: str, parts: Mapping[SplitName, Path], classes: int) -> dict[SplitName, int]:
    """The published number of faces of each part; none for a list of some of them with labels of its own."""
    if any(path.name == ONE_LIST for path in parts.values()):
        return {}
    lacking = 1 if release != "csv" and classes == 8 else 0  # a face of contempt that the newer release has no more
    return OFFICIAL[classes] | {"validation": OFFICIAL[classes]["validation"] - lacking}


def _keep(faces: Annotations, path: Path, classes: int, missing: Missing) -> tuple[Annotations, dict[str, int]]:
    """The faces of the classes that have a box and a picture, and how many have not, by reason."""
    reasons = {name: faces.expression == i for i, name in enumerate(EXPRESSIONS) if i >= classes}
    if faces.boxes is not None:
        reasons["no face box"] = np.isnan(faces.boxes).any(1)
    left, keep = {}, np.ones(len(faces), bool)
    for reason, holds in reasons.items():
        left[reason] = int((keep & holds).sum())
        keep &= ~holds
    faces = faces.take(keep)
    there = _there(faces)
    left["picture missing"] = int((~there).sum())
    if left["picture missing"] and missing == "error":
        first = faces.folder / os.fsdecode(faces.names[there.argmin()])
        raise DataError(
            f"{first} is missing, the first of {left['picture missing']:,} that {path} lists; "
            "unpack the pictures again, or leave them out by data.missing=drop"
        )
    if not there.any():
        raise DataError(f"{path} must list faces of the {classes} classes, got none; unpack the release again")
    return faces.take(there), left


def _there(faces: Annotations) -> npt.NDArray[np.bool_]:
    """Whether each picture exists, (n,): by one listing a folder, for a question a picture takes minutes."""
    names = faces.names.tolist()
    listed: set[bytes] = set()
    for folder in {os.path.dirname(name) for name in names}:
        path = os.path.join(os.fsencode(faces.folder), folder)
        if os.path.isdir(path):
            listed.update(folder + b"/" + name if folder else name for name in os.listdir(path))
    return np.fromiter((name in listed for name in names), bool, len(names))


def _unlisted(parts: Collection[Annotations]) -> dict[str, int]:
    """Folder of pictures -> how many in it and below have no annotation, where there are any."""
    result: dict[str, int] = {}
    for folder in {each.folder for each in parts}:
        known = {name for each in parts if each.folder == folder for name in each.names.tolist()}
        number = 0
        for path, _, found in os.walk(os.fsencode(folder)):
            below = os.path.relpath(path, os.fsencode(folder)).replace(os.fsencode(os.sep), b"/") + b"/"
            prefix = b"" if below == b"./" else below
            number += sum(prefix + name not in known for name in found if name[name.rfind(b".") :].lower() in ENDINGS)
        if number:
            result[f"{folder}{os.sep}"] = number
    return result


def _hold_out(
    faces: Mapping[SplitName, Annotations],
    absent: Mapping[SplitName, str],
    official: Mapping[SplitName, int],
    share: float,
    seed: int,
) -> tuple[dict[SplitName, Annotations], dict[SplitName, str], dict[SplitName, int]]:
    """Cut `validation` off train and call the official validation part `test`."""
    if "train" not in faces:
        raise DataError(f"data.holdout cuts a part off train, but {absent['train']}; set data.holdout=0")
    train = faces["train"]
    held = np.zeros(len(train), bool)
    copies = first_copies(FileImages(train.folder, train.names))
    held[stratified_cut(train.expression, copies, share, seed)] = True
    cut: dict[SplitName, Annotations] = {"train": train.take(~held), "validation": train.take(held)}
    if "validation" in faces:
        known: dict[SplitName, int] = {"test": official["validation"]} if official else {}
        return cut | {"test": faces["validation"]}, {}, known
    return cut, {"test": absent["validation"]}, {}


def _aligned(faces: Mapping[SplitName, Annotations], align: bool | None) -> bool:
    """Whether to align: as asked, or where every face has landmarks."""
    lacking = {split: int(np.isnan(each.eyes).any((1, 2)).sum()) for split, each in faces.items()}
    if align and any(lacking.values()):
        numbers = " and ".join(f"{n:,} of {split}" for split, n in lacking.items() if n)
        raise DataError(f"data.align=true needs the landmarks of every face, got none for {numbers}; set it to false")
    return not any(lacking.values()) if align is None else align


def _split(name: SplitName, faces: Annotations, face: FaceCrop) -> Split:
    images: Images = FileImages(faces.folder, faces.names)
    if faces.boxes is not None or face.aligned:
        boxes = np.full((len(faces), 4), np.nan, np.float32) if faces.boxes is None else faces.boxes
        images = CutImages(images, boxes, faces.eyes if face.aligned else None, face)
    affect = None if np.isnan(faces.affect).all() else faces.affect
    return Split(name, images, faces.expression, affect=affect)


def _protocol(release: str, classes: int, holdout: float, seed: int, face: FaceCrop) -> str:
    """Which faces and labels these are, in words."""
    crops = "faces cut by the boxes" + (f", margin {face.margin:g}" if face.margin else "") if release == "csv" else ""
    which = [f"AffectNet, {classes} classes", f"{release} release", crops, "eyes level" if face.aligned else ""]
    if holdout:
        cut = f"{holdout:.3g} of train, stratified, copies together, seed {seed}"
        part = f"validation = {cut}; test = the official validation part"
    else:
        part = "official splits (validation, on which the field selects and reports; the test part is not public)"
    return ", ".join(word for word in (*which, part) if word)
