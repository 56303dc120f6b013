"""Augmentation of whole batches on tensors: one fused affine warp, brightness and contrast, and erasing.

The albumentations pipelines of conf/augment work face by face in the loader. This one works on the batch, on the CPU
or the GPU, and costs a few per cent of a training step.
"""

import math
import os

import torch
from torch import Tensor
from torch.nn import functional as F

from ferlab.errors import ConfigError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # albumentations asks the network for its newest version


class BatchAugment:
    """A random change of each face, as a pure function of the faces and of uniform numbers.

    Args:
        flip: probability of mirroring.
        rotate: degrees; the angle is uniform in ±rotate.
        scale: the size is uniform in 1 ± scale.
        translate: the shift is uniform in ±translate of the side, in x and in y.
        brightness: what is added is uniform in ±brightness of the full range.
        contrast: the factor about the face's mean is uniform in 1 ± contrast.
        erase: probability of greying out a rectangle (Zhong et al. 2020, arXiv:1708.04896).
        erase_side: smallest and largest side of that rectangle, as fractions of the face's.
    """

    DRAWS = 12  # uniform numbers a face

    def __init__(
        self,
        flip: float = 0.5,
        rotate: float = 15.0,
        scale: float = 0.15,
        translate: float = 0.1,
        brightness: float = 0.1,
        contrast: float = 0.2,
        erase: float = 0.5,
        erase_side: tuple[float, float] = (0.125, 0.4),
    ) -> None:
        for name, value, most in (
            ("flip", flip, 1),
            ("rotate", rotate, 180),
            ("scale", scale, 0.9),
            ("translate", translate, 1),
            ("brightness", brightness, 1),
            ("contrast", contrast, 1),
            ("erase", erase, 1),
        ):
            if not 0 <= value <= most:
                raise ConfigError(f"augment.batch.{name} must be in [0, {most}], got {value}")
        if not 0 < erase_side[0] <= erase_side[1] <= 1:
            raise ConfigError(
                "augment.batch.erase_side must be the smallest and the largest side in (0, 1], "
                f"got {list(erase_side)}; such as [0.125, 0.4]"
            )
        self.flip, self.rotate, self.scale, self.translate = flip, rotate, scale, translate
        self.brightness, self.contrast = brightness, contrast
        self.erase, self.erase_side = erase, erase_side

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Change a batch.

        Args:
            images: (n, c, h, w) uint8 or float, 0-255.
            uniform: (n, DRAWS) numbers in [0, 1), on any device; the same numbers give the same change.

        Returns:
            (n, c, h, w) float32 in [0, 255].
        """
        u = uniform.to(images.device)
        warped = F.grid_sample(
            images.float(),
            F.affine_grid(self._matrices(u), list(images.shape), align_corners=False),
            padding_mode="reflection",
            align_corners=False,
        )
        mean = warped.mean((1, 2, 3), keepdim=True)
        factor = 1 + self.contrast * (2 * u[:, 5] - 1).view(-1, 1, 1, 1)
        offset = 255 * self.brightness * (2 * u[:, 6] - 1).view(-1, 1, 1, 1)
        toned = torch.addcmul(mean * (1 - factor) + offset, warped, factor)
        return self._erase(toned, u).clamp_(0, 255)

    def _matrices(self, u: Tensor) -> Tensor:
        """(n, 2, 3): output position -> input position, both in [-1, 1] as affine_grid wants them."""
        mirror = torch.where(u[:, 0] < self.flip, -1.0, 1.0)
        angle = math.radians(self.rotate) * (2 * u[:, 1] - 1)
        zoom = 1 / (1 + self.scale * (2 * u[:, 2] - 1))
        shift = 2 * self.translate * (2 * u[:, 3:5] - 1)  # the side is 2 long
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        rows = torch.stack([mirror * cos, -sin, shift[:, 0], mirror * sin, cos, shift[:, 1]], 1)
        return rows.view(-1, 2, 3)

    def _erase(self, images: Tensor, u: Tensor) -> Tensor:
        height, width = images.shape[2:]
        low, high = self.erase_side
        on = (u[:, 7] < self.erase)[:, None]

        def inside(length: int, side: Tensor, centre: Tensor) -> Tensor:
            """(n, length) bool: positions within half a side of the centre."""
            positions = torch.arange(length, device=images.device)[None] + 0.5
            half = (low + (high - low) * side) * length / 2
            return (positions - centre[:, None] * length).abs() < half[:, None]

        rows, columns = inside(height, u[:, 8], u[:, 9]) & on, inside(width, u[:, 10], u[:, 11])
        box = (rows[:, :, None] & columns[:, None, :])[:, None]
        return images.masked_fill(box, 127.5)
