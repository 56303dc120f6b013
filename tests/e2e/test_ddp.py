"""Two processes train as one does, and the command runs under torchrun."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ferlab.cli import main
from ferlab.labels import FERPLUS
from ferlab.spec import ModelSpec

SCRIPT = Path(__file__).with_name("two_processes.py")
# 42 faces in steps of 8: the last step has one pair, so one process has none.
CONFIG = [
    "data=synthetic", "data.train=42", "data.validation=15", "data.test=1", "data.size=16", "model=small_resnet",
    "model.size=16", "augment=batched", "loss=cross_entropy", "optimizer=sgd",
    "trainer.batch_size=8", "trainer.epochs=2", "trainer.threads=1", "trainer.device=cpu",
    "trainer.precision=32-true", "tracker=none",
]  # fmt: skip
TORCHRUN = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


ACCUMULATED_TASKS = [
    "trainer.accumulate=2", "trainer.clip=0.1", "model.heads=[expression,affect]", "loss=multitask",
    "loss.uncertainty=true", "loss.affect.ccc=0", "augment.mix.mixup=0.4", "augment.mix.cutmix=1",
    "augment.mix.probability=0.5",
]  # fmt: skip
WAYS = {"plain": [], "accumulated, learned task weights, mixed": ACCUMULATED_TASKS, "taught": ["loss=distill"]}


def notes(folder: Path) -> tuple[dict, dict]:
    """The weights that a training ended with, and what was written down of it."""
    return torch.load(folder / "weights.pt", weights_only=True), json.loads((folder / "notes.json").read_text())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, teacher_for) -> tuple[Path, Path]:
    """Every way trained by one process and by two, each in a folder of its name."""
    teacher = f"teacher={teacher_for(ModelSpec(FERPLUS, size=16))}"
    made = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for launcher, folder in zip(([sys.executable, "-W", "ignore"], TORCHRUN), made, strict=True):
        trainings = {}
        for way, more in WAYS.items():
            (folder / way).mkdir()
            trainings[str(folder / way)] = [*CONFIG, *more, *([teacher] if way == "taught" else [])]
        done = subprocess.run([*launcher, str(SCRIPT), json.dumps(trainings)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    return made


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_are_one(way: str, folders: tuple[Path, Path]) -> None:
    (alone, one), (together, two) = (notes(folder / way) for folder in folders)
    for name in alone:  # after twelve steps of SGD with momentum, equal weights mean equal gradients
        torch.testing.assert_close(together[name], alone[name], rtol=1e-4, atol=1e-6)
    for found, processes in ((one, 1), (two, 2)):
        assert len(found["seen"]) == processes
        for epoch in range(2):
            rows = [
                row for seen in found["seen"] for row in seen[len(seen) // 2 * epoch : len(seen) // 2 * (epoch + 1)]
            ]
            assert sorted(rows) == list(range(42))
    for a, b in zip(one["epochs"], two["epochs"], strict=True):
        for name, value in a.items():
            if not name.startswith("time/"):
                assert b[name] == pytest.approx(value, rel=1e-4), name


def test_the_command_under_torchrun_writes_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*CONFIG, "model.options.width=4", "data.train=40"]  # batch statistics need two faces
    command = [*TORCHRUN, "-m", "ferlab", "train", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("epoch   1/2") == 1  # the first process speaks for both
    (folder,) = (tmp_path / "outputs").glob("*/*")
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 2
    assert (folder / "bundle" / "weights.safetensors").is_file()
    checkpoint = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    assert len(checkpoint["random"]) == 2
    # It goes on where it was, on as many processes, and on no other number.
    resume = ["train", f"resume={folder}"]
    assert main(resume) == 1
    assert "as many processes" in capsys.readouterr().err
    assert subprocess.run([*TORCHRUN, "-m", "ferlab", *resume], capture_output=True, cwd=tmp_path).returncode == 0
