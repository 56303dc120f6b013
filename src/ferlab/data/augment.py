"""Augmentation of whole batches on tensors: one fused affine warp, brightness and contrast, and erasing; and, for who
trains for a camera, what its light, lens and sensor do.

The albumentations pipelines of conf/augment work face by face in the loader. These work on the batch, on the CPU or the
GPU, and cost a few per cent of a training step.
"""

import math
import os
from functools import lru_cache
from itertools import product
from typing import Any

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
        _check("flip", flip, 1)
        _check("rotate", rotate, 180)
        _check("scale", scale, 0.9)
        _check("translate", translate, 1)
        _check("brightness", brightness, 1)
        _check("contrast", contrast, 1)
        _check("erase", erase, 1)
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


def _check(name: str, value: float, most: float) -> None:
    if not 0 <= value <= most:
        raise ConfigError(f"augment.batch.{name} must be in [0, {most}], got {value}")


class CameraAugment(BatchAugment):
    """`BatchAugment`, and then what a camera adds: blur, few pixels, a gamma, light from one side, noise.

    A pure function too: noise is cut out of one constant picture of it, at a place that the uniform numbers choose.

    Args:
        share: of the faces that go through the camera; the others are as `BatchAugment` leaves them, so that clean
            faces stay known.
        blur: probability of a Gaussian blur, along a random direction, so that it takes in moving faces.
        blur_width: largest standard deviation of it along that direction, as a fraction of the face's side; across it
            is a uniform share of that.
        coarse: probability of few pixels.
        coarse_side: side to which such a face is reduced at the most, as a fraction of its own.
        gamma: the logarithm of the exponent is uniform in ±log(gamma).
        shade: brightness rises by a factor of up to 1 ± shade from the middle to the edge of the face, along a random
            direction.
        noise: largest standard deviation of white noise, as a fraction of the full range; grey, as of a dim sensor.
        others: of `BatchAugment`.
    """

    DRAWS = BatchAugment.DRAWS + 13
    STEPS = 4  # sizes to which faces are reduced, from all but full to coarse_side
    TAPS = 9  # of the blur

    def __init__(
        self,
        share: float = 0.5,
        blur: float = 0.25,
        blur_width: float = 0.03,
        coarse: float = 0.25,
        coarse_side: float = 0.45,
        gamma: float = 1.5,
        shade: float = 0.3,
        noise: float = 0.03,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        _check("share", share, 1)
        _check("blur", blur, 1)
        _check("blur_width", blur_width, 0.1)
        _check("coarse", coarse, 1)
        _check("shade", shade, 1)
        _check("noise", noise, 1)
        if not 0.1 <= coarse_side <= 1:
            raise ConfigError(f"augment.batch.coarse_side must be in [0.1, 1], got {coarse_side}")
        if not 1 <= gamma <= 10:
            raise ConfigError(f"augment.batch.gamma must be in [1, 10], got {gamma}; 1 changes nothing")
        self.blur, self.blur_width, self.coarse, self.coarse_side = blur, blur_width, coarse, coarse_side
        self.share, self.gamma, self.shade, self.noise = share, gamma, shade, noise

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Change a batch; arguments and result as of `BatchAugment`, with as many numbers a face as this has DRAWS."""
        plain = super().__call__(images, uniform)
        u = uniform.to(images.device)[:, BatchAugment.DRAWS :]
        seen = (u[:, 12] < self.share).nonzero()[:, 0]
        if not len(seen):
            return plain
        u, changed = u[seen], plain[seen]
        changed = self._coarse(self._blur(changed, u[:, :4]), u[:, 4:6])
        changed = self._noise(self._light(changed, u[:, 6:9]), u[:, 9:12])
        return plain.index_copy(0, seen, changed.clamp_(0, 255))

    def _blur(self, images: Tensor, u: Tensor) -> Tensor:
        on = u[:, 0] < self.blur
        if not (self.blur_width and on.any()):
            return images
        (height, width), u = images.shape[2:], u[on]
        along = (self.blur_width * height * u[:, 1]).clamp(min=1e-2)
        across, angle = (along * u[:, 2]).clamp(min=1e-2), math.pi * u[:, 3]
        reach = torch.arange(self.TAPS, device=images.device) - self.TAPS // 2
        y, x = reach[:, None], reach[None, :]
        cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
        # A width below a pixel's would fall between the taps: no tap but the middle one is then heard, as it should be.
        exponent = ((x * cos + y * sin) / along[:, None, None]) ** 2 + (
            (y * cos - x * sin) / across[:, None, None]
        ) ** 2
        kernels = torch.exp(-exponent / 2)
        kernels = (kernels / kernels.sum((1, 2), keepdim=True))[:, :, :, None, None, None]  # (m, y, x, 1, 1, 1)
        edge = self.TAPS // 2
        framed = F.pad(images[on], (edge, edge, edge, edge), mode="replicate")
        blurred = torch.zeros_like(images[on])
        # A convolution with a kernel a face takes torch ten times as long as this sum of shifted pictures.
        for i, j in product(range(self.TAPS), repeat=2):
            blurred.addcmul_(kernels[:, i, j], framed[:, :, i : i + height, j : j + width])
        return images.index_copy(0, on.nonzero()[:, 0], blurred)

    def _coarse(self, images: Tensor, u: Tensor) -> Tensor:
        size = images.shape[2:]
        for step in range(self.STEPS):
            chosen = ((u[:, 0] < self.coarse) & ((u[:, 1] * self.STEPS).long() == step)).nonzero()[:, 0]
            share = 1 - (1 - self.coarse_side) * (step + 1) / self.STEPS
            smaller = [max(1, round(side * share)) for side in size]
            if len(chosen) and smaller != list(size):
                reduced = F.interpolate(images[chosen], smaller, mode="area")
                images = images.index_copy(
                    0, chosen, F.interpolate(reduced, size, mode="bilinear", align_corners=False)
                )
        return images

    def _light(self, images: Tensor, u: Tensor) -> Tensor:
        exponent = torch.exp(math.log(self.gamma) * (2 * u[:, 0] - 1)).view(-1, 1, 1, 1)
        ys, xs = (torch.linspace(-1, 1, side, device=images.device) for side in images.shape[2:])
        angle = 2 * math.pi * u[:, 2].view(-1, 1, 1, 1)
        slope = xs.view(1, 1, 1, -1) * angle.cos() + ys.view(1, 1, -1, 1) * angle.sin()
        return 255 * (images / 255) ** exponent * (1 + self.shade * u[:, 1].view(-1, 1, 1, 1) * slope)

    def _noise(self, images: Tensor, u: Tensor) -> Tensor:
        if not self.noise:
            return images
        height, width = images.shape[2:]
        bank = _white(height + width, str(images.device))
        top, left = ((v * (height + width - side)).long() for v, side in ((u[:, 1], height), (u[:, 2], width)))
        rows = top[:, None] + torch.arange(height, device=images.device)
        columns = left[:, None] + torch.arange(width, device=images.device)
        strength = 255 * self.noise * u[:, 0].view(-1, 1, 1, 1)
        return images + strength * bank[rows[:, :, None], columns[:, None, :]][:, None]


@lru_cache
def _white(side: int, device: str) -> Tensor:
    """White noise of mean 0 and deviation 1, (side, side), the same for a side."""
    return torch.randn(side, side, generator=torch.Generator().manual_seed(side)).to(device)
