import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ferlab.data.cache import cached
from ferlab.errors import DataError


def parse_as(value):
    return lambda: {"a": np.full((4, 3), value, np.uint8), "b": np.arange(5)}


def never():
    raise AssertionError("parsed again")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "faces.csv"
    path.write_text("some faces")
    return path


def test_the_second_time_comes_from_disk_memory_mapped(file):
    first = cached("kind", 1, file, parse_as(7))
    second = cached("kind", 1, file, never)
    for arrays in (first, second):
        assert sorted(arrays) == ["a", "b"]
        assert isinstance(arrays["a"], np.memmap)
        np.testing.assert_array_equal(arrays["a"], np.full((4, 3), 7, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        second["a"][0, 0] = 1


def test_the_key_is_the_content_and_not_the_name_or_the_age(file, tmp_path):
    cached("kind", 1, file, parse_as(1))
    other = tmp_path / "elsewhere" / "other.csv"
    other.parent.mkdir()
    other.write_bytes(file.read_bytes())
    assert cached("kind", 1, other, never)["a"][0, 0] == 1
    age = file.stat()
    file.write_text("some_faces")  # as long as before
    os.utime(file, ns=(age.st_atime_ns, age.st_mtime_ns))
    assert cached("kind", 1, file, parse_as(2))["a"][0, 0] == 2


def test_the_key_of_a_folder_is_its_listing(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    for name in ("a.npy", "b.npy"):
        (folder / name).write_text("12")
    cached("kind", 1, folder, parse_as(0))
    assert cached("kind", 1, folder, never)["a"][0, 0] == 0

    def later():
        status = (folder / "a.npy").stat()
        os.utime(folder / "a.npy", ns=(status.st_atime_ns, status.st_mtime_ns + 1))

    changes = [
        later,
        lambda: (folder / "a.npy").write_text("123"),
        lambda: (folder / "c.npy").write_text("12"),
        lambda: (folder / "c.npy").rename(folder / "d.npy"),
        lambda: (folder / "b.npy").unlink(),
    ]
    for value, change in enumerate(changes, 1):
        change()
        assert cached("kind", 1, folder, parse_as(value))["a"][0, 0] == value
        assert cached("kind", 1, folder, never)["a"][0, 0] == value


def test_another_parser_or_version_parses_anew(file):
    cached("kind", 1, file, parse_as(1))
    assert cached("kind", 2, file, parse_as(2))["a"][0, 0] == 2
    assert cached("other", 1, file, parse_as(3))["a"][0, 0] == 3


def test_an_error_while_parsing_leaves_nothing(file, cache):
    def fail():
        raise DataError("bad row")

    with pytest.raises(DataError, match="bad row"):
        cached("kind", 1, file, fail)
    assert list(cache.iterdir()) == []
    assert cached("kind", 1, file, parse_as(5))["a"][0, 0] == 5


@pytest.mark.parametrize("keep", [0, 10, 100])
def test_a_truncated_array_is_an_error_that_says_what_to_delete(file, cache, keep):
    cached("kind", 1, file, lambda: {"a": np.arange(1000)})
    (array,) = cache.glob("kind-1-*/a.npy")
    array.write_bytes(array.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"damaged .*; delete that folder"):
        cached("kind", 1, file, never)


def flip(path):
    """Another last byte: of the values, not of the header, so that the array still loads."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: flip(folder / "a.npy"), r"a\.npy was changed"),
        (lambda folder: flip(folder / "b.npy"), r"b\.npy was changed"),
        (lambda folder: (folder / "b.npy").unlink(), r"b\.npy is missing"),
        (lambda folder: np.save(folder / "c.npy", np.zeros(3)), r"c\.npy was changed"),
        (lambda folder: (folder / "digests.json").unlink(), "No such file"),
        (lambda folder: (folder / "digests.json").write_text("[]"), "list"),
        (lambda folder: (folder / "digests.json").write_text("{"), "Expecting"),
    ],
)
def test_every_kind_of_damage_is_found(file, cache, damage, said):
    cached("kind", 1, file, parse_as(7))
    (folder,) = cache.glob("kind-1-*")
    damage(folder)
    with pytest.raises(
        DataError, match=rf"the cache in {folder} is damaged \(.*{said}.*\); delete that folder"
    ) as caught:
        cached("kind", 1, file, never)
    assert "\n" not in str(caught.value)


def test_what_a_killed_process_left_is_never_read(file, cache):
    """Killed after one of two arrays was written and while the next one is: the worst moment."""
    code = f"""
import sys, time, numpy as np
from pathlib import Path
import ferlab.data.cache as cache
save = np.save
def slow(path, array, **options):
    save(path, array, **options)
    print("written", flush=True)
    time.sleep(60)
np.save = slow
cache.cached("kind", 1, Path({str(file)!r}), lambda: {{"a": np.zeros((4, 3), np.uint8), "b": np.zeros(1)}})
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "written\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert list(cache.iterdir()), "the killed process wrote nothing: the test tests nothing"
    arrays = cached("kind", 1, file, parse_as(9))
    assert sorted(arrays) == ["a", "b"]
    assert (arrays["a"] == 9).all()


def parse_together(file, barrier, results):
    def parse():
        barrier.wait()  # both have found no cache, and neither has written one
        return {f"a{i}": np.full(10, i) for i in range(20)}

    try:
        arrays = cached("kind", 1, file, parse)
        time.sleep(0.2)  # the other one may be renaming its folder now
        results.put(sorted((name, int(array.sum())) for name, array in arrays.items()))
    except BaseException as error:
        results.put(repr(error))


def test_two_processes_that_parse_at_once_both_succeed(file, cache):
    context = multiprocessing.get_context("spawn")  # the test runner has threads, which fork does not survive
    barrier, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=parse_together, args=(file, barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    answers = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert answers == [[(f"a{i}", 10 * i) for i in sorted(range(20), key=str)]] * 2
    assert [p.name.startswith("kind-1-") for p in cache.iterdir()] == [True]


def test_the_first_of_two_caches_stays(file, cache):
    """A reader between another process's check and its rename must find its folder whole all the time."""

    def parse():
        cached("kind", 1, file, parse_as(1))  # another process was faster
        (folder,) = cache.glob("kind-1-*")
        stayed.append(folder.stat().st_ino)
        return parse_as(1)()

    stayed = []
    cached("kind", 1, file, parse)
    (folder,) = cache.iterdir()
    assert [folder.stat().st_ino] == stayed


def test_a_full_disk_is_one_sentence_and_leaves_no_broken_cache(file, cache):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        with pytest.raises(DataError, match=r"cannot write the cache of .*: .*(written|too large); free some space"):
            cached("kind", 1, file, lambda: {"a": np.zeros(1000, np.uint8), "b": np.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, previous)
    assert list(cache.iterdir()) == []
    assert cached("kind", 1, file, parse_as(3))["a"][0, 0] == 3
