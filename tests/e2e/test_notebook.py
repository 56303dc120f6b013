"""docs/ferlab.ipynb as Jupyter runs it: its cells in one process, in their order, with less data."""

import ast
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "docs" / "ferlab.ipynb"
CELLS = [cell for cell in json.loads(FILE.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
SHORTER = {
    '{"train": 1024, "validation": 256, "test": 256}': '{"train": 64, "validation": 256, "test": 40}',
    '"trainer.epochs=8"': '"trainer.epochs=1", "tracker.model=false"',
    "format=onnx": "format=torchscript",  # in a second
    "model.onnx": "model.torchscript",
    "bootstrap=500": "bootstrap=10",
}


def run(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell and give the value of its last line, which a notebook shows."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "a cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "a cell", "eval"), names) if last else None


def test_every_cell_runs_and_shows_little(in_tmp: None, capsys: pytest.CaptureFixture[str]) -> None:
    text = "\0".join("".join(cell["source"]) for cell in CELLS)
    for long, short in SHORTER.items():
        assert text.count(long) == 1
        text = text.replace(long, short)
    names: dict[str, Any] = {"__name__": "__main__"}
    with mpl.rc_context({"backend": "agg"}):
        shown = [run(cell, names) for cell in text.split("\0")]
        plt.close("all")
    mlflow.set_tracking_uri(None)  # nor does it stay in the environment
    assert max(len(repr(value)) for value in shown) < 2000
    assert np.mean(names["agree"]) == 1
    assert names["runs"]["tags.mlflow.runName"].tolist() == [names["run"].folder.path.name]
    assert "<img" in names["report"]._repr_html_()
    assert "% of the labels agree" in capsys.readouterr().out


def test_no_output_is_stored() -> None:
    assert [cell["outputs"] for cell in CELLS] == [[]] * len(CELLS)
    assert [cell["execution_count"] for cell in CELLS] == [None] * len(CELLS)
