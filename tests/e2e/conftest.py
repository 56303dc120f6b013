import logging

import cv2
import numpy as np
import pytest
import torch

from ferlab.bundle import Bundle, save_bundle
from ferlab.labels import FER2013
from ferlab.models import build
from ferlab.spec import ModelSpec

# Not FER2013's order, so that only a mapping by name can score right, and with a label that FER2013 lacks.
LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
MODEL = {"name": "custom_cnn", "options": {"widths": [4], "hidden": 16, "dropout": 0.0}}
COUNTS = {"Training": (5, 2, 4, 9, 5, 3, 4), "PublicTest": (6, 3, 5, 12, 6, 4, 5)}


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    """Run in an empty folder, and leave torch and the loggers as they were."""
    monkeypatch.chdir(tmp_path)
    yield
    torch.use_deterministic_algorithms(False)
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def noise_faces(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, 48, 48), dtype=np.uint8)


@pytest.fixture
def fer2013_root(tmp_path):
    """`fer2013.csv` with noise faces, class ids in FER2013's order."""
    lines = ["emotion,pixels,Usage"]
    for seed, (usage, counts) in enumerate(COUNTS.items()):
        ids = np.repeat(np.arange(7), counts)
        for label, face in zip(ids, noise_faces(len(ids), seed), strict=True):
            lines.append(f"{label},{' '.join(map(str, face.ravel()))},{usage}")
    root = tmp_path / "fer2013"
    root.mkdir()
    (root / "fer2013.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def validation_faces():
    """The PublicTest faces of `fer2013_root`, (n, 48, 48), and their label names."""
    ids = np.repeat(np.arange(7), COUNTS["PublicTest"])
    return noise_faces(len(ids), 1), [FER2013[i] for i in ids]


def untrained(labels=LABELS, provenance=None, **fields):
    torch.manual_seed(0)
    spec = ModelSpec(tuple(labels), size=24, **fields)
    net = build(spec, MODEL["name"], MODEL["options"]).eval()
    if "expression" in net.heads:
        torch.nn.init.normal_(net.heads["expression"].weight, std=4)  # so that answers differ between noise faces
    return Bundle(spec, MODEL, net, provenance or {})


@pytest.fixture
def bundle(tmp_path):
    """An untrained bundle at `run/bundle`, with a temperature of its own."""
    made = untrained(temperature=1.5)
    save_bundle(made, tmp_path / "run" / "bundle", {}, "a card")
    return made


@pytest.fixture
def crops(tmp_path):
    """Three colour pictures of several sizes, and a text file, in a folder with awkward names."""
    folder = tmp_path / "Gesichter für [1]"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for name, side in (("a ü.png", 20), ("b,c=d.jpg", 48), ("日本.PNG", 61)):
        suffix = "." + name.split(".")[-1].lower()
        cv2.imencode(suffix, rng.integers(0, 256, (side, side, 3), dtype=np.uint8))[1].tofile(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder
