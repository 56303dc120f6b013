"""Losses: (outputs, targets) -> scalar: the plain mean over the batch, so that its parts average to the whole."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ferlab.errors import ConfigError, TrainingError, suggest

CLASS_WEIGHTS = ("none", "balanced")


class CrossEntropy(nn.Module):
    """Cross-entropy with class weights and label smoothing, for class ids or distributions.

    loss = mean over faces of -Σ_c w_c q_c log p_c with q = (1 - ε) target + ε / k (Szegedy et al. 2016, eq. 5). The
    mean divides by the number of faces, where torch divides by the sum of their weights: so the gradient of a batch
    is the mean of its parts' gradients, whichever way it is split over devices.

    Args:
        class_counts: (k,) training faces a class.
        class_weights: "none", or "balanced": w_c = n / (k n_c), which is 1 on average over the training faces.
        label_smoothing: ε in [0, 1).
    """

    weights: Tensor | None
    gamma = 0.0

    def __init__(self, class_counts: Sequence[int], class_weights: str = "none", label_smoothing: float = 0.0) -> None:
        super().__init__()
        if class_weights not in CLASS_WEIGHTS:
            raise ConfigError(f"unknown loss.class_weights '{class_weights}'; {suggest(class_weights, CLASS_WEIGHTS)}")
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"loss.label_smoothing must be in [0, 1), got {label_smoothing}")
        self.label_smoothing = label_smoothing
        self.register_buffer("weights", None, persistent=False)
        if class_weights == "balanced":
            counts = torch.tensor(class_counts, dtype=torch.float32)
            if (counts == 0).any():
                raise ConfigError(
                    f"balanced class weights need every class in the training split, got counts {list(class_counts)}; "
                    "use loss.class_weights=none"
                )
            self.weights = counts.sum() / (len(counts) * counts)

    def forward(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Loss of a batch.

        Args:
            outputs: "expression" (n, k) logits.
            targets: "expression" (n,) class ids or (n, k) distributions.
        """
        logits, target = outputs["expression"].float(), targets["expression"]
        k = logits.shape[1]
        shares = F.one_hot(target, k).float() if target.ndim == 1 else target
        shares = (1 - self.label_smoothing) * shares + self.label_smoothing / k
        log_p = logits.log_softmax(1)
        terms = -shares * log_p
        if self.gamma:
            terms = terms * (1 - log_p.exp()).clamp(min=0) ** self.gamma
        if self.weights is not None:
            terms = terms * self.weights
        return terms.sum(1).mean()


class Focal(CrossEntropy):
    """Focal loss (Lin et al. 2017, arXiv:1708.02002, eq. 5): each class term is scaled by (1 - p_c)^γ.

    With label smoothing every class has a term, each with its own factor. At γ = 0 it is the cross-entropy.

    Args:
        gamma: γ ≥ 0; larger values look away from faces that are already right.
        class_counts, class_weights, label_smoothing: as in CrossEntropy; the weights are Lin's α.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        gamma: float = 2.0,
        class_weights: str = "none",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(class_counts, class_weights, label_smoothing)
        if gamma < 0:
            raise ConfigError(f"loss.gamma must be 0 or more, got {gamma}")
        self.gamma = gamma


class SoftTarget(CrossEntropy):
    """Cross-entropy against the votes (Barsoum et al. 2016, section 3.4), for data that has them."""

    def forward(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """As CrossEntropy, for targets (n, k) only."""
        if targets["expression"].ndim == 1:
            raise TrainingError(
                "loss soft_target needs vote distributions, got class ids; "
                "use data=ferplus data.rule=cross_entropy, or loss=cross_entropy"
            )
        return super().forward(outputs, targets)
