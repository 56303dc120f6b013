"""The file with a key, for galleries and sessions alike: text, so that it can be kept in a safe for passwords."""

import base64
import os
import stat
import sys
from pathlib import Path

from ferlab.errors import ConfigError
from ferlab.files import read_bytes, why_unwritable

BYTES = 32
MARK = "ferlab-key-1:"  # before the key in base64
LONGEST = 200  # characters of the file


def read_key(path: Path) -> bytes:
    """The 32 bytes of a key file; ConfigError if there is none, it is none, or others than its owner may read it."""
    try:
        content = read_bytes(path, LONGEST)
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ConfigError(f"cannot read the key {path}: {error.strerror or error}; check the path") from error
    if mode & 0o077 and sys.platform != "win32":
        raise ConfigError(f"the key {path} must be readable by you alone (mode 600), got {mode:o}; chmod 600 {path}")
    try:
        text = content.decode("ascii")
        key = base64.b64decode(text.strip().removeprefix(MARK), validate=True) if text.startswith(MARK) else b""
    except ValueError:
        key = b""
    if len(key) != BYTES:
        raise ConfigError(f"the key {path} must be one that ferlab made, got another file; name a new one")
    return key


def make_key(path: Path) -> bytes:
    """The key in a file, which is made with a new random one, readable by its owner alone, if it is not there.

    Raises:
        ConfigError: as `read_key`, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_key(path)
    except OSError as error:
        raise ConfigError(f"cannot write the key {path}: {why_unwritable(error)}; name another file") from error
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(f"{MARK}{base64.b64encode(os.urandom(BYTES)).decode()}\n")
            file.flush()
            os.fsync(file.fileno())  # before anything is sealed with it
    except OSError as error:
        path.unlink()  # half a key opens nothing
        raise ConfigError(f"cannot write the key {path}: {why_unwritable(error)}; name another file") from error
    return read_key(path)
