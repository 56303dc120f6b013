"""The arithmetic of `ferlab benchmark export`, and the process that it times a model in."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ferlab.benchmark import stopwatch
from ferlab.benchmark.export import EAGER, Candidate, Plan, best, measure, rows, visit
from ferlab.bundle import Bundle, save_bundle
from ferlab.errors import ConfigError, ExportError
from ferlab.evaluation.parity import Pair, Parity
from ferlab.formats import FORMATS
from ferlab.models import build
from ferlab.runner import Runner
from ferlab.spec import ModelSpec

SPEC = ModelSpec(("anger", "fear"), size=8)
ALIKE = Parity(300, 1e-6, 1.0, Pair(0.8, 0.8), None)
LOSSY = Parity(300, 0.2, 0.98, Pair(0.8, 0.797), None)


def reply(*p50_ms, peak_mb=100.0):
    """What the stopwatch says of batches 1, 4, … in one round."""
    batches = [
        {"batch": 4**i, "calls": 10, "p50_ms": ms, "p95_ms": 2 * ms, "images_per_s": 900 / ms, "peak_mb": peak_mb}
        for i, ms in enumerate(p50_ms)
    ]
    return {"start_ms": 50.0, "load_ms": 5.0, "base_mb": 40.0, "runtime": {"r": "1"}, "batches": batches}


def candidate(name, parity=ALIKE, faults=()):
    return Candidate(name, Path(name), 1000, False, parity, faults)


def table(times, batches=(1,)):
    """Rows from name, threads -> the median ms of each round, or for several batches a tuple of them."""
    replies = {
        key: [reply(*(each if isinstance(each, tuple) else (each,))) for each in rounds]
        for key, rounds in times.items()
    }
    threads = tuple(sorted({number for _, number in times}))
    return rows(replies, Plan(threads, batches, len(next(iter(times.values()))), 1.0))


# arithmetic


def test_a_row_holds_medians_over_the_rounds_and_ratios_round_by_round():
    eager, file = [8.0, 10.0, 30.0], [2.0, 5.0, 3.0]
    found = table({(EAGER, 1): eager, ("onnx", 1): file})[1]
    assert (found.p50_ms, found.p95_ms, found.images_per_s) == (3.0, 6.0, 300.0)
    # 8/2, 10/5, 30/3: not the ratio of the medians, 10/3
    times = found.times_eager
    assert (times.median, times.least, times.most) == (4.0, 2.0, 10.0)
    assert found.calls == 30
    assert found.rounds == (450.0, 180.0, 300.0)


def test_batches_are_rows_of_their_own():
    found = table({(EAGER, 1): [(4.0, 20.0)], ("onnx", 1): [(2.0, 5.0)]}, batches=(1, 4))
    assert [(row.name, row.batch, row.times_eager.median) for row in found] == [
        (EAGER, 1, 1.0), (EAGER, 4, 1.0), ("onnx", 1, 2.0), ("onnx", 4, 4.0),
    ]  # fmt: skip


def test_everything_is_compared_with_torch_at_its_best_number_of_threads():
    found = table({(EAGER, 1): [6.0], (EAGER, 2): [60.0], ("onnx", 1): [3.0], ("onnx", 2): [2.0]})
    assert [row.times_eager.median for row in found] == pytest.approx([1, 0.1, 2, 3])


def test_memory_is_the_most_of_any_round_and_unknown_where_unmeasured():
    plan = Plan((1,), (1,), 2, 1.0)
    known = rows({(EAGER, 1): [reply(1.0, peak_mb=70.0), reply(1.0, peak_mb=90.0)]}, plan)
    assert known[0].peak_mb == 90
    assert rows({(EAGER, 1): [reply(1.0, peak_mb=None)] * 2}, plan)[0].peak_mb is None


# the choice


def test_the_fastest_with_one_face_is_best_whatever_larger_batches_say():
    found = table({(EAGER, 1): [(9.0, 9.0)], ("onnx", 1): [(3.0, 4.0)], ("b", 1): [(2.0, 8.0)]}, batches=(1, 4))
    assert best(found, [candidate(EAGER), candidate("onnx"), candidate("b")]).row.name == "b"


def test_a_median_that_hides_how_uneven_the_calls_were_does_not_win():
    uneven = reply(1.0)
    uneven["batches"][0]["images_per_s"] = 200.0
    found = rows({(EAGER, 1): [reply(9.0)], ("a", 1): [uneven], ("b", 1): [reply(3.0)]}, Plan((1,), (1,), 1, 1.0))
    assert [row.times_eager.median for row in found] == [1.0, 2.0, 3.0]
    assert best(found, [candidate(name) for name in (EAGER, "a", "b")]).row.name == "b"


def test_a_file_beyond_its_tolerance_is_never_best():
    times = {(EAGER, 1): [9.0], ("onnx", 1): [3.0], ("wrong", 1): [0.1]}
    others = [candidate(EAGER), candidate("onnx"), candidate("wrong", LOSSY, ("accuracy lost 3 points",))]
    choice = best(table(times), others)
    assert choice.row.name == "onnx"
    assert "wrong" not in choice.close
    assert best(table(times), [others[0], candidate("onnx", LOSSY, ("a",)), others[2]]).row.name == EAGER


def test_torch_itself_is_best_where_no_file_is_faster():
    found = table({(EAGER, 1): [2.0], ("onnx", 1): [3.0]})
    assert best(found, [candidate(EAGER), candidate("onnx")]).row.name == EAGER


def test_the_best_that_loses_nothing_is_another_one():
    found = table({(EAGER, 1): [9.0], ("onnx", 1): [3.0], ("onnx_int8", 1): [1.0]})
    models = [candidate(EAGER), candidate("onnx"), candidate("onnx_int8", LOSSY)]
    assert best(found, models).row.name == "onnx_int8"
    assert best(found, models, same_answers=True).row.name == "onnx"


def test_what_won_a_round_is_too_close_to_call():
    found = table({(EAGER, 1): [9.0] * 3, ("a", 1): [2.0, 2.0, 2.0], ("b", 1): [3.0, 1.9, 3.0], ("c", 1): [2.1] * 3})
    choice = best(found, [candidate(name) for name in (EAGER, "a", "b", "c")])
    assert (choice.row.name, choice.close) == ("a", ("b",))


@pytest.mark.parametrize(("two", "threads"), [([1.0, 1.0, 2.5], 1), ([1.0, 1.0, 1.9], 2)])
def test_a_second_thread_must_pay_in_every_round(two, threads):
    found = table({(EAGER, 1): [9.0] * 3, (EAGER, 2): [9.0] * 3, ("a", 1): [2.0] * 3, ("a", 2): two})
    assert best(found, [candidate(EAGER), candidate("a")]).row.threads == threads


@pytest.mark.parametrize(("file", "faults"), [(0.87995, 0), (0.8797, 1)])
def test_a_rounding_of_the_ccc_is_no_loss(file, faults):
    found = Parity(300, 1e-6, None, None, Pair(0.88, file)).faults(FORMATS["onnx"].tolerance)
    assert [fault.split()[0] for fault in found] == ["CCC"] * faults


# the process


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A tiny bundle's folder, and a file of faces for it."""
    folder = tmp_path_factory.mktemp("small")
    model = {"name": "custom_cnn", "options": {"widths": [2], "hidden": 4, "dropout": 0.0}}
    save_bundle(Bundle(SPEC, model, build(SPEC, **model).eval(), {}), folder / "bundle", {}, "")
    np.save(folder / "faces.npy", np.random.default_rng(0).integers(0, 256, (7, 1, 8, 8), dtype=np.uint8))
    return folder


