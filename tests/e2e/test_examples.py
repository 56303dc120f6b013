"""examples/ as somebody runs them who has no ferlab: they say what `ferlab predict` says."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ferlab import formats
from ferlab.bundle import save_bundle
from ferlab.cli import main

from .conftest import untrained

EXAMPLES = Path(__file__).parents[2] / "examples"
# What a file of this format is run by; other packages may not be there.
RUNTIMES = {"onnx": "onnxruntime", "tflite": "ai_edge_litert", "torchscript": "torch"}
RGB = {"colour": "rgb", "mean": (0.5,) * 3, "std": (0.25,) * 3}
MODELS = {"gray": {}, "multitask, colour": {"affect": True, **RGB}, "affect": {"labels": (), "affect": True}}
ALONE = """
import runpy, sys, warnings
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {gone!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nothing())
warnings.simplefilter("ignore")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_there_is_a_line_for_every_example():
    lines = (EXAMPLES / "README.md").read_text().splitlines()
    files = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert files == sorted(f"run_{name}.py" for name in RUNTIMES)
    assert [line.split("`")[1] for line in lines if line.startswith("- ")] == files
    assert all(len((EXAMPLES / name).read_text().splitlines()) <= 40 for name in files)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", RUNTIMES)
def test_an_example_says_what_predict_says(tmp_path, crops, capsys, name, model):
    if name not in formats.FORMATS:
        pytest.skip(f"ferlab does not export {name}")
    chosen = formats.FORMATS[name]
    if missing := [package for package in chosen.packages if find_spec(package) is None]:
        pytest.skip(f"{name} needs {', '.join(missing)}")
    save_bundle(untrained(provenance={"dataset": "synthetic"}, **MODELS[model]), tmp_path / "run" / "bundle", {}, "")
    drawn = ["data.train=8", "data.validation=256", "data.test=0", "data.size=24"]
    assert main(["export", f"bundle={tmp_path / 'run'}", f"format={name}", *drawn]) == 0
    capsys.readouterr()
    path = tmp_path / "run" / "exports" / chosen.file
    gone = {"ferlab", *RUNTIMES.values()} - {RUNTIMES[name]}
    for picture in sorted(
        path for path in crops.iterdir() if path.suffix != ".txt"
    ):  # smaller and larger, PNG and JPEG
        code = [sys.executable, "-I", "-c", ALONE.format(gone=gone), str(EXAMPLES / f"run_{name}.py")]
        done = subprocess.run([*code, str(path), str(picture)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()}
        assert main(["predict", f"bundle={path}", f"source={picture}", "format=json", "top=8"]) == 0
        (face,) = json.loads(capsys.readouterr().out)["faces"]
        wanted = {**face.get("expression", {}), **{key: face[key] for key in ("valence", "arousal") if key in face}}
        assert found == pytest.approx(wanted, abs=1e-4)
        assert len(found) == (8 if MODELS[model].get("labels", True) else 0) + 2 * ("valence" in face)
