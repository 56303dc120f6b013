import os
import sys
from pathlib import Path

import pytest

from ferlab.errors import ConfigError, DataError
from ferlab.live.sealed import KEY, MAGIC, is_sealed, make_key, read_key, seal, unseal


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


def test_a_key_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "my key"
    key = make_key(file)
    assert len(key) == KEY
    assert make_key(file) == read_key(file) == key
    assert make_key(tmp_path / "other") != key
    if sys.platform != "win32":
        assert file.stat().st_mode & 0o777 == 0o600
        file.chmod(0o640)
        with pytest.raises(ConfigError, match=r"must be readable by its owner alone.*chmod 600"):
            read_key(file)


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"", "got 0"), (b"x" * 33, "more than 32")])
def test_what_is_no_key_is_said(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    with pytest.raises(ConfigError, match=f"key_file=.*{said}"):
        read_key(file)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on files there")
def test_a_full_disk_leaves_no_half_key(tmp_path: Path) -> None:
    import resource
    import signal

    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
        with pytest.raises(ConfigError, match="cannot write key_file="):
            make_key(tmp_path / "key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert os.listdir(tmp_path) == []


def test_without_cryptography_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ConfigError, match=r"pip install 'ferlab\[encryption\]'"):
        seal(b"", bytes(32))
