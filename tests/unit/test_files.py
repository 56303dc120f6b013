import errno
import json
import os
import signal
import stat
import subprocess
import sys

import pytest

from ferlab import files
from ferlab.files import creating_folder, replacing, sweep, write_json, write_text


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fail_after_writing(path, error):
    path.write_text("half of the n")
    raise error


def killed_inside(body):
    """Run `body` in another process that is killed with no chance to tidy up."""
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def private():
    """A umask under which new files are nobody else's."""
    before = os.umask(0o077)
    yield
    os.umask(before)


# reading


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    """A FIFO that nobody writes to would be waited for without end."""
    os.mkfifo(tmp_path / "fifo")
    for path, said in (
        (tmp_path / "fifo", "no regular file"),
        (tmp_path, "a folder"),
        ("/dev/zero", "no regular file"),
    ):
        for read in (files.read_bytes, files.read_text, files.check_regular):
            with pytest.raises(OSError, match=said):
                read(path)
    with pytest.raises(FileNotFoundError):
        files.read_text(tmp_path / "nothing")


def test_a_document_has_an_end(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert files.read_bytes(tmp_path / "a", 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        files.read_bytes(tmp_path / "a", 4)


# replacing


def test_a_file_is_written_and_written_again(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    for text in ("first", "the second"):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
        assert names(path.parent) == ["a.txt"]


def test_text_is_utf8_without_a_change(tmp_path):
    write_text(tmp_path / "ä.txt", "Überraschung 驚き\n")
    assert (tmp_path / "ä.txt").read_bytes() == "Überraschung 驚き\n".encode()


def test_a_reader_sees_the_old_content_until_the_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent  # a rename is atomic within a file system only
        assert temporary.suffix == path.suffix  # writers choose a format by it
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_inside_leaves_the_old_content_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        fail_after_writing(temporary, error)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_an_error_at_the_end_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_content_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    """After a power cut the name must not stand for an empty file."""
    path, events = tmp_path / "a.txt", []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda d: (events.append(("fsync", os.fstat(d).st_size)), fsync(d)))
    monkeypatch.setattr(files.os, "replace", lambda a, b: (events.append(("replace", b)), replace(a, b)))
    write_text(path, "12345")
    assert events == [("fsync", 5), ("replace", path)]


def test_a_killed_writer_leaves_the_old_content(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    killed_inside(
        "import os, signal; from pathlib import Path; from ferlab.files import replacing\n"
        f"with replacing(Path({str(path)!r})) as temporary:\n"
        "    temporary.write_text('half of the n')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert path.read_text() == "old"
    write_text(path, "new")  # what the killed one left behind is in nobody's way
    assert path.read_text() == "new"


@pytest.mark.usefixtures("private")
def test_what_a_killed_writer_left_is_swept_and_what_one_writes_is_not(tmp_path):
    path = tmp_path / "model.onnx"
    killed_inside(
        "import os\nfrom pathlib import Path\nfrom ferlab.files import replacing\n"
        f"with replacing(Path({str(path)!r})) as temporary:\n"
        "    temporary.write_text('half')\n    os.kill(os.getpid(), 9)"
    )
    assert len(names(tmp_path)) == 1
    (tmp_path / ".other").write_text("not ours")
    with replacing(path) as temporary:
        temporary.write_text("being written")
        files.sweep(path)
        assert names(tmp_path) == sorted([".other", temporary.name])
    assert names(tmp_path) == [".other", "model.onnx"]


def test_others_may_read_a_file_and_a_folder(tmp_path):
    write_text(tmp_path / "a.txt", "text")
    assert mode(tmp_path / "a.txt") == 0o644
    with creating_folder(tmp_path / "folder"):
        pass
    assert mode(tmp_path / "folder") == 0o755


def test_a_file_in_the_making_is_nobody_elses(tmp_path):
    with replacing(tmp_path / "a.txt") as temporary:
        assert mode(temporary) == 0o600
    with creating_folder(tmp_path / "folder") as temporary:
        assert mode(temporary) == 0o700


def test_a_name_that_is_a_folder_stays_one(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path / "a", "text")
    assert names(tmp_path) == ["a"]


# write_json


def test_json_reads_back_and_ends_with_a_line(tmp_path):
    value = {"accuracy": 0.7, "labels": ["anger", "fear"], "none": None}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == value
    assert text.endswith("}\n")
    assert '\n  "accuracy"' in text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_cannot_say_leaves_the_old_content(tmp_path, value):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, {"new": value})
    assert json.loads(path.read_text()) == {"old": 1}
    assert names(tmp_path) == ["a.json"]


# creating_folder


@pytest.fixture
def folder(tmp_path):
    """A folder with old content, alone in another one."""
    path = tmp_path / "outer" / "bundle"
    path.mkdir(parents=True)
    (path / "old.txt").write_text("old")
    return path


def test_a_folder_is_created_with_its_parents(tmp_path):
    path = tmp_path / "new" / "bundle.v1"
    with creating_folder(path) as temporary:
        (temporary / "a.txt").write_text("a")
        (temporary / "inner").mkdir()
        assert not path.exists()
        assert temporary.parent == path.parent
    assert names(path) == ["a.txt", "inner"]
    assert names(path.parent) == ["bundle.v1"]


def test_an_older_folder_is_replaced_as_a_whole(folder):
    with creating_folder(folder) as temporary:
        (temporary / "new.txt").write_text("new")
        assert names(folder) == ["old.txt"]
    assert names(folder) == ["new.txt"]
    assert names(folder.parent) == ["bundle"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_inside_leaves_the_old_folder_and_nothing_else(folder, error):
    with pytest.raises(error), creating_folder(folder) as temporary:
        fail_after_writing(temporary / "new.txt", error)
    assert names(folder) == ["old.txt"]
    assert names(folder.parent) == ["bundle"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_rename_that_fails_leaves_the_old_folder_and_nothing_else(folder, monkeypatch, failing):
    """The first moves the old one aside, the second puts the new one there: then the old one must come back."""
    rename, calls = os.rename, []

    def fail(source, target):
        calls.append(source)
        if len(calls) == failing:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(files.os, "rename", fail)
    with pytest.raises(OSError, match="Input/output error"), creating_folder(folder) as temporary:
        (temporary / "new.txt").write_text("new")
    assert names(folder) == ["old.txt"]
    assert names(folder.parent) == ["bundle"]


@pytest.mark.parametrize("place", ["inside", "after the old one was moved aside", "before it is tidied up"])
def test_a_killed_writer_loses_nothing_and_is_in_nobodys_way(folder, place):
    point = {
        "inside": "    os.kill(os.getpid(), 9)",
        "after the old one was moved aside": (
            "    rename = os.rename\n    os.rename = lambda a, b: (rename(a, b), os.kill(os.getpid(), 9))"
        ),
        "before it is tidied up": "    import shutil\n    shutil.rmtree = lambda *a, **k: os.kill(os.getpid(), 9)",
    }
    killed_inside(
        "import os; from pathlib import Path; from ferlab.files import creating_folder\n"
        f"with creating_folder(Path({str(folder)!r})) as temporary:\n"
        "    (temporary / 'new.txt').write_text('new')\n" + point[place]
    )
    if place == "inside":
        assert names(folder) == ["old.txt"]
    whole = [path for path in folder.parent.iterdir() if (path / "old.txt").exists()]
    assert len(whole) == 1  # under its name, or set aside beside it
    with creating_folder(folder) as temporary:
        (temporary / "newer.txt").write_text("newer")
    assert names(folder) == ["newer.txt"]


def test_two_writers_of_a_folder_do_not_get_in_each_others_way(folder):
    with creating_folder(folder) as first, creating_folder(folder) as second:
        assert first != second
        (first / "first.txt").write_text("1")
        (second / "second.txt").write_text("2")
    assert names(folder) == ["first.txt"]  # the one that finished last
    assert names(folder.parent) == ["bundle"]


KILLED = """
import os, sys
from pathlib import Path
from ferlab import files
rename, renames = os.rename, 0
def dying(old, new):
    global renames
    renames += 1
    if renames == int(sys.argv[3]):
        os.kill(os.getpid(), 9)
    rename(old, new)
os.rename = dying
os.replace = lambda *_: os.kill(os.getpid(), 9)
path = Path(sys.argv[1])
with files.creating_folder(path) if sys.argv[2] == "folder" else files.replacing(path) as temporary:
    ((temporary / "a") if sys.argv[2] == "folder" else temporary).write_text("new")
"""


@pytest.mark.parametrize(("kind", "at"), [("file", 0), ("folder", 1), ("folder", 2)])
def test_what_a_killed_process_left_is_cleared_and_the_old_one_is_there(tmp_path, kind, at):
    """The second rename of a folder is the worst moment: the old one is away, and the new one is not there yet."""
    path, other = tmp_path / "bundle", tmp_path / ".bundles.x"
    inside = path / "a" if kind == "folder" else path
    inside.parent.mkdir(exist_ok=True)
    inside.write_text("old")
    other.write_text("of something else")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), kind, str(at)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) > 2, "nothing was left: the test tests nothing"
    sweep(path)
    assert sorted(tmp_path.iterdir()) == [other, path]
    assert inside.read_text() == "old"


@pytest.mark.parametrize("write", [replacing, creating_folder])
def test_a_write_that_fails_leaves_no_folder_that_it_made(tmp_path, write):
    (tmp_path / "there").mkdir()
    for path in (tmp_path / "new" / "er" / "file", tmp_path / "there" / "file"):
        with pytest.raises(KeyboardInterrupt), write(path):
            raise KeyboardInterrupt
    assert [each.name for each in tmp_path.rglob("*")] == ["there"]
