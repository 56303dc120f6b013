"""Writing files so that a reader sees either the old content or the whole new one, never a half."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to the disk and rename it over `path`.

    On any error the temporary file is removed and `path` is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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


def clear_leftovers(path: Path) -> None:
    """Remove what a killed process left beside `path`; for a caller who knows that nobody writes it now.

    A folder that was moved away when the process died, before the new one was in its place, is put back.
    """
    for left in sorted(path.parent.glob(f".{path.name}.*")):
        if left.name.endswith(".old") and not path.exists():
            os.rename(left, path)
        elif left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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
