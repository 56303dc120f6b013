"""Small untrained networks, exported and then tampered with, for the tests of PyTorch's formats and OpenVINO."""

import io
import json
import os
import pickle
import warnings
import zipfile
from importlib import import_module

import numpy as np
import torch

from ferlab.bundle import Bundle
from ferlab.errors import ExportError
from ferlab.formats import FORMATS, RUNTIMES, read
from ferlab.formats.seal import Seal, digest
from ferlab.models import build
from ferlab.spec import ModelSpec

LABELS = ("anger", "happiness", "neutral")
RGB = {"colour": "rgb", "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)}
SPECS = {
    "expression, gray": ModelSpec(LABELS, size=16, temperature=1.7),
    "affect, gray": ModelSpec((), affect=True, size=16),
    "both, rgb": ModelSpec(LABELS, affect=True, size=16, temperature=0.6, **RGB),
}
CNN = {"name": "custom_cnn", "options": {"widths": [4, 8], "hidden": 8, "dropout": 0.5}}


def made(spec, model=CNN):
    torch.manual_seed(0)
    net = build(spec, model["name"], model["options"])
    for name, values in net.named_buffers():
        if "running" in name:
            values.add_(0.1)  # statistics too have to survive
    for head in net.heads.values():
        torch.nn.init.normal_(head.weight, std=2 / head.in_features**0.5)  # answers that differ from face to face
    return Bundle(spec, model, net.eval(), {"dataset": "drawn", "digest": "0123"})


def faces(spec, number):
    return np.random.default_rng(number).integers(0, 256, (number, spec.channels, spec.size, spec.size), dtype=np.uint8)


def exported(name, bundle, folder, graph="probabilities"):
    path = folder / FORMATS[name].file
    seal = Seal(name, graph, bundle.spec, bundle.model, bundle.provenance)
    import_module(f"ferlab.formats.{FORMATS[name].module}").write(bundle, seal, path, None, "")
    assert path.suffix in RUNTIMES
    return path


def answers_alike(bundle, file, numbers=(1, 2, 7)):
    for number in numbers:
        images = faces(bundle.spec, number)
        compare(file.answers(images), bundle.answers(images))
        got, wanted = file.logits(images), bundle.logits(images)
        if "expression" in got and file.seal.graph == "probabilities":  # which forget a constant a face
            got["expression"] += (wanted["expression"] - got["expression"]).mean(1, keepdims=True)
        compare(got, wanted)


def compare(got, wanted):
    assert list(got) == list(wanted)
    for head, values in wanted.items():
        np.testing.assert_allclose(got[head], values, atol=1e-4)


class Sorting(torch.nn.Module):
    """A backbone with an operator that no network of the zoo has."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, images):
        return torch.sort(self.backbone(images)).values


def parts_of(path):
    """Every part but the seal, by its whole name, and the seal's name and content."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (sealed,) = [name for name in parts if name.endswith("ferlab.json")]
    return parts, sealed, json.loads(parts.pop(sealed))


def forged(path, change):
    """Change the parts of a file, a dict that `change` gets, and seal it again as a forger would."""
    parts, sealed, seal = parts_of(path)
    change(parts)
    pieces = [piece for name in sorted(parts) for piece in (f"{name} {len(parts[name])}\n".encode(), parts[name])]
    content = digest(b"0\n", *pieces)
    said = {key: value for key, value in seal.items() if key not in ("content", "sealed")}
    over = digest(json.dumps(said, sort_keys=True).encode(), content.encode())
    text = json.dumps(said | {"content": content, "sealed": over})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {**parts, sealed: text.encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return path


def edited(name, change):
    """A change of a part that is JSON, for `forged`."""

    def apply(parts):
        document = json.loads(parts[name])
        change(document)
        parts[name] = json.dumps(document).encode()

    return apply


class Bomb:
    """Unpickled by Python, it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


def bombs(mark):
    """The bomb as plain pickle and as torch.save writes it."""
    buffer = io.BytesIO()
    torch.save(Bomb(mark), buffer)
    return {"pickle": pickle.dumps(Bomb(mark), 2), "torch": buffer.getvalue()}


def repacked(path, fault):
    """A zip archive with another fault of its own."""
    parts, sealed, seal = parts_of(path)
    parts[sealed] = json.dumps(seal).encode()
    names = list(parts)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if fault == "compressed" else zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
        if fault == "twice":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                archive.writestr(names[0], b"another")
    return path


def check_flips(path, spec, count):
    """With one bit flipped, at `count` places all over it, a file is refused or answers as before."""
    images = faces(spec, 2)
    wanted = read(path).answers(images)
    original = path.read_bytes()
    for place in np.linspace(0, len(original) - 1, count).astype(int):
        flipped = bytearray(original)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        try:
            file = read(path)
        except ExportError:
            continue
        assert file.spec == spec, place
        for head, answer in file.answers(images).items():
            np.testing.assert_array_equal(answer, wanted[head], err_msg=f"byte {place}")
