"""Files that only who has a key can read: AES-256-GCM (NIST SP 800-38D) by `cryptography`.

GCM also shows every change: what was altered, cut or sealed with another key does not open.
"""

import os
from typing import TYPE_CHECKING

from ferlab.errors import ConfigError, DataError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"FERSEAL1"  # at the start of what is sealed; the seal covers it too
NONCE = 12  # bytes


def seal(content: bytes, key: bytes) -> bytes:
    """MAGIC, a fresh random nonce, and `content` encrypted with its tag.

    A random nonce of 96 bits is safe for 2³² seals with one key.

    Raises:
        ConfigError: `cryptography` is not installed.
    """
    nonce = os.urandom(NONCE)
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


def _cipher(key: bytes) -> "AESGCM":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ConfigError(
            "key_file needs cryptography, got none; pip install 'ferlab[encryption]', or leave it out"
        ) from error
    return AESGCM(key)
