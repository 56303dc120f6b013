"""docs/extend.md as a newcomer follows it: its files, in a copy of the checkout."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
SMALL = [
    "augment=batched", "loss=cross_entropy", "trainer.epochs=1", "trainer.batch_size=8", "trainer.threads=1",
    "tracker=none",
]  # fmt: skip
CUT = "-" * 8


def example(path: str) -> str:
    """The file that the guide shows under its path."""
    found = re.search(rf"`{re.escape(path)}`\n\n```\w+\n(.*?)```", GUIDE, re.DOTALL)
    assert found, path
    return found[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def ferlab(checkout: Path, *commands: list[str], then: str = "") -> list[str]:
    """What each command prints, and what the lines of Python after them do: in one process, since each would import."""
    each = f"assert ferlab.cli.main(command) == 0\n    print({CUT!r})\n"
    script = f"import ferlab.cli\nfor command in {commands!r}:\n    {each}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script + then],
        capture_output=True, text=True, cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout / "src")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split(f"{CUT}\n")


def test_a_dataset_is_one_file_and_one_yaml(checkout: Path) -> None:
    for path in ("src/ferlab/data/listed.py", "conf/data/listed.yaml"):
        (checkout / path).write_text(example(path))
    root = checkout / "data" / "listed"
    root.mkdir(parents=True)
    lines = ["path,emotion,part,valence"]
    for i in range(20):
        cv2.imwrite(str(root / f"{i}.png"), np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8))
        lines.append(f"{i}.png,{('angry', 'Happiness')[i % 2]},{'train' if i < 16 else 'validation'},{i / 20 - 0.5}")
    (root / "faces.csv").write_text("\n".join(lines))
    small = ["model=custom_cnn", "model.size=16", "model.heads=[expression,affect]", "loss=multitask", "data=listed"]
    helped, verified, trained, _ = ferlab(
        checkout,
        ["--help"],
        ["data", "verify", "data=listed"],
        ["train", *SMALL[:1], *SMALL[2:], *small],
    )
    assert "listed" in helped
    assert "angry → 0 anger, Happiness → 1 happiness" in verified
    assert "valence_ccc" in trained
    assert "arousal_ccc" not in trained
    (bundle,) = (checkout / "outputs").glob("*/*/bundle")
    assert "CCC, valence" in ferlab(checkout, ["evaluate", f"bundle={bundle}", "data=listed"])[0]


def test_a_model_is_one_file_a_line_and_one_yaml(checkout: Path) -> None:
    for path in ("src/ferlab/models/patchwork.py", "conf/model/patchwork.yaml"):
        (checkout / path).write_text(example(path))
    registry = checkout / "src" / "ferlab" / "models" / "__init__.py"
    line = example_line()
    text = registry.read_text().replace('    "se_resnet": SEResNet,\n', f'{line}    "se_resnet": SEResNet,\n')
    registry.write_text(
        text.replace("from ferlab.models.net", "from ferlab.models.patchwork import Patchwork\nfrom ferlab.models.net")
    )
    data = ["data=synthetic", "data.train=16", "data.validation=8", "data.test=0"]
    count = """
import glob
net = ferlab.load_bundle(glob.glob("outputs/*/*/bundle")[0]).net
print(sum(p.numel() for p in net.backbone.parameters()))
"""
    helped, trained, weights = ferlab(checkout, ["--help"], ["train", "model=patchwork", *data, *SMALL], then=count)
    assert "patchwork" in helped
    assert "best    accuracy" in trained
    assert weights.strip() == "4160"  # as the yaml says


def example_line() -> str:
    """The line for the dict of builders."""
    (line,) = re.findall(r'```python\n(    "patchwork": Patchwork,\n)```', GUIDE)
    return str(line)
