import numpy as np
import pytest
import torch

from ferlab.bundle import Bundle
from ferlab.formats.seal import Seal
from ferlab.models import build
from ferlab.spec import ModelSpec

LABELS = ("neutral", "happiness", "anger")
MODEL = {"name": "custom_cnn", "options": {"widths": [4], "hidden": 16, "dropout": 0.0}}


@pytest.fixture
def make_bundle():
    """A function that makes an untrained bundle whose answers differ between faces."""

    def make(expression=LABELS, **fields):
        torch.manual_seed(0)
        spec = ModelSpec(expression, **{"size": 16, "temperature": 1.5 if expression else 1.0} | fields)
        net = build(spec, MODEL["name"], MODEL["options"]).eval()
        for name, head in net.heads.items():
            torch.nn.init.normal_(head.weight, std={"expression": 4, "affect": 1}[name])
        return Bundle(spec, MODEL, net, {"dataset": "drawn"})

    return make


@pytest.fixture
def make_seal():
    """A function that makes the seal of a bundle."""

    def make(bundle, kind="onnx", graph="probabilities"):
        return Seal(kind, graph, bundle.spec, bundle.model, bundle.provenance)

    return make


@pytest.fixture
def faces():
    """Twenty prepared grey faces, (20, 1, 16, 16) uint8."""
    return np.random.default_rng(0).integers(0, 256, (20, 1, 16, 16), dtype=np.uint8)
