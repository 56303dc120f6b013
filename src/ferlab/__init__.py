"""ferlab: honest training, evaluation and experimentation for facial expression recognition."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_bundle", "train"]

if TYPE_CHECKING:
    from ferlab.bundle import load_bundle
    from ferlab.training.run import train

HOMES = {"load_bundle": "ferlab.bundle", "train": "ferlab.training.run"}


def __getattr__(name: str) -> Any:
    """Import torch only when it is needed, so that `ferlab --help` is instant."""
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module 'ferlab' has no attribute '{name}'")
