"""Writing files so that a reader sees either the old content or the whole new one, never a half."""

import contextlib
import errno
import glob
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEXT = 16 * 2**20  # bytes of a document that is read whole, a hundred times what the largest of ferlab's have


def check_regular(path: Path) -> None:
    """Raise an OSError unless `path` is a regular file: a FIFO would be waited for without end, a device may act.

    Call it before whatever opens a path that came from elsewhere, or that lies in a folder that did.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


def read_bytes(path: Path, most: int = TEXT) -> bytes:
    """The content of a regular file; OSError if it is none or has more than `most` bytes."""
    check_regular(path)
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def read_text(path: Path) -> str:
    """The content of a regular file of at most TEXT bytes as UTF-8; OSError or UnicodeDecodeError."""
    return read_bytes(path).decode("utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to the disk and rename it over `path`.

    On any error the temporary file is removed and `path` is left as it was. If the process is killed it stays until
    `sweep`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    temporary = Path(name)
    try:
        with contextlib.suppress(OSError):  # some network file systems know no locks
            _lock(descriptor)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


@contextmanager
def creating_folder(path: Path, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success rename it to `path`.

    A folder that is there by then is replaced, or stays as it is when `replace` is False.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    old = temporary.with_name(f"{temporary.name}.old")
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        if replace and path.exists():
            os.rename(path, old)
        try:
            os.rename(temporary, path)
        except OSError:
            if replace or not path.is_dir():
                raise
    finally:
        if old.exists() and not path.exists():  # the new one did not get there
            os.rename(old, path)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def sweep(path: Path) -> None:
    """Remove what killed processes left of writing `path`; what one is writing still is left alone."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        with contextlib.suppress(OSError):  # gone by now, a folder, not ours, or locked
            check_regular(left)
            with open(left, "rb") as file:
                _lock(file.fileno())
                left.unlink()


def _lock(descriptor: int) -> None:
    """Lock an open file until it is closed, or its process dies; BlockingIOError if another has it."""
    with contextlib.suppress(ImportError):  # Windows, which removes no file that is open
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically; NaN and infinity are errors, for JSON has neither."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def why_unwritable(error: Exception) -> str:
    """Why a file could not be written; torch and safetensors report a full disk in words of their own."""
    text = " ".join(str(error).split())
    if getattr(error, "errno", None) == errno.ENOSPC or any(
        sign in text for sign in ("file write failed", "os error 28")
    ):
        return "no space left on the disk"
    return text[:200]
