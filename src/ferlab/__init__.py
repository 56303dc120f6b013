"""ferlab: honest training, evaluation and experimentation for facial expression recognition.

From Python: `train` a model, `load` a bundle or an exported file, `evaluate` it on a `dataset`, watch a camera or a
video `live`. docs/guide.md has a section on it, and docs/ferlab.ipynb is a notebook.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Bundle",
    "ModelSpec",
    "Prediction",
    "Report",
    "Run",
    "__version__",
    "dataset",
    "evaluate",
    "live",
    "load",
    "load_bundle",
    "train",
]

if TYPE_CHECKING:
    from ferlab.bundle import Bundle, load_bundle
    from ferlab.evaluation.report import Report
    from ferlab.evaluation.run import dataset, evaluate
    from ferlab.formats import open_model as load
    from ferlab.live.run import live
    from ferlab.runner import Prediction
    from ferlab.spec import ModelSpec
    from ferlab.training.run import Run, train

HOMES = {
    "Bundle": "bundle:Bundle",
    "ModelSpec": "spec:ModelSpec",
    "Prediction": "runner:Prediction",
    "Report": "evaluation.report:Report",
    "Run": "training.run:Run",
    "dataset": "evaluation.run:dataset",
    "evaluate": "evaluation.run:evaluate",
    "live": "live",
    "load": "formats:open_model",
    "load_bundle": "bundle:load_bundle",
    "train": "training.run:train",
}


def __getattr__(name: str) -> Any:
    """Import torch only when it is needed, so that `ferlab --help` is instant."""
    if name in HOMES:
        module, _, found = HOMES[name].partition(":")
        home = import_module(f"ferlab.{module}")
        return getattr(home, found) if found else home
    raise AttributeError(f"module 'ferlab' has no attribute '{name}'")


def __dir__() -> list[str]:
    """What completion offers: the names above, and what every module has."""
    return sorted({*__all__, *globals()})
