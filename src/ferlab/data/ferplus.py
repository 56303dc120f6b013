"""FER+ (Barsoum et al. 2016, arXiv:1608.01041): ten votes for each FER2013 face, under Microsoft's four rules."""

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from ferlab.data.copies import Copies, with_copies
from ferlab.data.fer2013 import LICENCE, USAGES, find_csv, read_faces, usage_images
from ferlab.data.images import ArrayImages
from ferlab.data.lines import without_blank_end
from ferlab.data.source import WEB, Source, Split, SplitName
from ferlab.errors import ConfigError, DataError, suggest
from ferlab.labels import FERPLUS, FERPLUS_7

COLUMNS = (*FERPLUS, "unknown", "NF")
Rule = Literal["majority", "probability", "cross_entropy", "multi_target"]
Votes = npt.NDArray[np.int64]
# Rows that the rules keep of the official file, train and validation. The test rows' counts are known for one rule.
OFFICIAL: dict[str, dict[SplitName, int]] = {
    "majority": {"train": 25_060, "validation": 3_199, "test": 3_153},
    "probability": {"train": 27_956, "validation": 3_505},
    "cross_entropy": {"train": 27_956, "validation": 3_505},
    "multi_target": {"train": 27_671, "validation": 3_472},
}


def ferplus(root: str, rule: Rule = "majority", classes: int = 8, copies: Copies = "keep") -> Source:
    """FER2013's faces with the labels of FER+, joined row by row.

    Args:
        root: a folder with `fer2013new.csv` beside `fer2013.csv` or `icml_face_data.csv`.
        rule: how ten votes become a training target. Every split but train is always read under "majority", as the
            field evaluates. "majority" gives class ids; "cross_entropy" the distribution of the leading votes;
            "probability" the same, of which the loader draws one class each time; "multi_target" equal shares of
            all classes with 30 % of the votes.
        classes: 8, or 7 without contempt, whose faces are left out.
        copies: "drop" takes the faces that another split has too out of train, see `with_copies`.

    Raises:
        DataError: a file is missing, or the two do not belong together.
    """
    if rule not in get_args(Rule):
        raise ConfigError(f"unknown FER+ rule '{rule}'; {suggest(rule, get_args(Rule))}")
    if classes not in (7, 8):
        raise ConfigError(f"data.classes must be 8, or 7 without contempt, got {classes}")
    faces_file, votes_file = _find(Path(root))
    faces = read_faces(faces_file)
    votes, named = read_votes(votes_file, np.asarray(faces["usage"]), faces_file)
    splits: dict[SplitName, Split] = {}
    absent: dict[SplitName, str] = {}
    dropped: dict[str, int] = {}
    rules: dict[SplitName, Rule] = {name: rule if name == "train" else "majority" for name in USAGES.values()}
    for code, (usage, name) in enumerate(USAGES.items()):
        images = usage_images(faces, code, faces_file)
        if len(images):
            splits[name], left = _split(name, images, votes[images.rows], named[images.rows], rules[name], classes)
            dropped |= {f"{name}: {reason}": n for reason, n in left.items() if n}
        else:
            absent[name] = f"{faces_file} has no {usage} rows"
    official = {name: OFFICIAL[applied][name] for name, applied in rules.items()}
    labels = FERPLUS if classes == 8 else FERPLUS_7
    source = Source(
        name="ferplus",
        labels=labels,
        splits=splits,
        absent=absent,
        protocol=f"FER+, {classes} classes, trained on the {rule} rule, evaluated on the majority rule",
        origin=WEB,
        licence=f"FER+ labels: MIT, Microsoft; faces: {LICENCE}",
        mapping={name: name for name in labels},
        official=official if classes == 8 else {},
        dropped=dropped,
        protocols={name: f"FER+, {classes} classes, {applied} rule" for name, applied in rules.items()},
    )
    return with_copies(source, copies)


def _find(root: Path) -> tuple[Path, Path]:
    faces = find_csv(root) if root.is_dir() else None
    votes = root / "fer2013new.csv"
    if faces is None or not votes.is_file():
        missing = "fer2013new.csv" if faces else "fer2013.csv (or icml_face_data.csv)"
        raise DataError(
            f"ferplus needs fer2013.csv and fer2013new.csv in {root.absolute()}, got no {missing}; "
            "download it (see README) or set data.root"
        )
    return faces, votes