class Echo(Runner):
    """Notes how many faces each call had, and which came first."""

    def __init__(self):
        self.spec, self.model, self.provenance, self.path, self.seen = SPEC, {}, {}, None, []

    def logits(self, images):
        self.seen.append(images[:, 0, 0, 0].tolist())
        return {"expression": np.zeros((len(images), 2), np.float32)}


def numbered(n):
    return np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 1, 8, 8))


@pytest.mark.parametrize(
    ("faces", "batch", "first"),
    [(5, 2, [[0, 1], [2, 3], [0, 1]]), (3, 1, [[0], [1], [2]]), (2, 5, [[0, 1, 0, 1, 0]] * 3)],
)
def test_every_call_has_as_many_faces_as_it_says(faces, batch, first):
    runner = Echo()
    found = stopwatch.time_calls(runner, numbered(faces), batch, seconds=1e-9)
    assert runner.seen[:3] == first
    assert {len(each) for each in runner.seen} == {batch}
    assert (found["calls"], len(runner.seen)) == (stopwatch.FEWEST, stopwatch.FEWEST + stopwatch.WARM_UP)
    assert 0 < found["p50_ms"] <= found["p95_ms"]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_of_the_process_that_starts_it_does_not_count():
    ballast = np.ones(2**28, np.uint8)
    code = "from ferlab.provenance import peak_mb; print(peak_mb())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 150 < ballast.nbytes / 2**20


