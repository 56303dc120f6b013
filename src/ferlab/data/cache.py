"""Parse once: memory-mapped arrays in a folder named by the content that they were parsed from."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.errors import DataError
from ferlab.files import creating_folder

Arrays = dict[str, npt.NDArray[Any]]


def cache_root() -> Path:
    """`$FERLAB_CACHE`, or ferlab's folder in the user's cache."""
    if folder := os.environ.get("FERLAB_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ferlab"


def cached(kind: str, version: int, file: Path, parse: Callable[[], Arrays]) -> Mapping[str, npt.NDArray[Any]]:
    """The arrays that `parse` returns, memory-mapped read-only; parsed only when `file`'s content is new.

    Two processes may parse the same file at once, and either may be killed: each writes to a folder of its own and
    renames it when it is whole, and the first one there stays.

    Args:
        kind: names the parser.
        version: raise it when the parser's result changes.
        file: the text that is parsed; its content, not its name or age, is the key.
        parse: reads `file`.
    """
    with open(file, "rb") as opened:
        # SHA-1 because processors compute it at 2 GB/s; it tells files apart and guards nothing.
        key = hashlib.file_digest(opened, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
    folder = cache_root() / f"{kind}-{version}-{key}"
    if not folder.is_dir():
        arrays = parse()
        try:
            with creating_folder(folder, replace=False) as temporary:
                for name, array in arrays.items():
                    np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        except OSError as error:
            reason = error.strerror or error  # numpy gives no errno
            raise DataError(
                f"cannot write the cache of {file} to {folder}: {reason}; free some space or set FERLAB_CACHE"
            ) from error
    try:
        return {p.stem: np.load(p, mmap_mode="r", allow_pickle=False) for p in sorted(folder.glob("*.npy"))}
    except (OSError, ValueError, EOFError) as error:  # EOFError: an empty file
        raise DataError(f"the cache in {folder} is damaged ({error}); delete that folder and run again") from error
