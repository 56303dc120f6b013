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
