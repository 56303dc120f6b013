"""Whatever happens to an exported file, opening it ends in one line or in the answers of the original."""

import json
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from ferlab import formats
from ferlab.bundle import Bundle
from ferlab.formats.seal import Seal
from ferlab.models import build
from ferlab.spec import ModelSpec

MODEL = {"name": "custom_cnn", "options": {"widths": [4], "hidden": 8, "dropout": 0.0}}


def missing(name):
    return [package for package in formats.FORMATS[name].packages if find_spec(package.partition(".")[0]) is None]


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """A file of every format whose packages are here, by its name."""
    spec = ModelSpec(("neutral", "anger", "fear"), affect=True, size=16, temperature=1.5)
    torch.manual_seed(0)
    bundle = Bundle(spec, MODEL, build(spec, **MODEL).eval(), {"dataset": "synthetic"})
    faces = np.random.default_rng(0).integers(0, 256, (8, 1, 16, 16), dtype=np.uint8)
    folder, files = tmp_path_factory.mktemp("good"), {}
    for name, chosen in formats.FORMATS.items():
        if not missing(name):
            files[name] = folder / chosen.file
            seal = Seal(name, "probabilities", bundle.spec, bundle.model, bundle.provenance)
            write = import_module(f"ferlab.formats.{chosen.module}").write
            write(bundle, seal, files[name], faces, chosen.ways[0])
    return files


@pytest.mark.parametrize("name", formats.FORMATS)
def test_no_hostile_file_is_believed_or_does_any_harm(good, name):
    if gone := missing(name):
        pytest.skip(f"{name} needs {', '.join(gone)}")
    others = [str(path) for other, path in good.items() if other != name]
    script = Path(__file__).with_name("hostile.py")
    done = subprocess.run([sys.executable, script, good[name], *others], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]  # negative: the runtime crashed
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["failures"] == []
    assert found["refused"] >= 400
    assert found["grown_mib"] < 300
