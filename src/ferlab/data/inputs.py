"""Face crops as a program has them, files, pictures of PIL or arrays, as the (h, w, 3) uint8 RGB that ferlab reads."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ferlab.data.images import read_image
from ferlab.errors import DataError, SpecError, suggest
from ferlab.spec import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Order = Literal["rgb", "bgr", "gray"]
SHAPES: dict[str, str] = {"rgb": "(h, w, 3)", "bgr": "(h, w, 3)", "gray": "(h, w)"}
PIL_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")  # those of 8 bits or less, which RGB holds without loss


def listed(faces: Any, colour: str) -> tuple[list[Any], bool]:
    """The faces one by one, each as `read_face` takes it, and whether a single one was given.

    Args:
        faces: a path, a picture of PIL, an array of one face or, with one dimension more, of several, or a list.
        colour: of arrays, see `read_face`.

    Raises:
        SpecError: an unknown colour, or an array with channels that is said to be grey.
    """
    if colour not in SHAPES:
        raise SpecError(f"unknown colour '{colour}' of a face; {suggest(str(colour), get_args(Order))}")
    if isinstance(faces, np.ndarray) and colour == "gray" and faces.ndim > 2 and faces.shape[-1] in (1, 3, 4):
        raise SpecError(
            f"grey faces must be (h, w) or (n, h, w), got {faces.shape}; say colour='rgb' or take one channel"
        )
    if isinstance(faces, np.ndarray) and faces.ndim == len(SHAPES[colour].split(",")) + 1:
        return list(faces), False
    if isinstance(faces, Sequence) and not isinstance(faces, str):
        return list(faces), False
    return [faces], True


def read_face(face: Any, colour: str) -> Image:
    """One face crop, (h, w, 3) uint8 RGB, contiguous.

    Args:
        face: the path of a picture; a picture of PIL; or a uint8 array, (h, w, 3) or, if it is grey, (h, w).
        colour: what an array holds: "rgb", "bgr" (as cv2.imread gives it) or "gray". Files and pictures of PIL say that
            themselves.

    Raises:
        SpecError: it is something else, or an array of another shape or type than `colour` says.
        DataError: a file that cannot be read.
    """
    if isinstance(face, np.ndarray):
        return _from_array(face, colour)
    is_path = isinstance(face, str | os.PathLike)
    if not is_path and not ("PIL.Image" in sys.modules and isinstance(face, sys.modules["PIL.Image"].Image)):
        wanted = "a path, a picture of PIL or a uint8 array, or a list of them"
        raise SpecError(f"a face must be {wanted}, got {type(face).__name__}; convert it")
    if colour != "rgb":
        said = "a picture file" if is_path else "a picture of PIL"
        raise SpecError(f"colour must be said of arrays alone, got '{colour}' for {said}, which says it; leave it out")
    return _from_path(face) if is_path else _from_pil(face)


def _from_array(face: npt.NDArray[Any], colour: str) -> Image:
    wanted, dimensions = SHAPES[colour], 2 if colour == "gray" else 3
    if face.dtype != np.uint8 or face.ndim != dimensions or face.shape[2:] not in ((), (3,)) or 0 in face.shape:
        remedy = "give pixels from 0 to 255" if face.dtype != np.uint8 else "put three channels last"
        remedy = "say colour='gray'" if face.ndim == 2 and colour != "gray" else remedy
        raise SpecError(f"a face of colour '{colour}' must be {wanted} uint8, got {face.shape} {face.dtype}; {remedy}")
    if colour == "gray":
        return np.repeat(face[..., None], 3, axis=2)
    return np.ascontiguousarray(face[..., ::-1] if colour == "bgr" else face)


def _from_path(face: str | os.PathLike[str]) -> Image:
    path = Path(face).expanduser()
    if path.is_dir():
        raise DataError(f"a face must be a picture file, got the folder {path}; give a list of its pictures")
    return read_image(path)


def _from_pil(face: "Picture") -> Image:
    from PIL import ImageOps

    if face.mode not in PIL_MODES:
        raise SpecError(f"a picture of PIL must have a mode of {', '.join(PIL_MODES)}, got {face.mode}; convert it")
    upright = ImageOps.exif_transpose(face)
    return np.array(upright.convert("RGB"), np.uint8)
