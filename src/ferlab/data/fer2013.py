"""FER2013 (Goodfellow et al. 2013): 35,887 grey faces of 48×48, from the challenge's CSV or Kaggle's folder copy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from ferlab.data.cache import Arrays, cached
from ferlab.data.copies import Copies, with_copies
from ferlab.data.imagefolder import class_folders, emotions, read_folder, unread
from ferlab.data.images import ArrayImages
from ferlab.data.lines import without_blank_end
from ferlab.data.source import WEB, Source, Split, SplitName
from ferlab.errors import DataError
from ferlab.labels import FER2013
from ferlab.spec import Image

FILES = ("fer2013.csv", "icml_face_data.csv")
USAGES: dict[str, SplitName] = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
OFFICIAL: dict[SplitName, int] = {"train": 28_709, "validation": 3_589, "test": 3_589}
LICENCE = "FER2013 was released for the ICML 2013 challenge in representation learning; for research use"
SIDE = 48
PIXELS = SIDE * SIDE


def fer2013(root: str, copies: Copies = "keep") -> Source:
    """FER2013 with its official splits: Training, PublicTest as validation, PrivateTest as test.

    Args:
        root: a folder with `fer2013.csv` or `icml_face_data.csv`, that file itself, or Kaggle's folder copy with
            `train/<class>` and `test/<class>`.
        copies: "drop" takes the faces that another split has too out of train, see `with_copies`.

    Raises:
        DataError: nothing of that kind at `root`, or a malformed row, with file and line.
    """
    folder = Path(root)
    file = find_csv(folder)
    if file is not None:
        return with_copies(_from_csv(file), copies)
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        return with_copies(_from_folders(folder), copies)
    raise DataError(
        f"fer2013 needs {' or '.join(FILES)}, or train/ and test/ folders, in {folder.absolute()}; "
        "download it (see README) or set data.root"
    )


def find_csv(root: Path) -> Path | None:
    """The challenge file at or in `root`, if there is one."""
    if root.is_file():
        return root
    return next((root / name for name in FILES if (root / name).is_file()), None)


def _from_csv(file: Path) -> Source:
    faces = read_faces(file)
    splits: dict[SplitName, Split] = {}
    absent: dict[SplitName, str] = {}
    for code, (usage, split) in enumerate(USAGES.items()):
        images = usage_images(faces, code, file)
        if len(images):
            splits[split] = Split(split, images, np.asarray(faces["emotion"])[images.rows].astype(np.int64))
        else:
            absent[split] = f"{file} has no {usage} rows"
    return Source(
        name="fer2013",
        labels=FER2013,
        splits=splits,
        absent=absent,
        protocol="FER2013, 7 classes, official splits (validation = PublicTest, test = PrivateTest)",
        licence=LICENCE,
        origin=WEB,
        mapping={str(i): name for i, name in enumerate(FER2013)},
        official=OFFICIAL,
    )


def _from_folders(folder: Path) -> Source:
    """Kaggle's copy sorts its classes alphabetically and merges PublicTest and PrivateTest into `test`."""
    parts: dict[SplitName, Path] = {"train": folder / "train", "validation": folder / "test"}
    mapping = emotions([path for part in parts.values() for path in class_folders(part)])
    return Source(
        name="fer2013",
        labels=FER2013,
        splits={split: read_folder(split, part, FER2013, mapping) for split, part in parts.items()},
        absent={"test": "Kaggle's folder copy merges PublicTest and PrivateTest; a test score needs fer2013.csv"},
        protocol="FER2013, 7 classes, Kaggle's folder copy (validation = PublicTest and PrivateTest merged; no test)",
        licence=LICENCE,
        origin=WEB,
        mapping=mapping,
        unread=unread(folder, parts.values()),
        official={"train": OFFICIAL["train"], "validation": OFFICIAL["validation"] + OFFICIAL["test"]},
    )


def read_faces(file: Path) -> Arrays:
    """The rows of the challenge file, memory-mapped after the first time.

    Returns:
        pixels (n, 48, 48) uint8, emotion (n,) uint8 and usage (n,) uint8, an index into USAGES.
    """
    return dict(cached("fer2013", 2, file, lambda: _parse(file)))


def usage_images(faces: Arrays, usage: int, file: Path) -> ArrayImages:
    """The faces of one usage, in the file's order."""
    rows = np.flatnonzero(faces["usage"] == usage)
    return ArrayImages(faces["pixels"], rows, file, np.arange(len(faces["usage"])) + 2)  # line 1 is the header


def _parse(file: Path) -> Arrays:
    usages, pixels, emotions = [], [], []
    line = 2
    for batch in _batches(file):
        usages.append(_codes(batch["Usage"], [str(u) for u in USAGES], "Usage", file, line))
        emotions.append(_codes(batch["emotion"], [str(i) for i in range(len(FER2013))], "emotion", file, line))
        pixels.append(parse_pixels(batch["pixels"], file, line))
        line += len(batch)
    if not pixels:
        raise DataError(f"{file} must have a row a face, got no rows; download it again")
    faces = np.concatenate(pixels).reshape(-1, SIDE, SIDE)
    return {"pixels": faces, "emotion": np.concatenate(emotions), "usage": np.concatenate(usages)}


def _batches(file: Path) -> Iterator[pa.RecordBatch]:
    """Record batches of about 8 MB of text with the columns emotion, pixels and Usage as strings."""
    columns = ("emotion", "pixels", "Usage")
    with open(file, encoding="utf-8", errors="replace") as opened:
        header = opened.readline().rstrip("\r\n").lstrip("\ufeff")
    names = [name.strip().strip('"').strip() for name in header.split(",")]  # icml_face_data.csv: " Usage", " pixels"
    if sorted(names) != sorted(columns):
        raise DataError(f"{file}:1: columns must be {', '.join(columns)}, got '{header[:80]}'; is it the FER2013 file?")
    try:
        yield from pyarrow.csv.open_csv(
            without_blank_end(file),
            read_options=pyarrow.csv.ReadOptions(column_names=names, skip_rows=1, block_size=8 << 20, use_threads=True),
            parse_options=pyarrow.csv.ParseOptions(ignore_empty_lines=False),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise _malformed(file, str(error)) from error


def _malformed(file: Path, reason: str) -> DataError:
    """Find the line that pyarrow, which reads in parallel, could not name."""
    with open(file, "rb") as opened:
        for line, text in enumerate(opened, 1):
            if text.count(b",") != 2 or text.count(b'"') % 2:
                start = text[:40].decode("utf-8", "replace").strip()
                return DataError(f"{file}:{line}: a row must have 3 columns, got '{start}…'; download the file again")
            if line > 1 and not text.isascii():
                return DataError(f"{file}:{line}: a row must be plain text, got other bytes; download the file again")
    return DataError(f"{file}: not a readable CSV: {reason}; download the file again")


def _codes(column: pa.StringArray, words: list[str], name: str, file: Path, line: int) -> npt.NDArray[np.uint8]:
    """The position of each value in `words`; DataError with the line of the first that is not there."""
    stripped = pa.compute.utf8_trim_whitespace(column)
    codes = pa.compute.index_in(stripped, value_set=pa.array(words))
    if codes.null_count:
        i = int(np.flatnonzero(codes.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(
            f"{file}:{line + i}: {name} must be one of {', '.join(words)}, got '{column[i]}'; correct that row"
        )
    result: npt.NDArray[np.uint8] = codes.to_numpy().astype(np.uint8)
    return result


def parse_pixels(column: pa.StringArray, file: Path, line: int) -> Image:
    """Numbers 0-255 separated by single spaces, 2304 a row, without a Python loop over rows or pixels.

    Args:
        column: n rows of text.
        file, line: where the first row stands, for errors.

    Returns:
        (n, 2304) uint8.
    """
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    data: Any = column.buffers()[2] or b""
    text = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    first = (offsets[:-1] - offsets[0]).astype(np.int64)  # where each row starts
    digit = text - np.uint8(48)  # anything that is no digit becomes 10 or more
    is_digit = digit < 10
    if not (is_digit | (text == 32)).all():
        row = int(np.searchsorted(first, np.flatnonzero(~is_digit & (text != 32))[0], "right")) - 1
        raise DataError(f"{file}:{line + row}: pixels must be numbers 0 to 255, got '{_odd(column[row].as_py())}'")
    breaks = ~is_digit
    starts = is_digit.copy()
    starts[1:] &= breaks[:-1] | _marks(len(text), first)[1:]
    begin = np.flatnonzero(starts)
    counts = np.diff(np.append(np.searchsorted(begin, first), len(begin)))
    if (counts != PIXELS).any():
        row = int(np.flatnonzero(counts != PIXELS)[0])
        raise DataError(f"{file}:{line + row}: a face must have {PIXELS} pixels, got {counts[row]}; correct that row")
    ends = is_digit.copy()
    ends[:-1] &= breaks[1:] | _marks(len(text), first)[1:]
    last = np.flatnonzero(ends)
    length = last - begin + 1
    value = digit[last].astype(np.uint16)
    value += np.where(length >= 2, digit[last - 1], 0).astype(np.uint16) * 10
    value += np.where(length >= 3, digit[last - 2], 0).astype(np.uint16) * 100
    wrong = (length > 3) | (value > 255)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        got = bytes(text[begin[at] : last[at] + 1]).decode()
        raise DataError(f"{file}:{line + at // PIXELS}: a pixel must be 0 to 255, got {got}; correct that row")
    return value.astype(np.uint8).reshape(-1, PIXELS)


def _marks(n: int, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    marks = np.zeros(n, bool)
    marks[positions[positions < n]] = True
    return marks


def _odd(text: str | None) -> str:
    """The first word of `text` that is no number."""
    return next((word for word in (text or "").split(" ") if not word.isdigit()), "")
