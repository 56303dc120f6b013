"""The teacher of a distilled student: a bundle's network, asked about the very pixels that the student is given."""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ferlab.bundle import Bundle, load_bundle
from ferlab.errors import BundleError, ConfigError, LabelError
from ferlab.labels import class_map
from ferlab.spec import ModelSpec

PIXELS = ("size", "colour", "interpolation")  # what decides the pixels that become of a face


@dataclass(frozen=True)
class Teacher:
    """A trained network that answers for training batches. It learns nothing, and no file of the run holds it.

    Attributes:
        bundle: its network, specification and provenance.
        sha256: of its weights' file.
        order: (k,) for each of the student's labels its place among the teacher's.
        fabric: decides the precision, as for the student.
    """

    bundle: Bundle
    sha256: str
    order: Tensor
    fabric: Fabric

    @property
    def origin(self) -> dict[str, Any]:
        """Who it is, plain values for run.json and the student's provenance."""
        trained = {key: self.bundle.provenance.get(key) for key in ("dataset", "data_digest")}
        model, digest = self.bundle.model["name"], self.bundle.spec.digest
        return {"path": str(self.bundle.path), "sha256": self.sha256, "spec_digest": digest, "model": model} | trained

    @torch.no_grad()  # inference_mode's tensors could not take part in the student's backward pass
    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """What it answers for the student's input.

        Args:
            images: (n, c, s, s) uint8 or float, 0-255, augmented and mixed.

        Returns:
            "teacher_expression" (n, k) float32 logits in the order of the student's labels, "teacher_affect" (n, 2)
            float32 in [-1, 1]; each if it has that head.
        """
        rounded = self.fabric._precision.convert_input(images)  # to 16 bits where Fabric does so for the student
        with self.fabric.autocast():
            outputs = self.bundle.net(rounded)
        if "expression" in outputs:
            outputs["expression"] = outputs["expression"][:, self.order]
        return {f"teacher_{name}": value.float() for name, value in outputs.items()}


def load_teacher(path: str, student: ModelSpec, fabric: Fabric, channels_last: bool) -> Teacher:
    """The teacher at `path`, a bundle's or its run's folder, once it is known to fit the student.

    Raises:
        BundleError: no whole bundle there.
        ConfigError: it lacks a head of the student's, or takes other pictures.
        LabelError: its labels are not the student's.
    """
    try:
        bundle = load_bundle(path, str(fabric.device))
    except BundleError as error:
        raise BundleError(f"teacher={path}: {error}") from error
    check_heads(path, bundle.spec, student)
    check_pixels(path, bundle.spec, student)
    bundle.net.requires_grad_(False).to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    assert bundle.path is not None
    with open(bundle.path / "weights.safetensors", "rb") as weights:
        sha256 = hashlib.file_digest(weights, "sha256").hexdigest()
    return Teacher(bundle, sha256, order_of(path, bundle.spec, student).to(fabric.device), fabric)


def check_heads(path: str, teacher: ModelSpec, student: ModelSpec) -> None:
    """Raise a ConfigError unless the teacher answers all that the student is to learn."""
    lacking = [head for head in student.heads if head not in teacher.heads]
    if lacking:
        raise ConfigError(
            f"teacher={path} must have the student's heads [{','.join(student.heads)}], got "
            f"[{','.join(teacher.heads)}]; set model.heads, or give a teacher with {' and '.join(lacking)}"
        )


def check_pixels(path: str, teacher: ModelSpec, student: ModelSpec) -> None:
    """Raise a ConfigError unless both take the same pictures; each normalises them on its own.

    The teacher must see what the student sees, its crop, mirroring, blending and erasing included (Beyer et al. 2022,
    arXiv:2106.05237, section 3.1). A picture of another size or colour would have to be made from the student's, worse
    than the teacher knows it, or prepared and augmented a second time.
    """
    differing = [key for key in PIXELS if getattr(teacher, key) != getattr(student, key)]
    if differing:
        remedy = " ".join(f"model.{key}={getattr(teacher, key)}" for key in differing)
        raise ConfigError(
            f"teacher={path} must take the student's pictures, {_input(student)}, got {_input(teacher)}: both must see "
            f"the same pixels; set {remedy}, or give another teacher"
        )


def order_of(path: str, teacher: ModelSpec, student: ModelSpec) -> Tensor:
    """For each of the student's labels its place among the teacher's, by name, (k,) int64.

    Raises:
        LabelError: the two sets differ.
    """
    if not student.expression:
        return torch.arange(len(teacher.expression))
    order = class_map(student.expression, teacher.expression)
    lacking = [name for name in student.expression if name not in teacher.expression]
    excess = [name for name in teacher.expression if name not in student.expression]
    if lacking or excess:
        got = [f"none for {', '.join(lacking)}"] * bool(lacking) + [f"also {', '.join(excess)}"] * bool(excess)
        raise LabelError(
            f"teacher={path} must have the data's {len(order)} labels and no others, got {' and '.join(got)}; "
            "give a teacher trained on these labels, or other data"
        )
    return torch.from_numpy(order)


def _input(spec: ModelSpec) -> str:
    return f"{spec.size} px {spec.colour} ({spec.interpolation})"
