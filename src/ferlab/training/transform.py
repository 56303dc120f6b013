"""What happens to a batch on its way to the network: classes drawn from votes, augmentation, MixUp and CutMix.

All of it is a function of the seed, the epoch and the step, so that a resumed run does as the unbroken one would have.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ferlab.data.augment import BatchAugment
from ferlab.data.loaders import Batch
from ferlab.losses import distribution
from ferlab.training.config import MixOptions


@dataclass(frozen=True)
class Transform:
    """The chain for training batches.

    Attributes:
        classes: number of expression classes.
        seed: with the epoch and the step it decides what MixUp and CutMix draw.
        draw: replace vote distributions by one class drawn from them.
        augment: on whole batches, or None.
        mixing: see MixOptions.
    """

    classes: int
    seed: int
    draw: bool = False
    augment: BatchAugment | None = None
    mixing: MixOptions = field(default_factory=MixOptions)

    def __call__(self, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Images (n, c, h, w), uint8 or float 0-255, and targets; after mixing, "expression" is a distribution."""
        images, targets = batch.images, batch.targets
        if self.draw:
            targets = targets | {"expression": draw_class(targets["expression"], batch.part.uniform[:, -1])}
        if self.augment is not None:
            images = self.augment(images, batch.part.uniform[:, :-1])
        rng = np.random.default_rng([self.seed, epoch, 3, batch.part.step])
        return mix(images, targets, self.mixing, self.classes, rng)


def draw_class(votes: Tensor, uniform: Tensor) -> Tensor:
    """One class a row, the votes (n, k) its probabilities, from uniform numbers (n,) in [0, 1); -1 without votes."""
    bounds = votes.cumsum(1)
    # The rows sum to 1 up to rounding only: without the factor a number near 1 could fall behind the last class.
    drawn = (bounds <= uniform.to(votes.device)[:, None] * bounds[:, -1:]).sum(1)
    return torch.where(bounds[:, -1] > 0, drawn, -1)


def mix(
    images: Tensor, targets: dict[str, Tensor], options: MixOptions, classes: int, rng: np.random.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Blend each face with the one at the mirrored place of the batch; `plan` cuts a step so that this is the same face
    as in the whole of it.

    Valence and arousal become unknown (NaN): blended as the classes' shares are, they can be arbitrarily wrong (Yao et
    al. 2022, arXiv:2210.05775).
    """
    kinds = [name for name in ("mixup", "cutmix") if getattr(options, name) > 0]
    if not kinds or rng.random() >= options.probability:
        return images, targets
    kind = kinds[int(rng.integers(len(kinds)))]
    alpha = getattr(options, kind)
    keep = float(rng.beta(alpha, alpha))
    images = images.float()
    if kind == "mixup":
        images = torch.lerp(images.flip(0), images, keep)
    else:
        images, keep = _paste(images, keep, rng)
    shares = distribution(targets["expression"], classes)
    mixed = targets | {"expression": torch.lerp(shares.flip(0), shares, keep)}
    if "affect" in mixed:
        mixed["affect"] = torch.full_like(mixed["affect"], torch.nan)
    return images, mixed


def _paste(images: Tensor, keep: float, rng: np.random.Generator) -> tuple[Tensor, float]:
    """Put a box of the mirrored batch into each face; also the share of each face that is left."""
    height, width = images.shape[2:]
    side = (1 - keep) ** 0.5
    y, x = rng.integers(height), rng.integers(width)
    top, bottom = (int(np.clip(y + s * side * height / 2, 0, height)) for s in (-1, 1))
    left, right = (int(np.clip(x + s * side * width / 2, 0, width)) for s in (-1, 1))
    pasted = images.clone()
    pasted[:, :, top:bottom, left:right] = images.flip(0)[:, :, top:bottom, left:right]
    return pasted, 1 - (bottom - top) * (right - left) / (height * width)
