"""AffectNet's CSV files: the older release of whole pictures, and lists that others made of the newer one."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from ferlab.data.affectnet_annotations import (
    COORDINATES,
    EXPRESSIONS,
    MAPPING,
    Annotations,
    checked,
    eye_centres,
)
from ferlab.data.affectnet_npy import FOLDERS
from ferlab.data.cache import Arrays, cached
from ferlab.data.lines import without_blank_end
from ferlab.data.source import SplitName
from ferlab.errors import DataError
from ferlab.labels import canonical

COLUMNS = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
)
BOX = COLUMNS[1:5]
LISTS: dict[SplitName, str] = {"train": "training.csv", "validation": "validation.csv"}
PICTURES = (
    *("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images"),
    *("Manually_Annotated_compressed/Manually_Annotated_Images", "Manually_Annotated_compressed"),
)
NOTHING = ("", "NULL")  # how the release writes that there is none
NO_LANDMARKS = ";".join(["0"] * COORDINATES)

# Lists that others made: train_set_annotation_without_lnd.csv and val_set_… with number, exp, valence and arousal,
# whose pictures are those of the npy release (CAGE: Wagner et al. 2024); and Kaggle's labels.csv with pth, label as a
# word, and relFCs, the share of the first principal component, by which single-coloured pictures were thrown out.
ONE_LIST = "labels.csv"
SYNONYMS: dict[str, tuple[str, ...]] = {
    "picture": ("number", "image", "path", "pth", "subdirectory_filepath"),
    "expression": ("expression", "exp", "label"),
    "valence": ("valence", "val"),
    "arousal": ("arousal", "aro"),
}


def find_csv(root: Path) -> dict[SplitName, Path]:
    """The lists of the older release that are there, training.csv and validation.csv."""
    folders = (root, root / "Manually_Annotated_file_lists")
    found = {split: [f / name for f in folders if (f / name).is_file()] for split, name in LISTS.items()}
    return {split: files[0] for split, files in found.items() if files}


def read_csv(root: Path, file: Path) -> Annotations:
    """One list of the older release, with or without its header.

    Raises:
        DataError: no folder of pictures, other columns, or a malformed value, with file and line.
    """
    pictures = next((root / name for name in PICTURES if (root / name).is_dir()), None)
    if pictures is None:
        raise DataError(f"{file} needs its pictures in {root / PICTURES[0]}/, got no such folder; unpack them there")
    return Annotations.of(pictures, cached("affectnet-csv", 2, file, lambda: _parse(file)))


def _parse(file: Path) -> Arrays:
    names: list[bytes] = []
    columns: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in ("expression", "affect", "boxes", "eyes")}
    for line, batch in _batches(file, COLUMNS, COLUMNS, _has_header(file)):
        names += [os.fsencode(name) for name in batch[COLUMNS[0]].to_pylist()]
        expression, affect = _labels(batch, COLUMNS[6:], file, line)
        columns["expression"].append(expression)
        columns["affect"].append(affect)
        boxes = np.stack([_numbers(batch, name, file, line) for name in BOX], 1)
        columns["boxes"].append(np.where((boxes[:, 2:] > 0).all(1, keepdims=True), boxes, np.nan).astype(np.float32))
        columns["eyes"].append(eye_centres(_landmarks(batch["facial_landmarks"], file, line)))
    if not names:
        raise DataError(f"{file} must have a row a face, got none; unpack the release again")
    order = np.argsort(np.array(names), kind="stable")
    joined = {name: np.concatenate(parts)[order] for name, parts in columns.items()}
    return {"names": np.array(names)[order]} | joined


def find_annotations(root: Path) -> dict[SplitName, Path]:
    """The lists that others made: train_set….csv and val_set….csv, or labels.csv, which is all training."""
    found: dict[SplitName, Path] = {}
    for split, name in FOLDERS.items():
        files = sorted(root.glob(f"{name}*.csv"))
        if len(files) > 1:
            raise DataError(f"{root} must hold one {name}….csv, got {files[0].name} and {files[1].name}; move one away")
        if files:
            found[split] = files[0]
    if (root / ONE_LIST).is_file():
        if found:
            raise DataError(f"{root} must hold {ONE_LIST} or train_set….csv, got both; move one away")
        found["train"] = root / ONE_LIST
    return found


def read_annotations(root: Path, file: Path) -> Annotations:
    """One list that others made. Numbers and bare names lie in the npy release's folders; paths start at `root`.

    Raises:
        DataError: columns that are not known, or a malformed value, with file and line.
        LabelError: an expression that is a word and no emotion's name.
    """
    header = _header(file)
    known = _meanings(file, header)
    names: list[str] = []
    expressions, affects = [], []
    mapping: dict[str, str] = {}
    for line, batch in _batches(file, header, tuple(known.values()), True):
        names += batch[known["picture"]].to_pylist()
        batch, words = _words_as_numbers(batch, known["expression"])
        mapping |= words
        wanted = [known[name] for name in ("expression", "valence", "arousal") if name in known]
        expression, affect = _labels(batch, wanted, file, line)
        expressions.append(expression)
        affects.append(affect)
    if not names:
        raise DataError(f"{file} must have a row a face, got none; download it again")
    part = next((name for name in FOLDERS.values() if file.name.startswith(name)), "")
    paths = np.array([os.fsencode(_path(name, part)) for name in names])
    nowhere = np.full((len(paths), 2, 2), np.nan, np.float32)
    labels = np.concatenate(expressions), np.concatenate(affects)
    faces = Annotations(root, paths, *labels, nowhere, mapping=mapping or MAPPING)
    return faces.take(np.argsort(paths, kind="stable"))


def _meanings(file: Path, header: Sequence[str]) -> dict[str, str]:
    """Meaning -> the column that has it."""
    known: dict[str, str] = {}
    for meaning, words in SYNONYMS.items():
        columns = [name for name in header if name.lower() in words]
        if len(columns) > 1:
            raise DataError(f"{file}:1: columns {' and '.join(columns)} both mean {meaning}; remove one")
        if columns:
            known[meaning] = columns[0]
    needed = {"picture", "expression"} | ({"valence", "arousal"} if {"valence", "arousal"} & set(known) else set())
    if lacking := [meaning for meaning in SYNONYMS if meaning in needed - set(known)]:
        raise DataError(
            f"{file}:1: a column must hold the {lacking[0]} ({', '.join(SYNONYMS[lacking[0]])}), "
            f"got columns {', '.join(header)[:120]}; rename one"
        )
    return known


def _path(name: str, part: str) -> str:
    """The picture's path below the root: `12` and `12.jpg` lie in the part's folder, `happy/12.jpg` below the root."""
    name = name if "." in name else f"{name}.jpg"
    return name if "/" in name or not part else f"{part}/images/{name}"


def _words_as_numbers(batch: pa.RecordBatch, column: str) -> tuple[pa.RecordBatch, dict[str, str]]:
    """Expressions that are words turned into their ids, with the meaning of each word; numbers are left as they are."""
    words = batch[column].unique().to_pylist()
    if not any(word.isalpha() for word in words):
        return batch, {}
    names = {word: word if word in EXPRESSIONS else canonical(word) for word in words}
    ids = pa.array([str(EXPRESSIONS.index(names[word])) for word in batch[column].to_pylist()])
    return batch.set_column(batch.schema.names.index(column), column, ids), names


def _labels(
    batch: pa.RecordBatch, columns: Sequence[str], file: Path, line: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Expression and affect of a batch; affect is unknown where `columns` names the expression alone."""
    expression, *affect = (_numbers(batch, name, file, line) for name in columns)
    pairs = np.stack(affect, 1) if affect else np.full((len(expression), 2), -2.0)
    return checked(expression, pairs, lambda i, _: f"{file}:{line + i}")


