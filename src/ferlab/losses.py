"""Losses: (outputs, targets) -> scalar: a plain mean over the batch, so that its parts average to the whole.

A face without a label counts as one whose loss is 0, and the sum is divided by the share of labelled faces among
those that training sees: so a batch with few labels pulls little, and no weight changes on average.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ferlab.errors import ConfigError, TrainingError


@dataclass(frozen=True)
class LabelCounts:
    """How what training sees is labelled, in expectation over an epoch; see `ferlab.data.loaders.expected_draws`.

    Attributes:
        faces: in all.
        classes: (k,) faces a class; where votes are the targets, the sums of their shares.
        affect: values of valence and arousal that are known, at most 2 × faces.
    """

    faces: float
    classes: Sequence[float]
    affect: float = 0


def distribution(target: Tensor, classes: int) -> Tensor:
    """Class ids (n,) or distributions (n, k) as distributions (n, k) float32; a row of zeros has no label (id -1)."""
    if target.ndim == 2:
        return target.float()
    return F.one_hot(target.clamp(min=0), classes).float() * (target >= 0)[:, None]


class CrossEntropy(nn.Module):
    """Cross-entropy with class weights and label smoothing, for class ids or distributions t, also called soft targets.

    loss = mean over faces of (Σ_c t_c w_c) · (-Σ_c q_c log p_c) with q = (1 - ε) t + ε / k (Szegedy et al. 2016,
    eq. 5). A face has one weight, over all its terms, so that weights never change which answer is best for it. With a
    weight a term, as torch has it, the smoothing of a frequent class's face is that of the rare classes: on FER+'s
    counts a face that is certainly neutral would best be answered with contempt.

    The mean divides by the number of faces, where torch divides by the sum of their weights: so the gradient of a batch
    is the mean of its parts' gradients, whichever way it is split over devices.

    Args:
        counts: of what training sees.
        class_weights: e in [0, 1]: w_c is proportional to n_c^-e and 1 on average over the training faces. 0 weighs all
            faces alike; 1 all classes, with n / (k n_c).
        label_smoothing: ε in [0, 1).
    """

    heads: tuple[str, ...] = ("expression",)
    weights: Tensor
    prior: Tensor
    gamma = 0.0

    def __init__(self, counts: LabelCounts, class_weights: float = 0.0, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not (isinstance(class_weights, float | int) and 0 <= class_weights <= 1):
            raise ConfigError(
                f"loss.class_weights must be a number in [0, 1], got {class_weights}; "
                "0 weighs all faces alike, 1 all classes"
            )
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"loss.label_smoothing must be in [0, 1), got {label_smoothing}")
        self.label_smoothing = label_smoothing
        self.scale = counts.faces / max(sum(counts.classes), 1e-8)
        weights = torch.ones(len(counts.classes))
        if class_weights:
            frequency = _frequencies(counts, "class weights need", "use loss.class_weights=0")
            weights = frequency**-class_weights / (frequency ** (1 - class_weights)).sum()
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("prior", torch.zeros(len(weights)), persistent=False)

    def forward(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Loss of a batch.

        Args:
            outputs: "expression" (n, k) logits.
            targets: "expression" (n,) class ids, -1 where there is none, or (n, k) distributions.
        """
        log_p = (outputs["expression"].float() + self.prior).log_softmax(1)
        target = distribution(targets["expression"], log_p.shape[1])
        labelled = target.sum(1, keepdim=True)
        smoothed = (1 - self.label_smoothing) * target + self.label_smoothing * labelled * self.prior.softmax(0)
        terms = -smoothed * log_p
        if self.gamma:
            terms = terms * (1 - log_p.exp()).clamp(min=0) ** self.gamma
        weight = (target * self.weights).sum(1) / labelled[:, 0].clamp(min=1e-8)
        return (weight * terms.sum(1)).mean() * self.scale

    def labelled(self, targets: Mapping[str, Tensor]) -> Tensor:
        """The share of a batch that has a label, as a multiple of training's: a scalar, 1 on average."""
        target = targets["expression"]
        return (target.sum(1) if target.ndim == 2 else (target >= 0).float()).mean() * self.scale


