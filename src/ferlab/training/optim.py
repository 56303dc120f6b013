"""Parameter groups, the frozen backbone, and learning-rate schedules."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from ferlab.errors import ConfigError
from ferlab.models import Net


def parameter_groups(
    net: Net, loss: nn.Module, lr: float, weight_decay: float, backbone_lr: float = 1.0
) -> list[dict[str, Any]]:
    """Backbone, loss and heads, each with and without weight decay; empty groups are left out.

    Biases and normalisation weights, those of one dimension, are not decayed (He et al. 2019, section 3.1).

    Args:
        net, loss: their parameters; most losses have none.
        lr: of the heads.
        weight_decay: of the decayed groups.
        backbone_lr: the backbone's learning rate as a fraction of `lr`.
    """
    groups = []
    for module, rate in ((net.backbone, lr * backbone_lr), (loss, lr), (net.heads, lr)):
        parameters = list(module.parameters())
        for chosen, decay in (
            ([p for p in parameters if p.ndim > 1], weight_decay),
            ([p for p in parameters if p.ndim <= 1], 0.0),
        ):
            if chosen:
                groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
    return groups


def freeze(net: Net, frozen: bool) -> None:
    """Stop or resume the training of the backbone, batch statistics and dropout included. Call after net.train()."""
    for parameter in net.backbone.parameters():
        parameter.requires_grad_(not frozen)
    if frozen:
        net.backbone.eval()


@dataclass
class Schedule:
    """A torch scheduler and when it moves.

    Attributes:
        scheduler: any of torch's.
        every_step: move after each optimizer step, else after each epoch.
    """

    scheduler: LRScheduler | ReduceLROnPlateau
    every_step: bool

    def after_step(self) -> None:
        """Move, if this schedule moves by steps."""
        if self.every_step:
            self.scheduler.step()  # type: ignore[call-arg]

    def after_epoch(self, monitored: float) -> None:
        """Move, if this schedule moves by epochs; `monitored` is the value that best-keeping goes by."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(monitored)
        elif not self.every_step:
            self.scheduler.step()


# The builders that conf/scheduler/*.yaml name. Each gets the optimizer, steps an epoch, epochs and whether the
# monitored metric is to grow.


def onecycle(
    optimizer: Optimizer,
    steps: int,
    epochs: int,
    maximise: bool,
    pct_start: float,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """Up to the optimizer's lr and down to nearly nothing (Smith and Topin 2019, arXiv:1708.07120), by steps."""
    peaks = [group["lr"] for group in optimizer.param_groups]
    total = steps * epochs + 1  # it counts its own start as a step
    if pct_start * total == 1:  # a peak at the very first step makes it divide by zero
        pct_start *= 1 - 1e-12
    scheduler = OneCycleLR(
        optimizer,
        peaks,
        total_steps=total,
        pct_start=pct_start,
        cycle_momentum=False,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
    )
    return Schedule(scheduler, every_step=True)


def cosine(
    optimizer: Optimizer, steps: int, epochs: int, maximise: bool, warmup_epochs: float = 1.0, floor: float = 0.0
) -> Schedule:
    """A linear warm-up, then half a cosine down to `floor` (Loshchilov and Hutter 2017, eq. 5), by steps."""
    warmup = round(warmup_epochs * steps)
    rest = steps * epochs - warmup
    if warmup < 0 or rest < 1:
        raise ConfigError(
            f"scheduler.warmup_epochs must be 0 or more and below trainer.epochs={epochs}, got {warmup_epochs}"
        )
    decay = CosineAnnealingLR(optimizer, rest, eta_min=floor)
    if not warmup:
        return Schedule(decay, every_step=True)
    rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return Schedule(SequentialLR(optimizer, [rise, decay], [warmup]), every_step=True)


def step(
    optimizer: Optimizer, steps: int, epochs: int, maximise: bool, every: int = 10, gamma: float = 0.1
) -> Schedule:
    """Multiply by `gamma` after each `every` epochs."""
    if every < 1:
        raise ConfigError(f"scheduler.every must be 1 or more epochs, got {every}")
    return Schedule(StepLR(optimizer, every, gamma), every_step=False)


def plateau(
    optimizer: Optimizer, steps: int, epochs: int, maximise: bool, factor: float = 0.5, patience: int = 3
) -> Schedule:
    """Multiply by `factor` when the monitored metric has not improved for more than `patience` epochs."""
    mode = "max" if maximise else "min"
    scheduler = ReduceLROnPlateau(optimizer, mode, factor, patience)  # type: ignore[arg-type]
    return Schedule(scheduler, every_step=False)


def constant(optimizer: Optimizer, steps: int, epochs: int, maximise: bool) -> Schedule:
    """The optimizer's lr all along."""
    return Schedule(StepLR(optimizer, epochs + 1), every_step=False)


def ema_of(net: Net, decay: float | None) -> Any:
    """A moving average of the weights (Polyak and Juditsky 1992) by timm, or None.

    At step t, from 1, the decay is the smaller of `decay` and 1 - t^(-2/3): the first weights are soon forgotten.
    """
    if decay is None:
        return None
    if not 0 < decay < 1:
        raise ConfigError(f"trainer.ema must be between 0 and 1, got {decay}")
    from timm.utils.model_ema import ModelEmaV3

    return ModelEmaV3(net, decay=decay, use_warmup=True)
