"""Prepare every face of a split once, into memory or into a memory-mapped file of the cache."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ferlab.data.cache import cache_root
from ferlab.data.source import Split
from ferlab.errors import DataError
from ferlab.files import creating_folder
from ferlab.spec import Image, ModelSpec

VERSION = 1  # raise it when `ModelSpec.prepare` gives other pixels
CHUNK = 256  # faces a task: large enough that handing it to a thread costs nothing


def prepare_all(split: Split, spec: ModelSpec, out: Image | None = None) -> Image:
    """Every face as `spec.prepare` gives it, (n, c, s, s) uint8, read by as many threads as there are processors.

    Args:
        split: what to read.
        spec: prepares each face.
        out: written into, if given.

    Raises:
        DataError: the first face that cannot be read.
    """
    pixels = np.empty(packed_shape(split, spec), np.uint8) if out is None else out

    def fill(start: int) -> None:
        for i in range(start, min(start + CHUNK, len(split))):
            pixels[i] = spec.prepare(split.read(i))

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # decoding and resizing release Python's lock
        for _ in threads.map(fill, range(0, len(split), CHUNK)):
            pass
    return pixels


def packed_shape(split: Split, spec: ModelSpec) -> tuple[int, int, int, int]:
    """(n, c, s, s)."""
    return len(split), spec.channels, spec.size, spec.size


def packed(split: Split, spec: ModelSpec) -> Image:
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
                prepare_all(split, spec, mapped)
                mapped.flush()
        except OSError as error:
            raise DataError(
                f"cannot write {int(np.prod(shape)):,} bytes of prepared faces to {folder}: {error.strerror or error}; "
                "free some space, set FERLAB_CACHE, or trainer.feed=streamed"
            ) from error
    try:
        pixels: Image = np.load(folder / file, mmap_mode="c", allow_pickle=False)  # c: torch wants it writable
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"the cache in {folder} is damaged ({error}); delete that folder and run again") from error
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise DataError(f"the cache in {folder} must hold {shape} uint8, got {pixels.shape}; delete that folder")
    return pixels
