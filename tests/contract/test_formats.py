"""Every model in every format answers as its bundle does. Formats that come to FORMATS are tried without a word here.

A format whose packages are not installed is skipped by name.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from ferlab import formats
from ferlab.bundle import Bundle
from ferlab.data.synthetic import synthetic
from ferlab.errors import ExportError
from ferlab.formats.seal import Seal
from ferlab.labels import FERPLUS
from ferlab.models import BUILDERS, build
from ferlab.spec import ModelSpec

SMALL = {
    "custom_cnn": {"widths": [8, 8, 16], "hidden": 16, "dropout": 0.5},
    "mlp": {"widths": [32, 16], "dropout": 0.3},
    "mobilenetv2": {"small_input": True, "hidden": None, "dropout": 0.3},
    "resnet18": {"small_input": False, "hidden": None, "dropout": 0.2},
    "se_resnet": {"width": 8, "depth": 1, "stem_stride": 2, "reduction": 4, "hidden": 16, "dropout": [0.5, 0.3]},
    "small_resnet": {"width": 4, "depth": 2, "dropout": 0.2},
    "timm": {"name": "test_efficientnet", "small_input": True, "hidden": 16, "dropout": 0.2},
    "vit_tiny": {"patch": 16, "hidden": None, "dropout": 0.1, "drop_path": 0.0},
}
RGB = {"colour": "rgb", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@dataclass(frozen=True)
class Case:
    """A model with an input, its heads, and what the graph gives."""

    model: str
    size: int = 48
    rgb: bool = False
    expression: bool = True
    affect: bool = True
    graph: str = "probabilities"

    def __str__(self):
        heads = "+".join(name for name in ("expression", "affect") if getattr(self, name))
        return f"{self.model}-{self.size}{'rgb' if self.rgb else 'gray'}-{heads}-{self.graph}"


CASES = [
    *(Case(name) for name in sorted(SMALL)),
    Case("custom_cnn", 96, rgb=True, affect=False, graph="logits"),
    Case("mlp", expression=False),
]
# (model, format) -> why it cannot be. It is tried all the same, so that this list stays true.
IMPOSSIBLE: dict[tuple[str, str], str] = {}


def missing(name):
    return [package for package in formats.FORMATS[name].packages if find_spec(package.partition(".")[0]) is None]


def test_the_small_options_here_cover_the_zoo():
    assert set(SMALL) == set(BUILDERS)
    assert {(model, name) for model in SMALL for name in formats.FORMATS} >= set(IMPOSSIBLE)


@pytest.fixture(scope="session")
def crops():
    """Drawn faces, (16, 48, 48, 3) uint8."""
    split = synthetic(train=16, validation=0, test=0).split("train")
    return [split.read(i) for i in range(len(split))]


@pytest.fixture(scope="session")
def make(crops):
    """A function that makes the bundle of a case and its faces, prepared.

    Its statistics have moved and its answers differ from face to face, so that whatever is left out on the way shows.
    """
    made = {}

    def make(case):
        if case not in made:
            made[case] = untrained(case, crops)
        return made[case]

    return make


def without_repetition(model, net):
    """Leave out blocks that are like one before them: over those the converters take longest, and find nothing new."""
    if model == "vit_tiny":
        del net.backbone.body.blocks[2:]
    if model == "mobilenetv2":
        for stage in net.backbone.body.blocks[2:]:
            del stage[1:]
    if model == "resnet18":
        for stage in (net.backbone.body.layer2, net.backbone.body.layer3, net.backbone.body.layer4):
            del stage[1:]


def untrained(case, crops):
    spec = ModelSpec(
        FERPLUS if case.expression else (), case.affect, case.size, temperature=1.5, **(RGB if case.rgb else {})
    )
    torch.manual_seed(0)
    net = build(spec, case.model, SMALL[case.model])
    without_repetition(case.model, net)
    faces = np.stack([spec.prepare(crop) for crop in crops])
    with torch.no_grad():
        for _ in range(10):
            net.train()(torch.from_numpy(faces))
        features = []
        net.backbone.register_forward_hook(lambda module, arguments, output: features.append(output))
        net.eval()(torch.from_numpy(faces))
        net.backbone._forward_hooks.clear()
        for head in net.heads.values():
            said = head(features[-1])
            head.weight /= 4 * said.std(0)[:, None]  # logits of deviation 0.25; more would magnify float16's rounding
            head.bias.copy_(-(said.mean(0) - head.bias) / (4 * said.std(0)))
    bundle = Bundle(spec, {"name": case.model, "options": SMALL[case.model]}, net, {"dataset": "synthetic"})
    return bundle, faces


def write(case, name, bundle, faces, folder):
    chosen = formats.FORMATS[name]
    path = folder / chosen.file
    seal = Seal(name, case.graph, bundle.spec, bundle.model, bundle.provenance)
    import_module(f"ferlab.formats.{chosen.module}").write(bundle, seal, path, faces, chosen.ways[0])
    return path


TOGETHER = [("onnx", "onnx_int8"), ("tflite", "tflite_fp16")]
ALONE = [(name,) for name in formats.FORMATS if not any(name in pair for pair in TOGETHER)]


@pytest.fixture
def converted_once(monkeypatch):
    """Two formats that begin with the same conversion share it: it is what takes their time."""
    # All before any is patched: a module that is imported later would keep what it found.
    there = {
        name: import_module(f"ferlab.formats.{each.module}")
        for name, each in formats.FORMATS.items()
        if not missing(name)
    }
    for pair in TOGETHER:
        modules = [there[name] for name in pair if name in there]
        if len(modules) < 2:
            continue
        convert, made = modules[0].model_of, {}

        def once(bundle, seal, convert=convert, made=made):
            if seal.graph not in made:
                made[seal.graph] = convert(bundle, seal)
            return made[seal.graph]

        for module in modules:
            monkeypatch.setattr(module, "model_of", once)


@pytest.mark.usefixtures("converted_once")
@pytest.mark.parametrize("names", [*TOGETHER, *ALONE], ids="+".join)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_file_answers_as_its_bundle_does(case, names, make, tmp_path):
    if gone := [package for name in names for package in missing(name)]:
        pytest.skip(f"{', '.join(names)} needs {', '.join(gone)}")
    bundle, faces = make(case)
    for name in names:
        check(case, name, bundle, faces, tmp_path)


def check(case, name, bundle, faces, folder):
    if (case.model, name) in IMPOSSIBLE:
        with pytest.raises(ExportError) as caught:
            write(case, name, bundle, faces, folder)
        assert "\n" not in str(caught.value)
        return
    path = write(case, name, bundle, faces, folder)
    runner = formats.read(path)
    assert (runner.spec, runner.model) == (bundle.spec, bundle.model)
    expected, found = bundle.answers(faces[:4]), runner.answers(faces[:4])
    assert set(found) == set(expected), name
    for head, values in found.items():
        assert values.shape == expected[head].shape
        assert np.isfinite(values).all()
        assert expected[head].std(0).min() > 1e-3
    if case.expression:
        np.testing.assert_allclose(found["expression"].sum(1), 1, atol=0.02)
        assert found["expression"].min() >= 0
    if case.affect:
        assert np.abs(found["affect"]).max() <= 1
    tolerance = formats.FORMATS[name].tolerance
    if tolerance == formats.INT8:  # single answers of an untrained network say nothing in 8 bit
        assert path.stat().st_size < 0.8 * 4 * bundle.parameters
        return
    for head, values in found.items():
        np.testing.assert_allclose(values, expected[head], atol=tolerance.answer, err_msg=name)
