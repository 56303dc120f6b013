"""`ferlab benchmark` and `ferlab ui`: that they measure and refuse what they say, not how fast anything is."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ferlab.cli import main

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
    assert figures["of_resident"]["packed"]["max"] == pytest.approx(max(ratios))
    assert all(len(values) == 3 and min(values) > 50 for values in figures["memory_mb"].values())  # one of warming up
    assert "memory with 2 workers" in capsys.readouterr().out
    assert not Path("outputs").exists()


def test_feeds_differ_in_nothing_but_reading(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "feeds", *TINY, "augment=standard"]) == 2
    assert "needs an augmentation of batches, which all feeds take; use augment=batched" in capsys.readouterr().err


@pytest.mark.parametrize("augment", ["batched", "standard"])
def test_the_benchmark_times_every_way_and_part(augment: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "train", *TINY, f"augment={augment}", "out=figures.json", "--debug"]) == 0
    figures = json.loads(Path("figures.json").read_text())
    rates = figures["images_per_s"]
    assert list(rates) == [
        "end to end", "bound: one resident batch", "plain loop, 0 workers", "plain loop, 2 workers",
    ]  # fmt: skip
    assert all(len(values) == 2 and min(values) > 0 for values in rates.values())
    # The ratios are those of the same round, against the faster plain loop.
    of_the_bound = [a / b for a, b in zip(rates["end to end"], rates["bound: one resident batch"], strict=True)]
    assert figures["ratios"]["of the bound"]["min"] == pytest.approx(min(of_the_bound))
    assert set(figures["step_ms"]) == {"load", "augment", "forward", "backward", "optimizer"}
    # The parts of a step fill nearly all of its time, and are counted for the timed rounds alone.
    steps_ms = sum(1e3 * 48 / rate for rate in rates["end to end"]) / (2 * 3)
    assert 0.5 * steps_ms < sum(figures["step_ms"].values()) <= steps_ms
    assert figures["memory_mb"]["training"] >= 0
    assert not Path("outputs").exists()
    assert not Path("mlruns").exists()
    out = capsys.readouterr().out
    assert "of the bound" in out
    assert "tracking" in out


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
import subprocess, sys
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
        assert process.wait(timeout=60) == code
    for pid in pids:
        status = Path(f"/proc/{pid}/status")
        assert not status.exists() or "State:\tZ" in status.read_text(), f"{pid} goes on"
