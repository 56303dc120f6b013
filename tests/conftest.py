"""What every test shares."""

import os

# Two tests run side by side: with a thread a core each they would wait for each other. Before torch, for it reads this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from ferlab.bundle import Bundle, save_bundle
from ferlab.models import build


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """An empty cache for each test, so that none sees what another parsed; the user's own is never touched."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("FERLAB_CACHE", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it as well, for all that come later
    return folder


@pytest.fixture(scope="session")
def teacher_for(tmp_path_factory):
    """spec -> the folder of a bundle with that specification, untrained; its answers differ between faces."""

    def write(spec, seed=0):
        model = {"name": "mlp", "options": {"widths": [8], "dropout": 0.0}}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = build(spec, model["name"], model["options"]).eval()
            for head in net.heads.values():
                torch.nn.init.normal_(head.weight, std=2)
        folder = tmp_path_factory.mktemp("teacher")
        save_bundle(Bundle(spec, model, net, {"dataset": "drawn", "data_digest": "0123"}), folder, {}, "a card")
        return folder

    return write


@pytest.fixture(scope="session")
def recogniser_file(tmp_path_factory):
    """A network that stands in for SFace: a fixed random projection of a face's coarse pixels to 16 numbers."""
    import numpy as np
    import onnx

    weights = np.random.default_rng(0).normal(0, 1, (3 * 7 * 7, 16)).astype(np.float32)
    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    steps = [
        node("AveragePool", ["face"], ["coarse"], kernel_shape=[16, 16], strides=[16, 16]),
        node("Flatten", ["coarse"], ["flat"]),
        node("MatMul", ["flat", "weights"], ["embedding"]),
    ]
    taken, given = info("face", 1, [1, 3, 112, 112]), info("embedding", 1, [1, 16])
    graph = onnx.helper.make_graph(steps, "g", [taken], [given], [onnx.numpy_helper.from_array(weights, "weights")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    file = tmp_path_factory.mktemp("recogniser") / "projection.onnx"
    file.write_bytes(model.SerializeToString())
    return file