def _numbers(batch: pa.RecordBatch, name: str, file: Path, line: int) -> npt.NDArray[np.float64]:
    return _parsed(batch[name], name, file, line)


def _parsed(texts: pa.StringArray, name: str, file: Path, line: int, a_row: int = 1) -> npt.NDArray[np.float64]:
    """Text as numbers, NaN where the release writes that there is none; `a_row` of them stand on each line."""
    empty = pa.compute.is_in(texts, value_set=pa.array(NOTHING))
    try:
        numbers = pa.compute.cast(pa.compute.if_else(empty, "nan", texts), pa.float64())
    except pa.ArrowInvalid as error:
        at = next(i for i, text in enumerate(texts.to_pylist()) if text not in NOTHING and not _is_number(text))
        raise DataError(
            f"{file}:{line + at // a_row}: {name} must be a number, got '{str(texts[at])[:40]}'; correct that row"
        ) from error
    result: npt.NDArray[np.float64] = numbers.to_numpy(zero_copy_only=False)
    return result


def _is_number(text: str) -> bool:
    try:
        pa.compute.cast(pa.scalar(text), pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _landmarks(texts: pa.StringArray, file: Path, line: int) -> npt.NDArray[np.float64]:
    """136 numbers a row, joined by semicolons, (n, 136)."""
    empty = pa.compute.is_in(texts, value_set=pa.array(NOTHING))
    parts = pa.compute.split_pattern(pa.compute.if_else(empty, NO_LANDMARKS, texts), ";")
    lengths = pa.compute.list_value_length(parts).to_numpy()
    wrong = np.flatnonzero(lengths != COORDINATES)
    if len(wrong):
        i = int(wrong[0])
        raise DataError(
            f"{file}:{line + i}: facial_landmarks must be {COORDINATES} numbers, got {lengths[i]}; correct that row"
        )
    numbers = _parsed(parts.flatten(), "facial_landmarks", file, line, COORDINATES).reshape(-1, COORDINATES)
    wrong = np.flatnonzero(~np.isfinite(numbers).all(1))
    if len(wrong):
        raise DataError(f"{file}:{line + wrong[0]}: facial_landmarks must be finite numbers; correct that row")
    return numbers


def _header(file: Path) -> list[str]:
    with open(file, encoding="utf-8", errors="replace") as opened:
        first = opened.readline().rstrip("\r\n").lstrip("\ufeff")
    return [name.strip().strip('"').strip() for name in first.split(",")]


def _has_header(file: Path) -> bool:
    """Some copies of validation.csv have none; anything else on the first line is a DataError."""
    first = _header(file)
    if first == list(COLUMNS):
        return True
    if len(first) == len(COLUMNS) and first[6].isdigit():
        return False
    raise DataError(
        f"{file}:1: columns must be {', '.join(COLUMNS)}, got '{','.join(first)[:80]}'; is it AffectNet's file?"
    )


def _batches(
    file: Path, names: Sequence[str], wanted: Sequence[str], header: bool
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches of about 8 MB of text, each with the line of its first row; the columns `wanted`, as text."""
    line = 1 + header
    try:
        for batch in pyarrow.csv.open_csv(
            without_blank_end(file),
            # In one thread, so that pyarrow can name the row that is malformed.
            read_options=pyarrow.csv.ReadOptions(
                column_names=names, skip_rows=int(header), block_size=8 << 20, use_threads=False
            ),
            parse_options=pyarrow.csv.ParseOptions(ignore_empty_lines=False),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted, strings_can_be_null=False
            ),
        ):
            yield line, batch
            line += len(batch)
    except pa.ArrowInvalid as error:
        raise DataError(f"{file}: a row must have {len(names)} columns: {error}; download the file again") from error
