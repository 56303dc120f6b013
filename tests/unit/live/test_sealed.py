import sys

import pytest

from ferlab.errors import ConfigError, DataError
from ferlab.live.sealed import MAGIC, is_sealed, seal, unseal


def test_what_is_sealed_comes_back_and_hides() -> None:
    key = bytes(range(32))
    for content in (b"", b"\x00\xff a secret"):
        sealed = seal(content, key)
        assert unseal(sealed, key) == content
        assert is_sealed(sealed)
        assert b"secret" not in sealed
    assert seal(b"a", key) != seal(b"a", key)


def test_every_change_and_another_key_is_one_line() -> None:
    key, other = bytes(32), b"\x01" + bytes(31)
    sealed = seal(b"secret", key)
    changed = [sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(len(sealed))]
    for content in (*changed, sealed[:-1], sealed + b"\0", b"", MAGIC, MAGIC + b"short", b"{}"):
        with pytest.raises(DataError, match="must be sealed with this key"):
            unseal(content, key)
    with pytest.raises(DataError, match="got another key or changed content"):
        unseal(sealed, other)


def test_without_cryptography_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ConfigError, match=r"pip install 'ferlab\[encryption\]'"):
        seal(b"", bytes(32))