def test_what_a_runtime_prints_does_not_spoil_the_reply():
    code = (
        "import os\nfrom ferlab.benchmark import stopwatch\n"
        "def measure(**request):\n    print('noise')\n    os.system('echo noise')\n    return request\n"
        "stopwatch.measure = measure\nstopwatch.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], input='{"a": 1}', capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"a": 1}
    assert done.stderr.count("noise") == 2


def test_a_file_that_cannot_be_opened_is_said_in_one_line(small, tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(ExportError, match=r"model\.onnx must be a whole file that ferlab exported") as caught:
        visit(tmp_path / "model.onnx", 1, small / "faces.npy", Plan((1,), (1,), 1, 0.01))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ("kill -9 $$", "its process was ended by SIGKILL"),
        ("echo 'first\nlast  words' >&2; exit 3", "last words"),
        ("exit 3", "exit code 3"),
    ],
)
def test_a_process_that_dies_is_said_in_one_line(ends, said, small, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat > /dev/null\n{ends}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ExportError, match=f"bundle with 2 threads could not be measured: {said};") as caught:
        visit(small / "bundle", 2, small / "faces.npy", Plan((2,), (1,), 1, 0.01))
    assert "\n" not in str(caught.value)


def test_models_take_turns_one_process_at_a_time(monkeypatch):
    order, counted = [], []

    def stand_in(path, threads, faces, plan):
        assert np.load(faces).shape == (4, 1, 8, 8)
        order.append((path.name, threads))
        return reply(float(len(order)))

    monkeypatch.setattr("ferlab.benchmark.export.visit", stand_in)
    watch = lambda starts: (counted.append(i) or i for i in starts)  # noqa: E731
    replies = measure([candidate("a"), candidate("b")], Plan((1, 2), (1,), 2, 1.0), numbered(4), watch)
    assert order == [("a", 1), ("a", 2), ("b", 1), ("b", 2)] * 2
    assert counted == list(range(8))
    assert [each["batches"][0]["p50_ms"] for each in replies["b", 1]] == [3.0, 7.0]


# what the command refuses


@pytest.mark.parametrize("exports", [3, [], [1], [""], {"a": 1}])
def test_exports_must_be_paths(exports):
    from ferlab.commands.benchmark import find

    with pytest.raises(ConfigError, match="exports must be files or folders of ferlab export"):
        find(exports)


def test_a_folder_gives_its_finished_files_by_name(tmp_path):
    from ferlab.commands.benchmark import find

    for name in ("b.onnx", "a.onnx", ".a.onnx.x1.onnx", "spec.json"):
        (tmp_path / name).touch()
    assert find([str(tmp_path), str(tmp_path / "b.onnx")]) == [tmp_path / n for n in ("a.onnx", "b.onnx", "b.onnx")]
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nowhere"):
        with pytest.raises(ExportError, match=f"got none in .*{name}; run ferlab export"):
            find(str(tmp_path / name))
