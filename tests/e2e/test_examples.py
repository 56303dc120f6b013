"""examples/ as somebody runs them who has no ferlab: they say what ferlab says."""

import shutil
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from ferlab import formats
from ferlab.data.images import read_image, write_image
from ferlab.formats.interface import write_beside
from ferlab.formats.seal import Seal

from .conftest import untrained

EXAMPLES = Path(__file__).parents[2] / "examples"
# What a file of this format is run by; other packages may not be there.
RUNTIMES = {"onnx": "onnxruntime", "tflite": "ai_edge_litert", "torchscript": "torch"}
SUFFIXES = (".py", ".js", ".kt", ".swift")
RGB = {"colour": "rgb", "mean": (0.5,) * 3, "std": (0.25,) * 3}
MODELS = {"gray": {}, "multitask, colour": {"affect": True, **RGB}}
ALONE = """
import runpy, sys, warnings
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {gone!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nothing())
warnings.simplefilter("ignore")
script, *words = sys.argv[1:]
sys.argv = [script]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as stopped:
    print(stopped)
while words:
    print("next")
    sys.argv[1:], words = words[:2], words[2:]
    runpy.run_path(script, run_name="__main__")
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A function that exports a model of MODELS in a format, once: the path of its file."""
    made = {}

    def one(name, model):
        chosen = formats.FORMATS[name]
        if (name, model) not in made:
            bundle, path = untrained(**MODELS[model]), tmp_path_factory.mktemp("exports") / chosen.file
            seal = Seal(name, "probabilities", bundle.spec, bundle.model, bundle.provenance, chosen.layouts[0])
            import_module(f"ferlab.formats.{chosen.module}").write(bundle, seal, path, None, "")
            write_beside(path.parent, path.name, seal)
            made[name, model] = path
        return made[name, model]

    return one


def answers(text):
    return {line.split()[0]: float(line.split()[1]) for line in text.splitlines()}


def wanted(path, picture):
    """What ferlab says of a picture."""
    answer = formats.read(path).predict(read_image(picture))
    affect = {"valence": answer.valence, "arousal": answer.arousal}
    return answer.expression | {name: value for name, value in affect.items() if value is not None}


def test_there_is_a_line_for_every_example():
    lines = (EXAMPLES / "README.md").read_text(encoding="utf-8").splitlines()
    files = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in SUFFIXES)
    assert sorted(line.split("`")[1] for line in lines if line.startswith("- ")) == files
    assert {f"run_{name}.py" for name in RUNTIMES} | {f"run_onnx{suffix}" for suffix in SUFFIXES} == set(files)
    assert all(len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= 45 for name in files)


@pytest.mark.parametrize("name", RUNTIMES)
def test_an_example_says_what_ferlab_says(exported, crops, name):
    if missing := [package for package in formats.FORMATS[name].packages if find_spec(package) is None]:
        pytest.skip(f"{name} needs {', '.join(missing)}")
    pictures = sorted(path for path in crops.iterdir() if path.suffix != ".txt")  # smaller and larger, PNG and JPEG
    cases = [(exported(name, model), picture) for model in MODELS for picture in pictures]
    gone = {"ferlab", *RUNTIMES.values()} - {RUNTIMES[name]}
    code = [sys.executable, "-I", "-c", ALONE.format(gone=gone), str(EXAMPLES / f"run_{name}.py")]
    words = [str(word) for case in cases for word in case]
    done = subprocess.run([*code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    usage, *said = done.stdout.split("next\n")
    assert usage == f"usage: python run_{name}.py model.{name} face.png\n"
    for text, case in zip(said, cases, strict=True):
        assert answers(text) == pytest.approx(wanted(*case), abs=1e-4)


def test_the_one_in_javascript_says_what_ferlab_says(exported, tmp_path):
    node = shutil.which("node")
    packages = "require.resolve('onnxruntime-node'); require.resolve('sharp')"
    if not node or subprocess.run([node, "-e", packages], capture_output=True, check=False).returncode:
        pytest.skip("needs node, with onnxruntime-node and sharp where NODE_PATH says")
    script = EXAMPLES / "run_onnx.js"
    done = subprocess.run([node, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "usage: node run_onnx.js model.onnx face.png\n")
    write_image(tmp_path / "face.png", np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
    for model in MODELS:
        case = exported("onnx", model), tmp_path / "face.png"
        done = subprocess.run([node, script, *case], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        tolerance = 0.01 if model == "gray" else 1e-4  # some greys are rounded otherwise
        assert answers(done.stdout) == pytest.approx(wanted(*case), abs=tolerance)
