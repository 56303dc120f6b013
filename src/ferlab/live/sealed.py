"""Files that only who has a key can read: AES-256-GCM (NIST SP 800-38D) by `cryptography`, and the file with the key.

GCM also shows every change: what was altered, cut or sealed with another key does not open.
"""

import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ferlab.errors import ConfigError, DataError
from ferlab.files import read_bytes, why_unwritable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"FERSEAL1"  # at the start of what is sealed; the seal covers it too
KEY, NONCE = 32, 12  # bytes


def seal(content: bytes, key: bytes) -> bytes:
    """MAGIC, a fresh random nonce, and `content` encrypted with its tag.

    A random nonce of 96 bits is safe for 2³² seals with one key.

    Raises:
        ConfigError: `cryptography` is not installed.
    """
    nonce = secrets.token_bytes(NONCE)
    sealed: bytes = _cipher(key).encrypt(nonce, content, MAGIC)
    return MAGIC + nonce + sealed


def unseal(content: bytes, key: bytes) -> bytes:
    """What `seal` was given.

    Raises:
        ConfigError: `cryptography` is not installed.
        DataError: another key, or content that was changed or is not sealed.
    """
    cipher = _cipher(key)
    from cryptography.exceptions import InvalidTag

    try:
        if not is_sealed(content):
            raise InvalidTag
        opened: bytes = cipher.decrypt(content[len(MAGIC) : len(MAGIC) + NONCE], content[len(MAGIC) + NONCE :], MAGIC)
    except (InvalidTag, ValueError) as error:  # ValueError: too short for a nonce
        raise DataError("it must be sealed with this key, got another key or changed content; give its own key_file") \
            from error  # fmt: skip
    return opened


def is_sealed(content: bytes) -> bool:
    """Whether content begins as `seal` writes it."""
    return content.startswith(MAGIC)


def read_key(path: Path) -> bytes:
    """The 32 bytes of a key file.

    Raises:
        ConfigError: no such file, no key, or one that others than its owner may read.
    """
    try:
        content = read_bytes(path, KEY)
        if sys.platform != "win32" and path.stat().st_mode & 0o077:
            raise ConfigError(f"key_file={path} must be readable by its owner alone, got others; chmod 600 {path}")
    except OSError as error:
        raise ConfigError(f"cannot read key_file={path}: {error.strerror or error}; check the path") from error
    if len(content) != KEY:
        raise ConfigError(f"key_file={path} must hold {KEY} bytes, got {len(content)}; give the key's own file")
    return content


def make_key(path: Path) -> bytes:
    """The key in a file, which is made with a new random one, readable by its owner alone, if it is not there.

    Raises:
        ConfigError: as `read_key`, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    except FileExistsError:
        return read_key(path)
    except OSError as error:
        raise ConfigError(f"cannot write key_file={path}: {why_unwritable(error)}; name another file") from error
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY))
            file.flush()
            os.fsync(file.fileno())  # before anything is sealed with it
    except OSError as error:
        path.unlink()  # half a key opens nothing
        raise ConfigError(f"cannot write key_file={path}: {why_unwritable(error)}; name another file") from error
    return read_key(path)


def _cipher(key: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ConfigError(
            "key_file needs cryptography, got none; pip install 'ferlab[encryption]', or leave it out"
        ) from error
    return AESGCM(key)
