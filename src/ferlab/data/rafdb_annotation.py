"""What RAF-DB's `Annotation` folder says of each face: the box, five landmarks, gender, race and age."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ferlab.data.rafdb_tree import require
from ferlab.errors import DataError

Floats = npt.NDArray[np.float32]
LANDMARKS = ("left eye", "right eye", "tip of the nose", "left corner of the mouth", "right corner of the mouth")
# Attribute -> what its codes 0, 1, … mean, in the order of their lines; "" is RAF-DB's "unsure".
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "gender": ("male", "female", ""),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}


def read_manual(folder: Path, faces: Sequence[str]) -> tuple[Floats, Mapping[str, npt.NDArray[np.str_]]]:
    """Landmarks and attributes from `<face>_manu_attri.txt`: five lines of x and y, then a code a line.

    Args:
        folder: `Annotation/manual`.
        faces: n names, such as train_00001.

    Returns:
        The eyes, (n, 2, 2) x and y in pixels of the original picture, and for each attribute n values, "" if unsure.

    Raises:
        DataError: a file that is missing or malformed, with its line.
    """
    eyes = np.empty((len(faces), 2, 2), np.float32)
    values: dict[str, list[str]] = {attribute: [] for attribute in ATTRIBUTES}
    for i, (file, lines) in enumerate(_texts(folder, faces, "manu_attri", len(LANDMARKS) + len(ATTRIBUTES))):
        points = [_numbers(file, n, text, ("x", "y")) for n, text in enumerate(lines[: len(LANDMARKS)], 1)]
        eyes[i] = points[:2]
        for n, (attribute, meanings) in enumerate(ATTRIBUTES.items(), len(LANDMARKS) + 1):
            known = {str(code): meaning for code, meaning in enumerate(meanings)}
            code = lines[n - 1].strip()
            if code not in known:
                raise DataError(
                    f"{file}:{n}: {attribute} must be 0 to {len(known) - 1}, got '{code}'; correct that line"
                )
            values[attribute].append(known[code])
    return eyes, {attribute: np.array(column, dtype=np.str_) for attribute, column in values.items()}


def read_boxes(folder: Path, faces: Sequence[str]) -> Floats:
    """The boxes from `<face>_boundingbox.txt`: one line, the left, top, right and bottom edge.

    Args:
        folder: `Annotation/boundingbox`.
        faces: n names, such as train_00001.

    Returns:
        (n, 4) left, top, width and height in pixels of the original picture.

    Raises:
        DataError: a file that is missing or malformed.
    """
    boxes = np.empty((len(faces), 4), np.float32)
    for i, (file, (text,)) in enumerate(_texts(folder, faces, "boundingbox", 1)):
        left, top, right, bottom = _numbers(file, 1, text, ("left", "top", "right", "bottom"))
        if not (left < right and top < bottom):
            raise DataError(f"{file}:1: a box must have left < right and top < bottom, got '{text}'; correct that line")
        boxes[i] = left, top, right - left, bottom - top
    return boxes


def _texts(folder: Path, faces: Sequence[str], suffix: str, number: int) -> Iterator[tuple[Path, list[str]]]:
    """Each face's file and its lines, `number` of them."""
    names = [f"{face}_{suffix}.txt" for face in faces]
    require(folder, names, "restore the files of RAF-DB's archive")
    for file in map(folder.joinpath, names):
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
        except OSError as error:
            raise DataError(f"cannot read {file}: {error.strerror}; restore the file") from error
        if len(lines) != number:
            at = min(len(lines), number) + 1  # the first line that lacks, or is too many
            raise DataError(f"{file}:{at}: the file must have {number} lines, got {len(lines)}; restore the file")
        yield file, lines


def _numbers(file: Path, line: int, text: str, names: tuple[str, ...]) -> list[float]:
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != len(names) or not np.isfinite(numbers).all():
        raise DataError(f"{file}:{line}: a line must be {', '.join(names)} in pixels, got '{text}'; correct that line")
    return numbers
