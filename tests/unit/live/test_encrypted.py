import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ferlab.errors import ConfigError, DataError
from ferlab.live.encrypted import MAGIC, SALT, SEALED, Sealed, session_key, unseal

KEY, OTHER = bytes(range(32)), bytes(32)
WRITTEN = {"frames.jsonl": b"one\ntwo\n", "crops/anger/1.png": b"\x00face", "empty": b""}
HEAD = len(MAGIC) + SALT


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A folder with an encrypted session of five parts beside the first and the last."""
    with Sealed(tmp_path / "s", KEY) as store:
        store.add("frames.jsonl", b"one\n")
        store.put("crops/anger/1.png", b"\x00face")
        store.add("frames.jsonl", b"two\n")
        store.add("empty", b"")
    return tmp_path / "s"


def split(content: bytes) -> list[bytes]:
    """The parts of a file, each with its length, and what is before them."""
    found, place = [content[:HEAD]], HEAD
    while place < len(content):
        end = place + 4 + int.from_bytes(content[place : place + 4])
        found.append(content[place:end])
        place = end
    return found


def test_what_was_written_comes_back_and_nothing_shows(sealed: Path, tmp_path: Path) -> None:
    assert unseal(sealed, KEY, tmp_path / "out") == 3
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in files} == WRITTEN
    content = (sealed / SEALED).read_bytes()
    assert not any(word in content for word in (b"one", b"two", b"face", b"anger", b"frames"))
    assert [path.name for path in sealed.iterdir()] == [SEALED]
    with pytest.raises(ConfigError, match=r"out must be a new folder, got .*out, which is there"):
        unseal(sealed, KEY, tmp_path / "out")


def test_two_sessions_of_one_key_share_nothing(tmp_path: Path) -> None:
    for name in "ab":
        with Sealed(tmp_path / name, KEY) as store:
            store.add("frames.jsonl", b"the same\n")
    first, second = (split((tmp_path / name / SEALED).read_bytes()) for name in "ab")
    assert len(first) == len(second) == 4
    assert all(one[4:] != other[4:] for one, other in zip(first[1:], second[1:], strict=True))


def test_another_key_is_said_and_leaves_nothing(sealed: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"key must be the one that .* was written with, got another") as error:
        unseal(sealed, OTHER, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]


def test_every_byte_counts(sealed: Path, tmp_path: Path) -> None:
    content = (sealed / SEALED).read_bytes()
    for place in range(0, len(content), 3):
        (sealed / SEALED).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DataError) as error:
            unseal(sealed, KEY, tmp_path / f"out{place}")
        kept = tmp_path / f"out{place}" / "frames.jsonl"
        assert not kept.exists() or (
            "ends after" in str(error.value) and WRITTEN[kept.name].startswith(kept.read_bytes())
        )


def test_parts_that_are_exchanged_doubled_left_out_or_added_are_found(sealed: Path, tmp_path: Path) -> None:
    head, *parts = split((sealed / SEALED).read_bytes())
    assert len(parts) == 6
    with Sealed(tmp_path / "t", KEY) as store:
        store.add("frames.jsonl", b"one\n")
    foreign = split((tmp_path / "t" / SEALED).read_bytes())[1:]
    for wrong in (
        [parts[0], parts[2], parts[1], *parts[3:]],
        [*parts[:2], parts[1], *parts[2:]],
        [*parts[:1], *parts[2:]],
        [parts[0], foreign[1], *parts[2:]],
        [*parts, b"\x00"],
        [*parts[:2], parts[-1]],
    ):
        (sealed / SEALED).write_bytes(head + b"".join(wrong))
        with pytest.raises(
            DataError, match=r"got another part \d: it was damaged or changed; nothing of it was written"
        ):
            unseal(sealed, KEY, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_file_that_is_cut_gives_all_whole_parts_and_says_so(sealed: Path, tmp_path: Path) -> None:
    content = (sealed / SEALED).read_bytes()
    head, *parts = split(content)
    for number in range(1, len(parts) + 1):
        whole = len(head) + sum(map(len, parts[:number]))
        for end in {whole, whole + 1, whole + 5} if number < len(parts) else set():
            (sealed / SEALED).write_bytes(content[:end])
            out = tmp_path / f"out{end}"
            with pytest.raises(DataError, match=f"ends after {number} whole parts, before its end") as error:
                unseal(sealed, KEY, out)
            assert "\n" not in str(error.value)
            expected = b"one\ntwo\n" if number >= 4 else b"one\n" if number >= 2 else None
            assert ((out / "frames.jsonl").read_bytes() if number >= 2 else None) == expected
    (sealed / SEALED).write_bytes(content[: HEAD - 1])
    with pytest.raises(DataError, match="must be an encrypted session, got another file"):
        unseal(sealed, KEY, tmp_path / "out")
    with pytest.raises(DataError, match=r"session must be a folder with session\.sealed, got .*nowhere"):
        unseal(tmp_path / "nowhere", KEY, tmp_path / "out")


def test_a_name_leads_out_of_no_folder(tmp_path: Path) -> None:
    for number, name in enumerate(("../../evil", "/evil", "a\\..\\evil", "c:evil")):
        with Sealed(tmp_path / f"{number}", KEY) as store:
            store.add(name, b"x")
        with pytest.raises(DataError, match="must hold files of a session"):
            unseal(tmp_path / f"{number}", KEY, tmp_path / "out")
    assert not list(tmp_path.parent.glob("**/*evil*"))


KILLED = """
import os, signal, sys
from pathlib import Path
from ferlab.live.encrypted import Sealed
store = Sealed(Path(sys.argv[1]), bytes(range(32)))
for i in range(50):
    store.add("frames.jsonl", b"x" * 3000 + b" %d\\n" % i)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_all_is_there_after_kill_9(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "s")], check=False)
    with pytest.raises(DataError, match="ends after 51 whole parts"):
        unseal(tmp_path / "s", KEY, tmp_path / "out")
    lines = (tmp_path / "out" / "frames.jsonl").read_text().splitlines()
    assert [line.split()[1] for line in lines] == [str(i) for i in range(50)]


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on files there")
def test_after_a_full_disk_no_number_is_used_again(tmp_path: Path) -> None:
    import resource

    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Sealed(tmp_path / "s", KEY) as store:
            store.add("a", b"first")
            size = (tmp_path / "s" / SEALED).stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
            for content in (b"x" * 200, b"short"):
                with pytest.raises(OSError, match="space"):
                    store.add("a", content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / "s" / SEALED).stat().st_size == size
    with pytest.raises(DataError, match="ends after 2 whole parts"):
        unseal(tmp_path / "s", KEY, tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == b"first"


def test_a_key_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    told: list[str] = []
    key = session_key(tmp_path / "keys" / "mine", tmp_path / "s", told.append)
    assert len(key) == 32
    assert key != session_key(tmp_path / "keys" / "other", tmp_path / "s", told.append)
    assert "without it nobody can" in told[0]
    assert session_key(tmp_path / "keys" / "mine", tmp_path / "s", told.append) == key
    assert len(told) == 2
    with pytest.raises(ConfigError, match="must lie outside of the session that it locks"):
        session_key(tmp_path / "s" / "key", tmp_path / "s", told.append)


def test_nothing_stays_of_a_session_in_which_nothing_was_seen(tmp_path: Path) -> None:
    with Sealed(tmp_path / "s", KEY) as store:
        store.add("frames.jsonl", b"")
        store.discard()
    assert not (tmp_path / "s").exists()
