"""Prepare every face of a split once, into memory or into a memory-mapped file of the cache."""

import hashlib
import os
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ferlab.data.cache import cache_root
from ferlab.data.images import in_threads
from ferlab.data.source import Split
from ferlab.errors import DataError
from ferlab.files import creating_folder
from ferlab.spec import Image, ModelSpec

VERSION = 2  # raise it when `ModelSpec.prepare` gives other pixels


Sums = npt.NDArray[np.uint32]


class PackedFaces:
    """Prepared faces in a file of the cache, each compared with its checksum when it is first read.

    All at once would read the whole file before the first step: 42 GB for AffectNet at 224 px.

    Args:
        folder: of the cache.
        pixels: (n, c, s, s) uint8, memory-mapped.
        sums: (n,) CRC-32 of each face.
    """

    def __init__(self, folder: Path, pixels: Image, sums: Sums) -> None:
        self.folder, self.pixels, self.sums = folder, pixels, sums
        self.read = np.zeros(len(sums), bool)

    def check(self, rows: npt.NDArray[np.int64]) -> None:
        """Raise a DataError unless the faces at `rows` are those that were written."""
        for row in rows[~self.read[rows]]:
            if zlib.crc32(self.pixels[row]) != self.sums[row]:
                raise DataError(
                    f"the cache in {self.folder} is damaged (face {row} was changed); delete that folder and run again"
                )
        self.read[rows] = True


def prepare_all(split: Split, spec: ModelSpec, out: Image | None = None, sums: Sums | None = None) -> Image:
    """Every face as `spec.prepare` gives it, (n, c, s, s) uint8, read by as many threads as there are processors.

    Args:
        split: what to read.
        spec: prepares each face.
        out: written into, if given.
        sums: the CRC-32 of each face is written into it, if given.

    Raises:
        DataError: the first face that cannot be read.
    """
    pixels = np.empty(packed_shape(split, spec), np.uint8) if out is None else out

    def fill(i: int) -> None:
        face = spec.prepare(split.read(i))
        pixels[i] = face
        if sums is not None:
            sums[i] = zlib.crc32(face.data)

    in_threads(fill, len(split))
    return pixels


def packed_shape(split: Split, spec: ModelSpec) -> tuple[int, int, int, int]:
    """(n, c, s, s)."""
    return len(split), spec.channels, spec.size, spec.size


def packed(split: Split, spec: ModelSpec) -> PackedFaces:
    """As `prepare_all`, memory-mapped from the cache, and prepared only when the pictures or the preparation are new.

    Raises:
        DataError: a face that cannot be read, a full disk, or a damaged cache.
    """
    said = f"{split.pictures} {spec.size} {spec.colour} {spec.interpolation}"
    folder = cache_root() / f"packed-{VERSION}-{hashlib.sha256(said.encode()).hexdigest()[:40]}"
    file, shape = "pixels.npy", packed_shape(split, spec)
    if not folder.is_dir():
        try:
            with creating_folder(folder, replace=False) as temporary:
                # The whole size at once: on a full disk a memory map would be killed in its middle, without an error.
                if hasattr(os, "posix_fallocate"):  # not on a Mac
                    with open(temporary / file, "wb") as opened:
                        os.posix_fallocate(opened.fileno(), 0, int(np.prod(shape)) + 4096)
                mapped = np.lib.format.open_memmap(temporary / file, "w+", np.uint8, shape)
                sums = np.zeros(len(split), np.uint32)
                prepare_all(split, spec, mapped, sums)
                mapped.flush()
                del mapped  # Windows renames no folder with an open file
                np.save(temporary / "sums.npy", sums)
        except OSError as error:
            raise DataError(
                f"cannot write {int(np.prod(shape)):,} bytes of prepared faces to {folder}: {error.strerror or error}; "
                "free some space, set FERLAB_CACHE, or trainer.feed=streamed"
            ) from error
    try:
        pixels: Image = np.load(folder / file, mmap_mode="c", allow_pickle=False)  # c: torch wants it writable
        found: Sums = np.load(folder / "sums.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"the cache in {folder} is damaged ({error}); delete that folder and run again") from error
    if pixels.shape != shape or pixels.dtype != np.uint8 or found.shape != shape[:1]:
        raise DataError(f"the cache in {folder} must hold {shape} uint8, got {pixels.shape}; delete that folder")
    return PackedFaces(folder, pixels, found)