def _split(
    name: SplitName, images: ArrayImages, votes: Votes, named: npt.NDArray[np.bool_], rule: str, classes: int
) -> tuple[Split, dict[str, int]]:
    """One split under one rule, and how many rows were dropped for what."""
    targets, keep = apply_rule(votes, rule)
    left = {"no FER+ picture": int((~named).sum()), f"no label under the {rule} rule": int((named & ~keep).sum())}
    keep &= named
    if classes == 7:
        contempt = keep & (targets.argmax(1) == 7)
        left["contempt"] = int(contempt.sum())
        keep &= ~contempt
        targets = targets[:, :7] / np.maximum(targets[:, :7].sum(1, keepdims=True), 1e-9)
    rows = np.flatnonzero(keep)
    images = ArrayImages(images.pixels, images.rows[rows], images.file, images.lines)
    shares = None if rule == "majority" else targets[rows].astype(np.float32)
    return Split(name, images, targets[rows].argmax(1), shares, draw=rule == "probability"), left


def apply_rule(votes: Votes, rule: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Microsoft's treatment of the ten votes.

    Args:
        votes: (n, 10) counts in the order of COLUMNS.
        rule: one of the four.

    Returns:
        (n, 8) distributions, rows summing to 1 where kept, and (n,) bool, the rows kept.
    """
    counts = np.where(votes <= 1, 0, votes)  # a category's lone vote is an outlier
    total = counts.sum(1)
    if rule == "majority":
        chosen = np.zeros_like(counts)
        top = counts.argmax(1)
        rows = np.arange(len(counts))
        chosen[rows, top] = counts[rows, top] * (counts.max(1) > total / 2)
    elif rule == "multi_target":
        chosen = np.where(counts >= 0.3 * total[:, None], counts, 0)
        chosen = chosen * (chosen.sum(1, keepdims=True) > total[:, None] / 2)
    else:
        chosen = _leading(counts)
    keep = (chosen.argmax(1) < len(FERPLUS)) & (chosen.max(1) > 0)
    shares = chosen[:, : len(FERPLUS)].astype(np.float64)
    if rule == "multi_target":
        shares = (shares > 0).astype(np.float64)
    return shares / np.maximum(shares.sum(1, keepdims=True), 1e-9), keep


def _leading(counts: Votes) -> Votes:
    """Take the largest counts until they cover 75 % of the votes or three classes, (n, 10) in and out."""
    left, taken = counts.copy(), np.zeros_like(counts)
    total = counts.sum(1)
    number = np.zeros(len(counts), np.int64)
    open_ = total > 0
    while True:
        open_ = open_ & (taken.sum(1) < 0.75 * total) & (number < 3)
        if not open_.any():
            break
        largest = left.max(1)
        for column in range(counts.shape[1]):  # every class that ties for the largest, in column order
            hit = open_ & (left[:, column] == largest)
            if column >= len(FERPLUS):  # unknown or NF ends it, and counts only where nothing came before
                alone = hit & (number == 0)
                taken[alone, column] = largest[alone]
                number[alone] += 1
                open_ = open_ & ~hit
            else:
                taken[hit, column] = largest[hit]
                left[hit, column] = 0
                number[hit] += 1
    unclear = (taken.sum(1) <= total / 2) | (number > 3)
    taken[unclear] = 0
    return taken


def read_votes(file: Path, usage: npt.NDArray[np.uint8], faces: Path) -> tuple[Votes, npt.NDArray[np.bool_]]:
    """The votes (n, 10) and whether FER+ has a picture of each row (n,), checked against the usage of the faces."""
    header = ("Usage", "Image name", *COLUMNS)
    try:
        types: dict[str, Any] = dict.fromkeys(COLUMNS, pa.int64()) | {"Usage": pa.string(), "Image name": pa.string()}
        options = pyarrow.csv.ConvertOptions(column_types=types, include_columns=header, strings_can_be_null=False)
        parse = pyarrow.csv.ParseOptions(ignore_empty_lines=False)
        table = pyarrow.csv.read_csv(without_blank_end(file), convert_options=options, parse_options=parse)
    except (pa.ArrowInvalid, KeyError) as error:
        raise DataError(f"{file}: a row must be {', '.join(header)}: {error}; download it again") from error
    if table.num_rows != len(usage):
        raise DataError(
            f"{file} must have one row a face of {faces}, got {table.num_rows} for {len(usage)}; use the two files of "
            "one release"
        )
    names = np.array(list(USAGES))[usage]
    differs = np.flatnonzero(table["Usage"].to_numpy() != names)
    if len(differs):
        i = int(differs[0])
        raise DataError(f"{file}:{i + 2}: Usage must be {names[i]} as in {faces}, got {table['Usage'][i]}; same order?")
    votes = np.stack([table[c].to_numpy() for c in COLUMNS], 1)
    wrong = np.flatnonzero(((votes < 0) | (votes > 10)).any(1))
    if len(wrong):
        raise DataError(f"{file}:{wrong[0] + 2}: votes must be 0 to 10, got {votes[wrong[0]].tolist()}; correct it")
    return votes, table["Image name"].to_numpy() != ""
