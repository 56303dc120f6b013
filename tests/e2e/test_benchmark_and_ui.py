"""`ferlab benchmark` and `ferlab ui`: that they measure and refuse what they say, not how fast anything is."""

import json
import signal
import socket
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from ferlab.benchmark import feeds, peak, train, turns
from ferlab.cli import main
from ferlab.training.fit import Fit

TINY = [
    "data=synthetic", "data.train=40", "data.validation=8", "data.test=8", "data.size=24", "model=small_resnet",
    "model.size=16", "model.options.width=4", "loss=cross_entropy", "trainer.batch_size=16", "trainer.threads=1",
    "tracker=none", "steps=3", "rounds=2",
]  # fmt: skip


pytestmark = pytest.mark.usefixtures("in_tmp")


def test_the_feeds_take_turns_on_the_same_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "feeds", *TINY, "augment=batched", "out=figures.json", "--debug"]) == 0
    figures = json.loads(Path("figures.json").read_text())
    rates = figures["images_per_s"]
    assert list(rates) == ["resident", "packed", "streamed, 0 workers", "streamed, 2 workers"]
    ratios = [a / b for a, b in zip(rates["packed"], rates["resident"], strict=True)]
    assert figures["of_resident"]["packed"]["most"] == pytest.approx(max(ratios))
    assert all(len(values) == 3 and min(values) > 50 for values in figures["memory_mb"].values())  # one of warming up
    assert "memory with 2 workers" in capsys.readouterr().out
    assert not Path("outputs").exists()


def test_feeds_differ_in_nothing_but_reading(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "feeds", *TINY, "augment=standard"]) == 2
    assert "needs an augmentation of batches, which all feeds take; use augment=batched" in capsys.readouterr().err


def test_feeds_say_where_they_cannot_measure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "ROLLUP", Path("nowhere"))
    assert main(["benchmark", "feeds", *TINY, "augment=batched"]) == 2
    said = capsys.readouterr().err
    assert "must run on Linux" in said
    assert said.count("\n") == 1


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Filled with a number for each process that is started."""
    found: list[int] = []
    start = BaseProcess.start

    def counted(process: BaseProcess) -> None:
        found.append(len(found))
        start(process)

    monkeypatch.setattr(BaseProcess, "start", counted)
    return found


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the device was waited for inside each epoch that ferlab trained."""
    found: list[int] = []
    calls: list[object] = []
    epoch = train.train_epoch

    def counted(run: Fit) -> bool:
        before = len(calls)
        done = epoch(run)
        found.append(len(calls) - before)
        return done

    for module in (train, turns):
        monkeypatch.setattr(module, "wait", calls.append)
    monkeypatch.setattr(train, "train_epoch", counted)
    return found


@pytest.fixture
def small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "SIDES", {"cpu": 64})
    monkeypatch.setattr(peak, "LONG_ENOUGH", 0.001)


BF16 = (["augment=batched", "trainer.precision=bf16-mixed"], "on batches", 0, "bfloat16", "channels_last")
F32 = (
    ["augment=standard", "trainer.precision=32-true", "trainer.channels_last=false", "trainer.workers=1"],
    "albumentations", 1, "float32", "NCHW",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # timm leaves its pictures to be collected
@pytest.mark.usefixtures("small_matrices")
@pytest.mark.parametrize(("words", "own", "workers", "dtype", "layout"), [BF16, F32])
def test_each_way_is_what_its_row_says(
    words: list[str],
    own: str,
    workers: int,
    dtype: str,
    layout: str,
    capsys: pytest.CaptureFixture[str],
    started: list[int],
    waits: list[int],
) -> None:
    assert main(["benchmark", "train", *TINY, *words, "out=figures.json", "--debug"]) == 0
    figures = json.loads(Path("figures.json").read_text())
    rows = [(way["name"], way["workers"], way["precision"], way["layout"]) for way in figures["ways"]]
    assert rows == [
        ("tutorial", 0, "float32", "NCHW"),
        ("tutorial", 2, "float32", "NCHW"),
        ("tutorial, tuned", 0, dtype, "channels_last"),
        ("tutorial, tuned", 2, dtype, "channels_last"),
        ("timm", 0, dtype, "channels_last"),
        ("timm", 2, dtype, "channels_last"),
        ("ferlab", workers, dtype, layout),
        ("its bound: one resident batch", 0, dtype, layout),
    ]
    assert figures["peak"]["dtype"] == dtype
    kinds = ["albumentations, standard"] * 4 + ["timm's default"] * 2 + [own, "done before"]
    assert [way["augmentation"] for way in figures["ways"]] == kinds
    assert len(started) == 3 * 2 + workers  # each is started once, for a look, warming up and two rounds
    assert set(waits[:-1]) == {0}  # a clock that waits for a GPU would slow what is timed
    assert waits[-1] > 0  # where the time goes comes from an epoch of its own
    assert set(figures["step_ms"]) == {"load", "augment", "forward", "backward", "optimizer"}
    assert figures["memory_mb"]["training"] >= 0
    assert not Path("outputs").exists()
    assert not Path("mlruns").exists()
    rates = [way["images_per_s"] for way in figures["ways"]]
    assert all(len(values) == 2 and min(values) > 0 for values in rates)
    # Each round against the fastest of the others in that round, whichever it was.
    ratios = [mine / max(others) for mine, others in zip(rates[6], zip(*rates[:6], strict=True), strict=True)]
    found = figures["ferlab_over"]["best_of_the_others"]
    assert (found["least"], found["most"]) == pytest.approx((min(ratios), max(ratios)))
    peak = figures["peak"]
    shares = [mine * peak["flops_an_image"] / top for mine, top in zip(rates[6], peak["flops_per_s"], strict=True)]
    assert peak["ferlab_share"]["most"] == pytest.approx(max(shares))
    out = capsys.readouterr().out
    assert out.index(f"{found['median']:.2f} times the best of the others") < out.index("tutorial, tuned  ")


def test_ui_needs_runs_and_a_free_port(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui"]) == 2
    assert "mlruns/mlflow.db" in capsys.readouterr().err
    Path("mlruns").mkdir()
    Path("mlruns/mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["ui", f"port={taken.getsockname()[1]}"]) == 2
    assert "port=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 0)],
    ids=["SIGTERM", "SIGHUP", "Ctrl-C"],
)
def test_ui_takes_its_server_and_the_servers_workers_with_it(number: signal.Signals, code: int) -> None:
    """The server here is a stand-in that has a worker, as MLflow's has, and says who both are."""
    Path("mlruns").mkdir()
    Path("mlruns/mlflow.db").touch()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stand_in = """
import os, signal, subprocess, sys, time
worker = subprocess.Popen(["sleep", "1000"])
print("pids", os.getpid(), worker.pid, flush=True)
time.sleep(1000)
"""
    code_of_ui = f"""
import signal, subprocess, sys
signal.signal({int(number)}, signal.SIG_DFL)  # whoever runs the tests may have it off, as nohup does
import ferlab.commands.ui
from ferlab.cli import main
popen = subprocess.Popen
subprocess.Popen = lambda command, **options: popen([sys.executable, "-c", {stand_in!r}], **options)
sys.exit(main(["ui", "port={port}"]))
"""
    process = subprocess.Popen([sys.executable, "-c", code_of_ui], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        pids = next(line for line in process.stdout if line.startswith("pids")).split()[1:]
        process.send_signal(number)
        try:
            assert process.wait(timeout=60) == code
        finally:
            process.kill()
    for pid in pids:
        status = Path(f"/proc/{pid}/status")
        assert not status.exists() or "State:\tZ" in status.read_text(), f"{pid} goes on"
