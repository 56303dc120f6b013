"""Distillation as a user runs it: the teacher sees what the student sees, stays as it was, and is found again."""

import hashlib
import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import ferlab
from ferlab.cli import main
from ferlab.models import Net
from ferlab.training.progress import ProgressView
from ferlab.training.teacher import Teacher

TINY = [
    "data=synthetic", "data.train=48", "data.validation=16", "data.test=8", "data.size=24", "model=small_resnet",
    "model.size=16", "optimizer=sgd", "augment=batched", "trainer.batch_size=16", "trainer.epochs=2",
    "trainer.threads=1", "tracker=none",
]  # fmt: skip
STUDENT = [*TINY, "model.options.width=2", "loss=distill", "augment.mix.mixup=0.5", "augment.mix.cutmix=1"]

pytestmark = pytest.mark.usefixtures("in_tmp")


def run(name, *arguments):
    assert main(["train", *arguments, f"name={name}", "--debug"]) == 0
    return next(Path("outputs").glob(f"*/*_{name}"))


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def refused(capsys, *arguments, code):
    capsys.readouterr()
    assert main(["train", *arguments]) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.fixture
def teacher():
    """A run to learn from, with both heads, in a folder of its own."""
    heads = ["model.heads=[expression,affect]", "loss=multitask"]
    return run("teacher", *TINY, *heads, "model.options.width=4", "trainer.epochs=1")


def test_a_student_says_who_taught_it_and_keeps_nothing_of_the_teacher(teacher, capsys):
    before = digests(teacher)
    capsys.readouterr()
    student = run("student", *STUDENT, f"teacher={teacher}", "data.seed=1")
    assert digests(teacher) == before
    weights = teacher / "bundle" / "weights.safetensors"
    bundle = ferlab.load_bundle(student)
    origin = {
        "path": str(teacher / "bundle"),
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "spec_digest": ferlab.load_bundle(teacher).spec.digest,
        "model": "small_resnet",
        "dataset": "synthetic",
        "data_digest": ferlab.load_bundle(teacher).provenance["data_digest"],
    }
    assert f"teacher {teacher}/bundle: small_resnet, " in capsys.readouterr().out
    assert json.loads((student / "run.json").read_text())["teacher"] == origin
    assert bundle.provenance["teacher"] == origin
    taught = ferlab.load_bundle(teacher).past
    assert bundle.past.summary["trained"] == 48 + 48  # its own, drawn from another seed, and its teacher's
    assert bundle.past.seen(taught.trained)[0].all()
    assert bundle.past.seen(taught.selected)[1].all()
    assert (
        f"distilled from {teacher}/bundle (small_resnet, trained on synthetic"
        in (student / "bundle" / "README.md").read_text()
    )

    alone = run("alone", *TINY, "model.options.width=2", "loss=cross_entropy")
    assert json.loads((alone / "run.json").read_text())["teacher"] is None
    shapes = [
        {k: v.shape for k, v in load_file(r / "bundle" / "weights.safetensors").items()} for r in (student, alone)
    ]
    assert shapes[0] == shapes[1]
    taught, plain = (torch.load(r / "checkpoints" / "last.pt", weights_only=True) for r in (student, alone))
    assert taught["net"].keys() == plain["net"].keys()
    assert not taught["loss"]
    assert main(["evaluate", f"bundle={student}", *TINY[:5], "bootstrap=20"]) == 0