class Focal(CrossEntropy):
    """Focal loss (Lin et al. 2017, arXiv:1708.02002, eq. 5): each class term is scaled by (1 - p_c)^γ.

    With label smoothing every class has a term, each with its own factor. At γ = 0 it is the cross-entropy. For a soft
    target the best answer is less sure than the target, but names the same class.

    Args:
        gamma: γ ≥ 0; larger values look away from faces that are already right.
        counts, class_weights, label_smoothing: as in CrossEntropy; the weights are Lin's α.
    """

    def __init__(
        self, counts: LabelCounts, gamma: float = 2.0, class_weights: float = 0.0, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(counts, class_weights, label_smoothing)
        if gamma < 0:
            raise ConfigError(f"loss.gamma must be 0 or more, got {gamma}")
        self.gamma = gamma


class SoftTarget(CrossEntropy):
    """Cross-entropy against soft targets, the votes' shares (Barsoum et al. 2016, section 3.4), for data with votes."""

    def forward(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """As CrossEntropy, for targets (n, k) only."""
        if targets["expression"].ndim == 1:
            raise TrainingError(
                "loss soft_target needs vote distributions, got class ids; "
                "use data=ferplus data.rule=cross_entropy, or loss=cross_entropy"
            )
        return super().forward(outputs, targets)


class BalancedSoftmax(CrossEntropy):
    """Cross-entropy of logits + τ log π, with π the classes' frequencies in training: for long tails.

    τ = 1 is the balanced softmax (Ren et al. 2020, arXiv:2007.10740, eq. 4); any other the logit adjustment (Menon et
    al. 2021, arXiv:2007.07314, eq. 10). The network itself then answers as if all classes were equally frequent, which
    raises the mean recall and costs accuracy.

    Labels are smoothed towards π^τ and not evenly, so that the network's own answer is smoothed evenly: else its best
    answer for a face of a frequent class could be a rare one, by ε / (k π_c^τ) against (1 - ε) / π_c^τ.

    Args:
        counts: of what training sees.
        tau: τ ≥ 0; at 0 it is the cross-entropy.
        label_smoothing: ε in [0, 1).
    """

    def __init__(self, counts: LabelCounts, tau: float = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__(counts, 0.0, label_smoothing)
        if tau < 0:
            raise ConfigError(f"loss.tau must be 0 or more, got {tau}")
        frequency = _frequencies(counts, "the balanced softmax needs", "use loss=cross_entropy")
        self.prior = tau * frequency.log()


class Affect(nn.Module):
    """Valence and arousal: mse × squared error + ccc × (1 - concordance correlation), over the known values.

    The correlation (Lin 1989, eq. 1) is that of a batch, the mean of valence and arousal, weighed as the squared error
    is by how many values are known; with fewer than two it says nothing and is left out. It does not split over the
    microbatches of a batch as a mean does: with `trainer.accumulate` or several processes it is the mean of their own.

    Args:
        counts: of what training sees.
        mse, ccc: weights of the two terms, 0 or more and not both 0.
    """

    heads: tuple[str, ...] = ("affect",)

    def __init__(self, counts: LabelCounts, mse: float = 1.0, ccc: float = 1.0) -> None:
        super().__init__()
        if min(mse, ccc) < 0 or mse + ccc == 0:
            raise ConfigError(f"the affect loss needs weights of 0 or more, one above 0, got mse={mse}, ccc={ccc}")
        self.mse, self.ccc = mse, ccc
        self.scale = 2 * counts.faces / max(counts.affect, 1e-8)

    def forward(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Loss of a batch.

        Args:
            outputs: "affect" (n, 2) in [-1, 1].
            targets: "affect" (n, 2), NaN where unknown.
        """
        predicted, target = outputs["affect"].float(), targets["affect"].float()
        known = ~target.isnan()
        error = torch.where(known, predicted - target.nan_to_num(), 0.0)
        total = self.mse * error.square().mean() * self.scale
        if self.ccc:
            distance = 1 - concordance(predicted, target.nan_to_num(), known)
            total = total + self.ccc * (known.float().mean(0) * distance).mean() * self.scale
        return total

    def labelled(self, targets: Mapping[str, Tensor]) -> Tensor:
        """The share of a batch's values that is known, as a multiple of training's: a scalar, 1 on average."""
        return (~targets["affect"].isnan()).float().mean() * self.scale


def concordance(predicted: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Concordance correlation of each column over its known rows, (d,); 1 for a column with fewer than two.

    Args:
        predicted, target: (n, d) finite.
        known: (n, d) bool.
    """
    n = known.sum(0)
    share = known / n.clamp(min=1)
    mean_x, mean_y = (predicted * share).sum(0), (target * share).sum(0)
    x, y = (predicted - mean_x) * known, (target - mean_y) * known
    covariance, spread = (x * y * share).sum(0), (share * (x.square() + y.square())).sum(0)
    value = 2 * covariance / (spread + (mean_x - mean_y).square() + 1e-8)
    return torch.where(n < 2, torch.ones_like(value), value)


class MultiTask(nn.Module):
    """α × expression loss + β × affect loss; or both weighted by learned uncertainties.

    With `uncertainty`, e^(-s) L + s / 2 is summed over the two weighted losses, s the learned logarithm of a variance
    (Kendall et al. 2018, arXiv:1705.07115, eq. 10, with the affect loss halved as for a Gaussian). Each s / 2 is
    weighed by how much of the batch is labelled for its loss: a batch without valence and arousal says nothing of their
    variance.

    Args:
        counts: of what training sees.
        expression: counts -> any classification loss of this module.
        affect: counts -> Affect.
        alpha, beta: α and β, 0 or more.
        uncertainty: learn the weights.
    """

    heads: tuple[str, ...] = ("expression", "affect")

    def __init__(
        self,
        counts: LabelCounts,
        expression: Callable[..., CrossEntropy],
        affect: Callable[..., Affect],
        alpha: float = 1.0,
        beta: float = 0.5,
        uncertainty: bool = False,
    ) -> None:
        super().__init__()
        if min(alpha, beta) < 0 or alpha + beta == 0:
            raise ConfigError(f"loss.alpha and loss.beta must be 0 or more, one above 0, got {alpha} and {beta}")
        self.expression, self.affect = expression(counts=counts), affect(counts=counts)
        self.alpha, self.beta = alpha, beta
        self.log_variance = nn.Parameter(torch.zeros(2)) if uncertainty else None

    def forward(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Loss of a batch; outputs and targets as CrossEntropy and Affect take them."""
        first: Tensor = self.alpha * self.expression(outputs, targets)
        second: Tensor = self.beta * self.affect(outputs, targets)
        if self.log_variance is None:
            return first + second
        precision = torch.exp(-self.log_variance)
        labelled = torch.stack([self.expression.labelled(targets), self.affect.labelled(targets)])
        return precision[0] * first + precision[1] * second / 2 + (labelled * self.log_variance).sum() / 2


class Distillation(nn.Module):
    """(1 - weight) × loss on the labels + weight × distance from a teacher (Hinton et al. 2015, arXiv:1503.02531).

    The distance is T² KL(q ‖ p), q and p the softmax of the teacher's and the student's logits divided by T (eq. 1).
    Its gradient is T² times that of the paper's cross-entropy (eq. 2), which keeps its size when T changes, and it is
    0 where both agree. For valence and arousal it is the squared error. It is a mean over all faces: the teacher
    answers for a face without a label, and for a blend, too.

    Args:
        counts: of what training sees.
        labels: counts -> any other loss of this module; its heads are learned from the teacher as well.
        temperature: T > 0; larger values tell more of the unlikely classes.
        weight: the teacher's, above 0 and at most 1.
        affect: of the squared error of valence and arousal, beside that of expressions; 0 or more.
    """

    def __init__(
        self,
        counts: LabelCounts,
        labels: Callable[..., nn.Module],
        temperature: float = 4.0,
        weight: float = 0.9,
        affect: float = 1.0,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ConfigError(f"loss.temperature must be positive, got {temperature}")
        if not 0 < weight <= 1:
            raise ConfigError(f"loss.weight must be above 0 and at most 1, got {weight}")
        if affect < 0:
            raise ConfigError(f"loss.affect must be 0 or more, got {affect}")
        self.labels = labels(counts=counts)
        self.heads: tuple[str, ...] = self.labels.heads  # type: ignore[assignment]
        self.temperature, self.weight, self.affect = temperature, weight, affect

    def forward(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """Loss of a batch.

        Args:
            outputs: as the loss on the labels takes them.
            targets: as well; and "teacher_expression" (n, k) logits, "teacher_affect" (n, 2), for each head.
        """
        total: Tensor = (1 - self.weight) * self.labels(outputs, targets)
        if "expression" in self.heads:
            logits = outputs["expression"].float(), targets["teacher_expression"].float()
            p, q = ((each / self.temperature).log_softmax(1) for each in logits)
            divergence = F.kl_div(p, q, reduction="batchmean", log_target=True)
            total = total + self.weight * self.temperature**2 * divergence
        if "affect" in self.heads:
            error = outputs["affect"].float() - targets["teacher_affect"].float()
            total = total + self.weight * self.affect * error.square().mean()
        return total


def _frequencies(counts: LabelCounts, who: str, remedy: str) -> Tensor:
    """(k,) shares of the classes among the labelled faces; ConfigError if one has no face."""
    faces = torch.tensor(list(counts.classes), dtype=torch.float32)
    if (faces == 0).any():
        shown = [round(n) for n in counts.classes]
        raise ConfigError(f"{who} every class in the training split, got counts {shown}; {remedy}")
    return faces / faces.sum()
