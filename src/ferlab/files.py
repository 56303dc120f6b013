"""Writing files so that a reader sees either the old content or the whole new one, never a half."""

import contextlib
import errno
import glob
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
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


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; OSError as `read_bytes`, ValueError if it is no JSON, holds NaN, or is no object."""

    def refuse(constant: str) -> None:
        raise ValueError(f"JSON has no {constant}")

    try:
        found = json.loads(read_text(path), parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError(f"it must hold keys and values, got a {type(found).__name__}")
    return found


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to the disk and rename it, of this mode, over `path`.

    On any error the temporary file and the folders made for it are removed, and `path` is left as it was. If the
    process is killed they stay until `sweep`.
    """
    made = _make(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    temporary = Path(name)
    try:
        with open(descriptor, "rb"):  # holds the lock until it is written; Windows renames no open file
            with contextlib.suppress(OSError):  # some network file systems know no locks
                lock(descriptor)
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.chmod(temporary, mode)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        remove_empty(made)
        raise


@contextmanager
def creating_folder(path: Path, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success rename it to `path`.

    A folder that is there by then is replaced, or stays as it is when `replace` is False.
    """
    made = _make(path.parent)
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
        remove_empty(made)


def _make(folder: Path) -> list[Path]:
    """Make a folder, and return those that were missing, it and its parents, innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders, innermost first, that hold nothing."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def sweep(path: Path) -> None:
    """Remove what killed processes left of writing `path`; a file that one is writing still is locked and left alone.

    A folder that was moved away when the process died, before the new one was in its place, is put back. Folders have
    no lock: where `path` is one, call this only while nobody writes it.
    """
    for left in sorted(path.parent.glob(f".{glob.escape(path.name)}.*")):
        with contextlib.suppress(OSError):  # gone by now, not ours, or locked
            if left.is_dir():
                if left.name.endswith(".old") and not path.exists():
                    os.rename(left, path)
                else:
                    shutil.rmtree(left)
                continue
            check_regular(left)
            with open(left, "rb") as file:
                lock(file.fileno())
            left.unlink()  # after it is closed: Windows removes no open file


def lock(descriptor: int) -> None:
    """Lock an open file until it is closed, or its process dies; an OSError, such as BlockingIOError, if that fails."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 2**30, os.SEEK_SET)  # beyond its end: a byte that is locked there cannot be read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")  # the same bytes on Windows


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically; NaN and infinity are errors, for JSON has neither."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def why_unwritable(error: BaseException) -> str:
    """Why a file could not be written; torch and safetensors report a full disk in words of their own.

    torch raises a RuntimeError while the OSError of the file that it writes to is on its way, which is its context.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    text = " ".join(str(cause or error).split())
    if getattr(cause, "errno", None) == errno.ENOSPC or any(
        sign in text for sign in ("file write failed", "os error 28")
    ):
        return "no space left on the disk"
    return text[:200]
