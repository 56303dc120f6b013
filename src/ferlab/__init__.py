"""ferlab: honest training, evaluation and experimentation for facial expression recognition."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_bundle"]

if TYPE_CHECKING:
    from ferlab.bundle import load_bundle


def __getattr__(name: str) -> Any:
    """Import torch only when it is needed, so that `ferlab --help` is instant."""
    if name == "load_bundle":
        from ferlab.bundle import load_bundle

        return load_bundle
    raise AttributeError(f"module 'ferlab' has no attribute '{name}'")
