"""AffectNet's npy release: `train_set/images/0.jpg` with `train_set/annotations/0_{exp,val,aro,lnd}.npy`.

287,651 faces have over a million files of a hundred bytes, and `np.load` takes most of its time for things that they do
not need. They are read once, into the cache.
"""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.data.affectnet_annotations import COORDINATES, Annotations, checked, eye_centres
from ferlab.data.cache import Arrays, cached
from ferlab.data.source import SplitName
from ferlab.errors import DataError

FOLDERS: dict[SplitName, str] = {"train": "train_set", "validation": "val_set"}
REQUIRED = ("exp", "val", "aro")
READERS = 4  # threads: they hide what a cold or a network disk takes to answer, and cost nothing on a warm one
BLOCK = 2048  # faces a task
LARGEST = 1 << 14  # bytes of a file: 136 numbers are 1,216; of a larger one the end is missing, which is an error
VERSION_1 = b"\x93NUMPY\x01\x00"


def find_npy(root: Path) -> dict[SplitName, Path]:
    """The folders of the parts that are there, `train_set` and `val_set`."""
    return {split: root / name for split, name in FOLDERS.items() if (root / name / "annotations").is_dir()}


def read_npy(root: Path, part: Path) -> Annotations:
    """One part.

    Raises:
        DataError: a picture without annotations, or an annotation that is missing, damaged or outside its range.
    """
    return Annotations.of(part / "images", cached("affectnet-npy", 2, part / "annotations", lambda: _parse(part)))


def _parse(part: Path) -> Arrays:
    notes = part / "annotations"
    faces, landmarked = _listed(part)
    blocks = [faces[start : start + BLOCK] for start in range(0, len(faces), BLOCK)]
    with ThreadPoolExecutor(READERS) as pool:
        parts = list(pool.map(lambda block: _read_block(notes, block, landmarked), blocks))
    values, eyes = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))

    def place(i: int, column: str) -> str:
        return f"{notes / faces[i]}_{column[:3]}.npy"

    expression, affect = checked(values[:, 0], values[:, 1:], place)
    names = np.array([os.fsencode(f"{face}.jpg") for face in faces])
    return {"names": names, "expression": expression, "affect": affect, "eyes": eyes}


def _listed(part: Path) -> tuple[list[str], set[str]]:
    """The faces by the name of their pictures, and those with landmarks; a face without the rest is a DataError."""
    there: dict[str, set[str]] = {kind: set() for kind in (*REQUIRED, "lnd")}
    for name in _files(part / "annotations", ".npy"):
        face, _, kind = name.rpartition("_")
        if kind in there:
            there[kind].add(face)
    faces = set().union(*(there[kind] for kind in REQUIRED), _files(part / "images", ".jpg"))
    if not faces:
        raise DataError(f"{part / 'annotations'} must hold 0_exp.npy and so on, got none; unpack the release again")
    for kind in REQUIRED:
        if lacking := sorted(faces - there[kind]):
            raise DataError(
                f"{part / 'annotations' / lacking[0]}_{kind}.npy is missing, one of {len(lacking):,}; "
                "unpack the release again, or remove what is left of these faces"
            )
    return sorted(faces, key=lambda face: os.fsencode(f"{face}.jpg")), there["lnd"]


def _files(folder: Path, suffix: str) -> Iterator[str]:
    """The names of the files in `folder` that end so, without the ending."""
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from (entry.name.removesuffix(suffix) for entry in entries if entry.name.endswith(suffix))


def _read_block(notes: Path, faces: list[str], landmarked: set[str]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Expression, valence and arousal as found, (n, 3) float64, and the eyes, (n, 2, 2) float32."""
    values = np.empty((len(faces), len(REQUIRED)))
    landmarks = np.zeros((len(faces), COORDINATES))
    for i, face in enumerate(faces):
        for column, kind in enumerate(REQUIRED):
            values[i, column] = _number(f"{notes}/{face}_{kind}.npy")
        if face in landmarked:
            landmarks[i] = _landmarks(f"{notes}/{face}_lnd.npy")
    return values, eye_centres(landmarks)


def _number(path: str) -> float:
    """The number that the file holds, itself or as text."""
    array = read_array(path)
    try:
        return float(array.item())
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} must hold one number, got {str(array)[:40]!r}; unpack the release again") from error


def _landmarks(path: str) -> npt.NDArray[np.float64]:
    array = read_array(path)
    try:
        numbers = array.ravel().astype(np.float64)
    except ValueError as error:
        raise DataError(f"{path} must hold numbers: {error}; unpack the release again") from error
    if len(numbers) != COORDINATES or not np.isfinite(numbers).all():
        raise DataError(f"{path} must hold {COORDINATES} finite numbers, got {len(numbers)}; unpack the release again")
    return numbers


def read_array(path: str) -> npt.NDArray[Any]:
    """What `np.load(path, allow_pickle=False)` returns, for a file of LARGEST bytes or less and much faster.

    Raises:
        DataError: the file cannot be read, is no whole .npy file, or holds pickled objects.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))  # Windows reads text otherwise
        try:
            data = os.read(descriptor, LARGEST)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; unpack the release again") from error
    try:
        if not data.startswith(VERSION_1):
            array: npt.NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
            return array
        start = 10 + int.from_bytes(data[8:10], "little")
        shape, order, dtype = _header(data[8:start])
        return np.frombuffer(data, dtype, prod(shape), start).reshape(shape, order=order)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} must be an array without objects, got {error}; unpack the release again") from error


@lru_cache(maxsize=256)  # a release has a dozen different headers
def _header(data: bytes) -> tuple[tuple[int, ...], Any, np.dtype[Any]]:
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(data))
    if dtype.hasobject:
        raise ValueError("pickled objects, which could run any code")
    return shape, "F" if fortran else "C", dtype
