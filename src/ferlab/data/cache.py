"""Parse once: memory-mapped arrays in a folder named by the content that they were parsed from."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.errors import DataError
from ferlab.files import creating_folder, write_json

Arrays = dict[str, npt.NDArray[Any]]
DIGESTS = "digests.json"


def cache_root() -> Path:
    """`$FERLAB_CACHE`, or ferlab's folder in the user's cache."""
    if folder := os.environ.get("FERLAB_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ferlab"


def cached(kind: str, version: int, file: Path, parse: Callable[[], Arrays]) -> Mapping[str, npt.NDArray[Any]]:
    """The arrays that `parse` returns, memory-mapped read-only; parsed only when what `file` holds is new.

    Two processes may parse the same file at once, and either may be killed: each writes to a folder of its own and
    renames it when it is whole, and the first one there stays. What is there is read through and compared with its
    digests each time: disks lose bits, and a wrong label looks like any other.

    Args:
        kind: names the parser.
        version: raise it when the parser's result changes.
        file: what is parsed: a text, whose content, not its name or age, is the key; or a folder of many small files,
            whose listing is: names, sizes and times of change, for reading a million files takes minutes.
        parse: reads `file`.

    Raises:
        DataError: what `parse` raises, a full disk, or a damaged cache.
    """
    folder = cache_root() / f"{kind}-{version}-{_listing_key(file) if file.is_dir() else _content_key(file)}"
    if not folder.is_dir():
        arrays = parse()
        try:
            with creating_folder(folder, replace=False) as temporary:
                for name, array in arrays.items():
                    np.save(temporary / f"{name}.npy", array, allow_pickle=False)
                write_json(temporary / DIGESTS, _digests(temporary))
        except OSError as error:
            reason = error.strerror or error  # numpy gives no errno
            raise DataError(
                f"cannot write the cache of {file} to {folder}: {reason}; free some space or set FERLAB_CACHE"
            ) from error
    try:
        wanted, got = json.loads((folder / DIGESTS).read_text(encoding="utf-8")), _digests(folder)
        for name in sorted({*wanted, *got}):
            if wanted.get(name) != got.get(name):
                raise ValueError(f"{name} is missing" if name not in got else f"{name} was changed")
        return {p.stem: np.load(p, mmap_mode="r", allow_pickle=False) for p in sorted(folder.glob("*.npy"))}
    except (OSError, ValueError, EOFError, AttributeError, TypeError) as error:  # EOFError: an empty file
        reason = " ".join(str(error).split())
        raise DataError(f"the cache in {folder} is damaged ({reason}); delete that folder and run again") from error


def _digests(folder: Path) -> dict[str, str]:
    return {file.name: _content_key(file) for file in sorted(folder.glob("*.npy"))}


def _content_key(file: Path) -> str:
    with open(file, "rb") as opened:
        # SHA-1 because processors compute it at 2 GB/s; it tells files apart and guards nothing.
        return hashlib.file_digest(opened, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()


def _listing_key(folder: Path) -> str:
    lines = []
    with os.scandir(os.fsencode(folder)) as entries:
        for entry in entries:
            status = entry.stat()
            lines.append(b"%s %d %d" % (entry.name, status.st_size, status.st_mtime_ns))
    return hashlib.sha1(b"\0".join(sorted(lines)), usedforsecurity=False).hexdigest()
