import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from ferlab.bundle import load_bundle
from ferlab.errors import BundleError, ConfigError, LabelError
from ferlab.labels import FER2013, FERPLUS, FERPLUS_7
from ferlab.spec import ModelSpec
from ferlab.training.config import EngineOptions
from ferlab.training.engine import launch
from ferlab.training.teacher import load_teacher

STUDENT = ModelSpec(FER2013, size=16, mean=(0.4,), std=(0.3,))


@pytest.fixture(scope="module")
def fabric():
    return launch(EngineOptions(device="cpu", precision="32-true", deterministic=False, threads=1))


def faces(n=4):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 1, 16, 16), dtype=np.uint8))


def test_answers_are_the_bundles_under_the_students_labels(teacher_for, fabric):
    """The same seven classes in another order, normalised otherwise."""
    path = str(teacher_for(replace(STUDENT, expression=FERPLUS_7, affect=True, mean=(0.5,))))
    answers = load_teacher(path, STUDENT, fabric, channels_last=True)(faces())
    expected = load_bundle(path).logits(faces().numpy())
    assert answers.keys() == {"teacher_expression", "teacher_affect"}
    for face in range(4):
        named = dict(zip(FERPLUS_7, expected["expression"][face], strict=True))
        assert answers["teacher_expression"][face].tolist() == pytest.approx(
            [named[name] for name in FER2013], abs=1e-5
        )
    assert answers["teacher_affect"].numpy() == pytest.approx(expected["affect"], abs=1e-5)
    assert np.ptp(answers["teacher_expression"].numpy(), axis=1).min() > 0.1  # else any order would do


def test_it_takes_mixed_pictures_and_answers_in_float32_without_a_gradient(teacher_for):
    fabric = launch(EngineOptions(device="cpu", precision="bf16-mixed", deterministic=False, threads=1))
    teacher = load_teacher(str(teacher_for(STUDENT)), STUDENT, fabric, channels_last=False)
    answer = teacher(0.5 * faces().float() + 0.5 * faces().flip(0))["teacher_expression"]
    assert answer.dtype == torch.float32
    assert not torch.equal(answer, answer.flip(0)[:, :1].expand_as(answer))
    assert not answer.requires_grad
    assert not answer.is_inference()  # such a tensor cannot take part in the student's backward pass
    weight = torch.ones(7, requires_grad=True)
    (answer * weight).sum().backward()
    assert not teacher.bundle.net.training
    assert not any(parameter.requires_grad for parameter in teacher.bundle.net.parameters())


def test_a_student_of_valence_and_arousal_alone_has_a_teacher_too(teacher_for, fabric):
    path = str(teacher_for(ModelSpec(FERPLUS, affect=True, size=16)))
    student = ModelSpec((), affect=True, size=16)
    assert load_teacher(path, student, fabric, False)(faces())["teacher_affect"].shape == (4, 2)


@pytest.mark.parametrize(
    ("teacher", "error", "message"),
    [
        (
            {"size": 24}, ConfigError,
            "must take the student's pictures, 16 px gray (area), got 24 px gray (area): both must see the same "
            "pixels; set model.size=24, or give another teacher",
        ),
        (
            {"colour": "rgb", "mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "cubic"}, ConfigError,
            "got 16 px rgb (cubic): both must see the same pixels; set model.colour=rgb model.interpolation=cubic, or",
        ),
        (
            {"expression": FER2013[:5]}, LabelError,
            "must have the data's 7 labels and no others, got none for surprise, neutral; give a teacher trained on "
            "these labels, or other data",
        ),
        ({"expression": FERPLUS}, LabelError, "got also contempt; give a teacher"),
        ({"expression": FERPLUS[1:]}, LabelError, "got none for neutral and also contempt; give a teacher"),
        (
            {"expression": (), "affect": True}, ConfigError,
            "must have the student's heads [expression], got [affect]; set model.heads, or give a teacher with "
            "expression",
        ),
    ],
)  # fmt: skip
def test_a_teacher_that_does_not_fit_is_refused_in_one_line(teacher, error, message, teacher_for, fabric):
    path = str(teacher_for(replace(STUDENT, **teacher)))
    with pytest.raises(error, match=re.escape(message)) as caught:
        load_teacher(path, STUDENT, fabric, False)
    assert str(caught.value).startswith(f"teacher={path} must")
    assert "\n" not in str(caught.value)


def test_a_teacher_of_one_head_cannot_teach_two(teacher_for, fabric):
    with pytest.raises(ConfigError, match=r"heads \[expression,affect\], got \[expression\]; .* teacher with affect"):
        load_teacher(str(teacher_for(STUDENT)), replace(STUDENT, affect=True), fabric, False)


def test_a_teacher_that_is_missing_or_damaged_is_named(teacher_for, fabric, tmp_path):
    with pytest.raises(BundleError, match=f"^teacher={tmp_path}/none: a bundle must hold spec.json"):
        load_teacher(f"{tmp_path}/none", STUDENT, fabric, False)
    path = teacher_for(STUDENT)
    weights = path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BundleError, match=f"^teacher={path}: .*copy the bundle again"):
        load_teacher(str(path), STUDENT, fabric, False)
