"""The models in the box: trained, small, with their cards, and there right after installing."""

from pathlib import Path

from ferlab.errors import BundleError, suggest

_FOLDER = Path(__file__).parent
# What `bundle=` may name in place of a path. A model's files lie in one folder: the card there is that of all.
BOX = {"ferplus": _FOLDER / "ferplus", "ferplus_int8": _FOLDER / "ferplus" / "model_int8.onnx"}
DEFAULT = "ferplus"


def located(model: str | Path) -> Path:
    """Where a model lies that is given by its name in the box, or by its path.

    A name means the box, also where something in the working folder is called so: that can be had as ./name, or as a
    Path.

    Raises:
        BundleError: a bare word that is neither.
    """
    name = str(model)
    if isinstance(model, str) and name in BOX:
        return BOX[name]
    path = Path(model).expanduser()
    if str(path) in BOX:  # a Path forgets its ./
        return path.absolute()
    if path.name == name and not path.suffix and not path.exists():
        raise BundleError(
            f"a bundle must be a path or the name of a model in the box, got {name}, which is none; "
            f"{suggest(name, BOX)}"
        )
    return path


def beside(path: Path | None) -> Path:
    """The folder for what is made of a model that was read from `path`: that in which it lies; for one in the box,
    which belongs to the installation, `outputs/<its name>`.
    """
    if named(path) and path is not None:
        return Path("outputs") / next(name for name, place in BOX.items() if place in (path, path.parent))
    return (path or Path()).absolute().parent


def named(path: Path | None) -> str | None:
    """The name in the box of what was read from `path`; None for what comes from elsewhere."""
    return next((name for name, place in BOX.items() if place == path), None)
