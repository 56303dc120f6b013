"""`ferlab train` as a user runs it: what a run leaves, and that nothing which happens to it loses work."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

import ferlab
from ferlab.cli import main
from ferlab.data.hashes import face_hash
from ferlab.errors import TrainingError
from ferlab.evaluation.calibration import fit_temperature
from ferlab.evaluation.drift import Spread
from ferlab.evaluation.predictions import Predictions
from ferlab.training.folder import RunFolder
from ferlab.training.progress import ProgressView
from ferlab.training.state import FORMAT, load_checkpoint, save_checkpoint

from .forked import Forked

TINY = [
    "data=synthetic", "data.train=72", "data.validation=24", "data.test=8", "data.size=24", "model=small_resnet",
    "model.size=16", "model.options.width=4", "loss=cross_entropy", "optimizer=sgd", "trainer.batch_size=16",
    "trainer.epochs=3", "trainer.threads=1", "tracker=none",
]  # fmt: skip
# Every part that has a state: dropout, moving average, mixing, albumentations, weighted sampler, plateau, clipping, and
# the learned weights of two tasks.
STATEFUL = [
    *TINY, "augment=strong", "trainer.ema=0.9", "trainer.sampler=weighted", "trainer.clip=1", "scheduler=plateau",
    "trainer.freeze_epochs=1", "trainer.accumulate=2", "optimizer=adamw", "model.heads=[expression,affect]",
    "loss=multitask", "loss.uncertainty=true",
]  # fmt: skip


pytestmark = pytest.mark.usefixtures("in_tmp")


def run(*arguments: str) -> RunFolder:
    assert main(["train", *arguments, "--debug"]) == 0
    return newest()


def newest() -> RunFolder:
    return RunFolder(max(Path("outputs").glob("*/*"), key=lambda path: path.stat().st_mtime_ns))


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(folder.checkpoint, weights_only=True)
    return checkpoint["net"] | checkpoint["loss"]


def numbers(folder: RunFolder) -> list[dict[str, float]]:
    """The metrics of every epoch, without the times."""
    rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


def assert_same(first: RunFolder, second: RunFolder) -> None:
    assert numbers(first) == numbers(second)
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    for name in ("weights.safetensors", "label_map.json"):  # equal trainings give equal files
        assert (first.bundle / name).read_bytes() == (second.bundle / name).read_bytes()


def start(*arguments: str, code: str = "") -> Forked:
    """`ferlab train` in a process of its own, with `code` run before it."""
    return Forked("train", *arguments, code=code)


def test_a_run_leaves_what_it_promises(capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(*TINY)
    out = capsys.readouterr().out
    assert sorted(p.name for p in folder.bundle.iterdir()) == [
        "README.md",
        "label_map.json",
        "metrics.json",
        "past.bin",
        "spec.json",
        "weights.safetensors",
    ]
    assert "labels  neutral" in out
    assert f"run     {folder.path}" in out
    assert out.count("epoch   ") == 3
    record = folder.read_record()
    assert record["counts"] == {"train": 72, "validation": 24, "test": 8}
    assert {"commit", "environment", "data_digest", "spec_digest", "command", "licence", "seed"} <= record.keys()
    assert [row["epoch"] for row in numbers(folder)] == [1, 2, 3]


def test_the_bundle_is_the_best_epoch_and_answers_as_validation_did() -> None:
    folder = run(*TINY, "trainer.monitor=nll", "trainer.epochs=4", "optimizer.lr=0.3")
    best = min(numbers(folder), key=lambda row: row["validation/nll"])
    kept = json.loads((folder.bundle / "metrics.json").read_text())
    assert kept["epoch"] == best["epoch"]
    bundle = ferlab.load_bundle(folder.path)
    from ferlab.data.synthetic import synthetic

    split = synthetic(72, 24, 8, 24, 0).split("validation")
    answers = bundle.logits(np.stack([bundle.spec.prepare(split.read(i)) for i in range(24)]))["expression"]
    # Validation ran in the training precision, this in float32.
    accuracy = (answers.argmax(1) == split.labels).mean()
    assert abs(accuracy - best["validation/accuracy"]) <= 1 / 24
    assert np.trace(np.array(kept["confusion"])) / 24 == pytest.approx(best["validation/accuracy"])
    assert bundle.spec.temperature != 1
    assert bundle.spec.temperature == pytest.approx(fit_temperature(answers, split.labels), rel=0.1)


def test_same_seed_same_numbers_and_from_repeats_them(capsys: pytest.CaptureFixture[str]) -> None:
    first = run(*TINY)
    again = run("--from", str(first.path))
    assert_same(first, again)
    assert "numbers may differ" not in capsys.readouterr().out
    other = run("--from", str(first.path), "seed=1", "data.seed=1")
    assert numbers(other) != numbers(first)
    assert "data_digest was" in capsys.readouterr().out


@pytest.mark.parametrize("config", [TINY, STATEFUL], ids=["plain", "every stateful part"])
def test_stopped_in_the_middle_of_an_epoch_and_resumed_is_bit_equal(
    config: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(*config)
    steps = 0

    def interrupt(view: ProgressView, step: object) -> None:
        nonlocal steps
        steps += 1
        if steps == 8:  # the third of five steps in the second epoch
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(ProgressView, "step", interrupt)
        assert main(["train", *config]) == 130
    stopped = newest()
    assert stopped.path != whole.path
    assert f"ferlab train resume={stopped.path}" in capsys.readouterr().out
    position = torch.load(stopped.checkpoint, weights_only=True)["position"]
    assert (position["epoch"], position["step"]) == (1, 4)  # it finished the step after the request
    assert main(["train", f"resume={stopped.path}"]) == 0
    assert_same(whole, stopped)


def test_kill_9_in_the_middle_of_an_epoch_and_in_the_middle_of_a_save() -> None:
    whole = run(*TINY)
    in_an_epoch = """