def test_the_teacher_sees_the_students_pixels_and_learns_nothing(teacher, monkeypatch):
    """Augmented and mixed; it is in evaluation mode, in no optimizer, and has no gradient."""
    seen: list[tuple[bool, torch.Tensor]] = []
    forward, teachers = Net.forward, []
    answer = Teacher.__call__

    def noting(net, images):
        if not torch.is_inference_mode_enabled():  # validation
            seen.append((net.training, images.clone()))
        return forward(net, images)

    def asked(teacher, images):
        teachers.append(teacher)
        return answer(teacher, images)

    monkeypatch.setattr(Net, "forward", noting)
    monkeypatch.setattr(Teacher, "__call__", asked)
    before = load_file(teacher / "bundle" / "weights.safetensors")
    run("student", *STUDENT, f"teacher={teacher}", "trainer.accumulate=2", "loss.labels.label_smoothing=0.1")
    assert [training for training, _ in seen] == [False, True] * (2 * 3 * 2)  # epochs, steps, parts
    for (_, shown), (_, learned) in zip(seen[::2], seen[1::2], strict=True):
        assert torch.equal(shown, learned)
        assert not torch.equal(shown, shown.round())  # no picture of the dataset
    net = teachers[0].bundle.net
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_student_comes_closer_to_its_teacher(teacher):
    """With nothing but the teacher to learn from, and as a head of two."""
    heads = ["model.heads=[expression,affect]", "loss@loss.labels=multitask"]
    student = run(
        "student", *STUDENT, *heads, f"teacher={teacher}", "loss.weight=1", "trainer.epochs=8", "optimizer.lr=0.05"
    )
    losses = [json.loads(line)["train/loss"] for line in (student / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.7 * losses[0]


def test_a_resumed_run_finds_its_teacher_again_and_no_other(teacher, monkeypatch, capsys):
    whole = run("whole", *STUDENT, f"teacher={teacher}")
    steps = 0

    def interrupt(view: ProgressView, step: object) -> None:
        nonlocal steps
        steps += 1
        if steps == 4:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(ProgressView, "step", interrupt)
        assert main(["train", *STUDENT, f"teacher={teacher}", "name=stopped"]) == 130
    (stopped,) = Path("outputs").glob("*/*_stopped")
    record = json.loads((stopped / "run.json").read_text())

    shutil.move(teacher, "elsewhere")
    assert f"teacher={teacher}: a bundle must hold spec.json" in refused(capsys, f"resume={stopped}", code=1)
    other = run("other", *TINY, "loss=cross_entropy", "model.options.width=4", "seed=1")
    shutil.copytree(other, teacher)
    error = refused(capsys, f"resume={stopped}", code=1)
    assert (
        f"the teacher must be the one that the run began with, sha256 {record['teacher']['sha256'][:16]}, got" in error
    )
    assert json.loads((stopped / "run.json").read_text()) == record  # nothing was touched
    assert main(["train", "--from", str(whole), "trainer.epochs=1", "name=again"]) == 0
    assert f"note: teacher was {teacher}/bundle, sha256 {record['teacher']['sha256'][:16]}" in capsys.readouterr().out

    shutil.rmtree(teacher)
    shutil.move("elsewhere", teacher)
    assert main(["train", f"resume={stopped}"]) == 0
    first, second = (load_file(folder / "bundle" / "weights.safetensors") for folder in (whole, stopped))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert json.loads((stopped / "run.json").read_text())["teacher"] == record["teacher"]


def test_teacher_and_loss_need_each_other(teacher, capsys):
    assert "loss=distill needs a teacher, got none; add teacher=" in refused(
        capsys, "experiment=distill", *TINY, code=2
    )
    plain = [*TINY, "loss=focal", f"teacher={teacher}"]
    assert f"loss Focal learns nothing from a teacher, got teacher={teacher}; use" in refused(capsys, *plain, code=2)
    size = refused(capsys, *STUDENT, "model.size=20", f"teacher={teacher}", code=2)
    assert "16 px gray (area): both must see the same pixels; set model.size=16, or give another teacher" in size
    assert not list(Path("outputs").glob("*/*distill*"))


def test_the_experiment_trains_on_any_data(teacher):
    student = ferlab.load_bundle(run("student", "experiment=distill", *TINY, f"teacher={teacher}"))
    assert student.provenance["teacher"]["path"] == f"{teacher}/bundle"
    assert student.model["options"]["width"] == 16
    assert student.spec.expression == ferlab.load_bundle(teacher).spec.expression
