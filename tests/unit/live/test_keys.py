import os
import sys
from pathlib import Path

import pytest

from ferlab.errors import ConfigError
from ferlab.live.keys import make_key, read_key


def test_a_key_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "my key"
    key = make_key(file)
    assert len(key) == 32
    assert make_key(file) == read_key(file) == key
    assert make_key(tmp_path / "other") != key
    if sys.platform != "win32":
        assert file.stat().st_mode & 0o777 == 0o600
        file.chmod(0o640)
        with pytest.raises(ConfigError, match=r"must be readable by you alone .mode 600., got 640; chmod 600"):
            read_key(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"), (b"", "must be one that ferlab made"), (b"no key", "must be one that ferlab made"),
        (b"ferlab-key-1:AAAA\n", "must be one that ferlab made"), (b"ferlab-key-1:?\n", "must be one that"),
        (b"\xff", "must be one that ferlab made"), (b"x" * 300, "more than 200"),
    ],
)  # fmt: skip
def test_what_is_no_key_is_said(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    with pytest.raises(ConfigError, match=f"the key .*{said}") as error:
        read_key(file)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on files there")
def test_a_full_disk_leaves_no_half_key(tmp_path: Path) -> None:
    import resource
    import signal

    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
        with pytest.raises(ConfigError, match="cannot write the key "):
            make_key(tmp_path / "key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert os.listdir(tmp_path) == []