import os
from ferlab.training.progress import ProgressView
steps = 0
def step(view, at):
    global steps
    steps += 1
    if steps == 8:
        os.kill(os.getpid(), 9)
ProgressView.step = step
"""
    in_a_save = """
import io, os, torch
save, saves = torch.save, 0
def broken(values, file):
    global saves
    saves += 1
    if saves == 3:
        buffer = io.BytesIO()
        save(values, buffer)
        file.write(buffer.getvalue()[:len(buffer.getvalue()) // 2])
        file.flush()
        os.kill(os.getpid(), 9)
    save(values, file)
torch.save = broken
"""
    for code, epochs in ((in_an_epoch, 1), (in_a_save, 2)):
        process = start(*TINY, code=code)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        killed = newest()
        assert torch.load(killed.checkpoint, weights_only=True)["position"]["epoch"] == epochs
        assert main(["train", f"resume={killed.path}"]) == 0
        assert_same(whole, killed)
        assert [path.name for path in killed.checkpoint.parent.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C with workers"])
def test_a_signal_saves_and_says_how_to_go_on(number: signal.Signals) -> None:
    process = start(*TINY, "trainer.epochs=500", "trainer.workers=1")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch   2"):
            # A terminal sends Ctrl-C to the workers as well.
            os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
            break
    rest = process.stdout.read()
    assert process.wait() == 128 + number
    assert "all is saved" in rest
    assert "Traceback" not in rest
    assert newest().checkpoint.is_file()
    process.stdout.close()


def test_nan_loss_stops_with_the_step_and_likely_causes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *TINY, "optimizer.lr=1e30", "trainer.precision=32-true"]) == 1
    error = capsys.readouterr().err
    assert "epoch 1, step " in error
    assert "optimizer.lr" in error
    assert error.count("\n") == 1


def test_full_disk_is_a_clear_error_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a small disk: {mounted.stderr.decode().strip()}")
    try:
        fill = f"""
import os
from ferlab.training import fit
train_epoch = fit.train_epoch
def filling(run):
    if run.state.position.epoch == 1:
        with open("{disk}/filler", "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
    return train_epoch(run)
fit.train_epoch = filling
"""
        process = start(*TINY, f"outputs={disk}/outputs", "trainer.monitor=nll", code=fill)
        out = process.communicate()[0]
        folder = RunFolder(next((disk / "outputs").glob("*/*")))
        assert process.returncode == 1, out
        assert "no space left" in out.splitlines()[-1].lower()
        assert "Traceback" not in out
        assert torch.load(folder.checkpoint, weights_only=True)["position"]["epoch"] == 1
        (disk / "filler").unlink()
        assert main(["train", f"resume={folder.path}"]) == 0
        assert len(numbers(folder)) == 3
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_checkpoint_with_a_flipped_bit_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(*TINY, "trainer.epochs=1")
    whole = folder.checkpoint.read_bytes()
    with zipfile.ZipFile(folder.checkpoint) as archive:
        parts = [entry for entry in archive.infolist() if entry.file_size]
    for entry in parts[:: len(parts) // 6]:
        lengths = whole[entry.header_offset + 26 : entry.header_offset + 30]  # of the name and of what stands behind it
        start = entry.header_offset + 30 + sum(int.from_bytes(lengths[i : i + 2], "little") for i in (0, 2))
        damaged = bytearray(whole)
        damaged[start + entry.file_size // 2] ^= 1
        folder.checkpoint.write_bytes(damaged)
        with pytest.raises(TrainingError, match="is not a whole checkpoint"):
            load_checkpoint(folder.checkpoint, torch.device("cpu"))
    assert main(["train", f"resume={folder.path}"]) == 1
    said = capsys.readouterr().err
    assert re.search(r"is not a whole checkpoint: \S+ in it is damaged, by its checksum; restore it", said), said
    assert said.count("\n") == 1
    folder.checkpoint.write_bytes(whole)
    assert main(["train", f"resume={folder.path}"]) == 0


def test_a_checkpoint_of_another_network_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(*TINY, "trainer.epochs=1")
    checkpoint = torch.load(folder.checkpoint, weights_only=True)
    for changed in (checkpoint | {"net": {}}, {k: v for k, v in checkpoint.items() if k != "best"}):
        torch.save(changed, folder.checkpoint)
        assert main(["train", f"resume={folder.path}"]) == 1
        assert re.search(
            r"the checkpoint must be this run's, got another's \(.*\); restore it", capsys.readouterr().err
        )


def test_two_processes_do_not_train_in_one_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """A fresh run holds its folder, and so does a resumed one; the system lets go of it at kill -9."""
    process = start(*TINY, "trainer.epochs=5000")
    for again in (False, True):
        with contextlib.ExitStack() as stack:
            stack.callback(process.communicate)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert any(line.startswith("epoch ") for line in process.stdout)
            folder = newest()
            before = folder.config.read_bytes()
            assert main(["train", f"resume={folder.path}"]) == 1
            said = capsys.readouterr().err
            busy = f"{folder.path} must be free, got another process that trains in it; wait for it, or stop it"
            assert said == f"ferlab: {busy}\n"
        assert folder.config.read_bytes() == before
        if not again:
            process = start(f"resume={folder.path}")


def test_a_full_disk_says_so_wherever_it_fills_up(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a small disk: {mounted.stderr.decode().strip()}")
    fabric = Fabric(accelerator="cpu", devices=1)

    class Saved:
        """Stands for a state of twenty tensors."""

        def __init__(self, value: float, size: int) -> None:
            self.fabric = fabric
            self.values = {str(i): torch.full((size,), value) for i in range(20)}

        def to_dict(self):
            return {"format": FORMAT, **self.values}

    path = disk / "run" / "checkpoints" / "last.pt"
    try:
        save_checkpoint(Saved(1.0, 1000), path)
        for size in (13_000, 20_000, 200_000):  # full at the end, in the middle, in the first tensor
            with pytest.raises(TrainingError) as caught:
                save_checkpoint(Saved(2.0, size), path)
            assert str(caught.value) == (
                f"cannot write the checkpoint {path}: no space left on the disk; the one before is intact: "
                f"free some space, then ferlab train resume={disk / 'run'}"
            )
            assert load_checkpoint(path, torch.device("cpu"))["3"][0] == 1
            assert [file.name for file in path.parent.iterdir()] == ["last.pt"]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)  # at once, whatever a failure keeps open


def test_early_stopping_leaves_the_best_bundle() -> None:
    folder = run(*TINY, "trainer.epochs=30", "trainer.patience=2", "optimizer.lr=1e-12", "scheduler=constant")
    assert len(numbers(folder)) == 3  # nothing improves on the first epoch


def test_resume_refuses_changes_and_strangers(capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(*TINY, "trainer.epochs=1")
    assert main(["train", f"resume={folder.path}", "seed=3"]) == 2
    assert "--from" in capsys.readouterr().err
    assert main(["train", f"resume={folder.path}", "--cfg"]) == 0
    assert "width: 4" in capsys.readouterr().out  # the run's config, not the default
    folder.checkpoint.write_bytes(folder.checkpoint.read_bytes()[:1000])
    assert main(["train", f"resume={folder.path}"]) == 1
    assert "not a whole checkpoint" in capsys.readouterr().err
    folder.checkpoint.unlink()
    assert main(["train", f"resume={folder.path}"]) == 1
    assert "no checkpoint" in capsys.readouterr().err
    assert main(["train", "resume=outputs/nothing"]) == 2
    assert "outputs/nothing" in capsys.readouterr().err


def test_resume_takes_keys_that_say_where_things_lie(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "write", "layout=imagefolder", "out=faces", "train=24", "validation=12", "test=0"]) == 0
    folder = run("data=imagefolder", "data.root=faces", *TINY[5:], "trainer.epochs=1")
    Path("faces").rename("moved")
    assert main(["train", f"resume={folder.path}"]) == 1
    assert "faces" in capsys.readouterr().err
    assert main(["train", f"resume={folder.path}", "data.root=moved", "trainer.threads=2", "tracker=none"]) == 0
    assert "data_digest was" not in capsys.readouterr().out


def test_a_run_that_ends_before_its_first_checkpoint_leaves_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: object) -> None:
        assert RunFolder(next(Path("outputs").glob("*/*"))).record.is_file()  # it was made
        raise TrainingError("the loss must be finite")

    monkeypatch.setattr("ferlab.training.run.fit", refuse)
    assert main(["train", *TINY]) == 1
    assert list(Path("outputs").iterdir()) == []


def test_a_checkpoint_with_code_in_it_runs_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = run(*TINY, "trainer.epochs=1")

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    torch.save({"format": 1, "net": Evil()}, folder.checkpoint)
    assert main(["train", f"resume={folder.path}"]) == 1
    assert not (tmp_path / "ran").exists()
    assert "not a whole checkpoint" in capsys.readouterr().err


def test_a_run_from_elsewhere_cannot_name_code_to_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = run(*TINY, "trainer.epochs=1")
    honest = folder.config.read_text()
    target = "_target_: ferlab.data.synthetic.synthetic"
    assert target in honest
    for evil in ("os.system", "ferlab.data.cache.os.system", '"os.system"', "'os.system'"):
        folder.config.write_text(honest.replace(f"{target}\n", f"_target_: {evil}\n  command: touch {tmp_path}/ran\n"))
        for command in (["--from", str(folder.path)], [f"resume={folder.path}"]):
            assert main(["train", *command]) == 2
            assert "os.system" in capsys.readouterr().err
    for evil in (
        "oc.create:{_target_: os.system, command: touch RAN}",
        "oc.decode:'{_target_: os.system, command: touch RAN}'",
    ):
        replaced = re.sub(r"data:\n(  .*\n)+", "", honest) + f'data: "${{{evil.replace("RAN", f"{tmp_path}/ran")}}}"\n'
        folder.config.write_text(replaced)
        for command in (["--from", str(folder.path)], [f"resume={folder.path}"]):
            assert main(["train", *command]) == 2
            assert "must hold values, got the reference" in capsys.readouterr().err
    folder.config.write_text(honest.replace(target, '"\\x5ftarget_": os.system'))  # an escape that YAML undoes
    assert main(["train", "--from", str(folder.path)]) == 2
    assert not (tmp_path / "ran").exists()


def test_a_missing_dataset_leaves_no_run_behind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "data=fer2013", "data.root=nowhere", "tracker=none"]) == 1
    assert "nowhere" in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_the_command_that_it_names_next_evaluates_on_the_same_data(capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(*TINY, "trainer.epochs=1")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next    ferlab evaluate")]
    words = shlex.split(line)[2:]
    assert words == ["evaluate", f"bundle={folder.bundle}", "data=synthetic", *TINY[1:5]]
    assert main([*words, "bootstrap=10"]) == 0
    (report,) = folder.path.glob("evaluation/*/report.json")
    assert json.loads(report.read_text())["dataset"]["digest"] == folder.read_record()["data_digest"]


def test_valence_and_arousal_are_trained_beside_expressions(capsys: pytest.CaptureFixture[str]) -> None:
    both = ["model.heads=[expression,affect]", "loss=multitask", "trainer.monitor=ccc", "trainer.epochs=4"]
    folder = run(*TINY, *both)
    best = max(numbers(folder), key=lambda row: row["validation/ccc"])
    kept = json.loads((folder.bundle / "metrics.json").read_text())
    assert kept["epoch"] == best["epoch"]
    assert {"validation/accuracy", "validation/valence_ccc", "validation/arousal_rmse", "train/accuracy"} <= best.keys()
    out = capsys.readouterr().out
    assert "valence_ccc" in out
    assert "microbatch" not in out
    from ferlab.data.synthetic import synthetic

    split = synthetic(72, 24, 8, 24, 0).split("validation")
    bundle = ferlab.load_bundle(folder.path)
    answers = bundle.answers(np.stack([bundle.spec.prepare(split.read(i)) for i in range(24)]))
    error = answers["affect"] - split.affect  # validation ran in the training precision, this in float32
    assert np.sqrt((error**2).mean(0)).mean() == pytest.approx(best["validation/rmse"], abs=0.01)


def test_valence_and_arousal_are_trained_alone(capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(*TINY, "model.heads=[affect]", "loss=affect", "trainer.monitor=rmse", "trainer.accumulate=2")
    assert "note: the loss 1 - CCC is that of each microbatch of about 8 faces, not of the batch" in (
        capsys.readouterr().out
    )
    rows = numbers(folder)
    assert json.loads((folder.bundle / "metrics.json").read_text())["validation/rmse"] == min(
        row["validation/rmse"] for row in rows
    )
    assert not any("accuracy" in key for key in rows[0])
    answer = ferlab.load_bundle(folder.path).predict(np.full((20, 20, 3), 128, np.uint8))
    assert answer.expression == {}
    assert answer.valence is not None
    assert -1 <= answer.valence <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["loss=multitask"], "loss MultiTask trains the heads [expression,affect], the model has [expression]; "),
        (["model.heads=[expression,affect]"], "loss CrossEntropy trains the heads [expression], the model has [expr"),
        (["model.heads=[expresion]"], "unknown model.heads 'expresion'; did you mean 'expression'?"),
        (["model.heads=[]"], "model.heads must name expression, affect or both, got none"),
        (["trainer.monitor=ccc"], "trainer.monitor must be a metric of the model's heads, got 'ccc'; "),
        (["trainer.monitor=acuracy"], "got 'acuracy'; did you mean 'accuracy'?"),
        (
            ["data=imagefolder", "data.root=faces", "model.heads=[expression,affect]", "loss=multitask"],
            "the train split has no valence and arousal; set model.heads=[expression], or other data",
        ),
    ],
)
def test_a_head_needs_a_loss_and_labels(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = ["layout=imagefolder", "out=faces", "train=8", "validation=8", "test=0", "size=16"]
    assert main(["data", "write", *drawn]) == 0
    capsys.readouterr()
    data = [] if any(each.startswith("data=") for each in arguments) else TINY[:5]
    assert main(["train", *data, *TINY[5:], *arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_python_users_train_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    done = ferlab.train([*TINY, "trainer.epochs=2"])
    assert done.history.index.tolist() == [1, 2]
    assert done.best.value == done.history["validation/accuracy"].max()
    best = f"best accuracy {done.best.value:.4f} at epoch {done.best.epoch}"
    assert repr(done) == f"Run({done.folder.path}: 2 of 2 epochs, {best})"
    assert done.plot()._repr_png_().startswith(b"\x89PNG")
    assert done.stopped is None
    face = np.full((24, 24, 3), 128, np.uint8)
    assert set(done.bundle.predict(face).expression or {}) == set(done.source.labels)
    assert numbers(done.folder) == numbers(run(*TINY, "trainer.epochs=2"))


def test_a_run_keeps_what_its_best_epoch_answered_for_validation() -> None:
    done = ferlab.train([*TINY, "model.heads=[expression,affect]", "loss=multitask"])
    kept = Predictions.load(done.folder.predictions)
    truth = done.source.split("validation")
    assert kept.names == done.source.labels
    assert kept.labels.tolist() == truth.labels.tolist()
    assert np.array_equal(kept.target, truth.affect, equal_nan=True)
    assert kept.faces.tolist() == [face_hash(truth.read(i)) for i in range(len(truth))]
    assert (kept.probabilities().argmax(1) == truth.labels).mean() == pytest.approx(done.best.value)
    assert kept.temperature == done.bundle.spec.temperature
    assert done.bundle.provenance["reference"] == Spread.of(kept.probabilities()).plain()
    assert kept.affect is not None
    assert kept.affect.shape == (len(truth), 1, 2)
