"""Test-time augmentation: several views of a prepared face, whose probabilities are averaged."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from ferlab.errors import ConfigError, suggest
from ferlab.spec import Image


def plain(images: Image) -> Image:
    """The faces as they are: (n, c, s, s) -> (1, n, c, s, s)."""
    return images[None]


def flip(images: Image) -> Image:
    """The face and its mirror image: (n, c, s, s) -> (2, n, c, s, s)."""
    return np.stack([images, images[..., ::-1]])


def ten_crop(images: Image) -> Image:
    """Four corner crops, the centre crop, and the mirror image of each: (n, c, s, s) -> (10, n, c, s, s).

    Crops are 11/12 of the side, which is the 44 of 48 pixels of the FER2013 papers, and are enlarged back to s by
    bilinear interpolation (pixel centres at halves, edges repeated), rounded to uint8. The papers feed 44-pixel crops
    to networks that were trained on 44-pixel crops; here the network keeps the size of its specification, so faces
    appear 9 % larger than in `plain`.

    Order: top left, top right, bottom left, bottom right, centre (offset rounded down), then the mirrors of these.
    """
    size = images.shape[-1]
    side = crop_side(size)
    far, middle = size - side, (size - side) // 2
    corners = [(0, 0), (0, far), (far, 0), (far, far), (middle, middle)]
    crops = [_enlarge(images[..., y : y + side, x : x + side], size) for y, x in corners]
    return np.stack([*crops, *(crop[..., ::-1] for crop in crops)])


def crop_side(size: int) -> int:
    """Side of a ten-crop view before it is enlarged, pixels: 11/12 of `size`, rounded."""
    return round(size * 11 / 12)


def _enlarge(images: Image, size: int) -> Image:
    pixels = torch.from_numpy(np.ascontiguousarray(images)).float()
    larger = F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False)
    return larger.round().to(torch.uint8).numpy()


VIEWS: dict[str, Callable[[Image], Image]] = {"plain": plain, "flip": flip, "ten_crop": ten_crop}


def views(name: str) -> Callable[[Image], Image]:
    """The function of VIEWS called `name`; ConfigError with the nearest name if there is none."""
    if name not in VIEWS:
        raise ConfigError(f"unknown tta '{name}'; {suggest(name, VIEWS)}")
    return VIEWS[name]


def view_count(name: str) -> int:
    """How many views of a face the function of VIEWS called `name` makes."""
    return len(views(name)(np.zeros((1, 1, 12, 12), np.uint8)))
