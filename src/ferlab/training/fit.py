"""The training loop: a generator of epochs. The caller logs, keeps the best and stops by leaving the loop."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ferlab.data.loaders import Batch, Feed, Part, Rows, plan, steps_of
from ferlab.data.source import Split
from ferlab.errors import TrainingError
from ferlab.interrupt import StopRequest
from ferlab.losses import distribution
from ferlab.training.clock import Clock
from ferlab.training.config import FitOptions
from ferlab.training.engine import all_sum
from ferlab.training.optim import freeze
from ferlab.training.state import State
from ferlab.training.teacher import Teacher
from ferlab.training.validation import Answers, predict, score

CHECK_STEPS = 20  # a GPU's loss is looked at this often, for each look waits for it; a CPU's after every step


@dataclass(frozen=True)
class Fit:
    """What the loop works on.

    Attributes:
        state: what training changes.
        options: see there.
        seed: of everything that is drawn.
        order: epoch -> the rows that it sees.
        train: feed of the training split.
        transform: (batch, epoch) -> the network's input and targets; see transform.py.
        validation: feed of the validation split.
        truth: the validation split itself: m faces.
        labels: names of the classes, in the order of the ids in `truth`.
        monitor: the validation metric that the schedule goes by, one of metrics.EPOCH_METRICS.
        stop: asks the loop to finish its step and leave.
        watch: called after each optimizer step.
        clock: notes where the time goes.
        teacher: whose answers for each training batch are among its targets, or None.
    """

    state: State
    options: FitOptions
    seed: int
    order: Callable[[int], Rows]
    train: Feed
    transform: Callable[[Batch, int], tuple[Tensor, dict[str, Tensor]]]
    validation: Feed
    truth: Split
    labels: tuple[str, ...]
    monitor: str
    stop: StopRequest = field(default_factory=StopRequest)
    watch: Callable[["Step"], None] = lambda step: None
    clock: Clock = field(default_factory=Clock)
    teacher: Teacher | None = None


@dataclass(frozen=True)
class Step:
    """Progress inside an epoch.

    Attributes:
        epoch: the one under way, from 1.
        step, steps: done, and in all, of this epoch.
        faces: seen in this epoch so far, by all processes.
        loss: mean training loss of the epoch so far, as last looked at.
        lr: learning rate of the heads.
    """

    epoch: int
    step: int
    steps: int
    faces: int
    loss: float
    lr: float


@dataclass(frozen=True)
class Epoch:
    """A finished epoch, or the point at which the loop was asked to stop.

    Attributes:
        complete: False if the epoch was left in its middle; then there are no metrics.
        metrics: flat names and values for metrics.jsonl and MLflow.
        answers: of the network for the validation split: "expression" (m, k) logits, "affect" (m, 2).
    """

    number: int
    complete: bool
    metrics: dict[str, float]
    answers: Answers


def fit(run: Fit) -> Iterator[Epoch]:
    """Train from where the state is to the last epoch.

    The state already stands at the start of the next epoch when an epoch is yielded: save it then.

    Raises:
        TrainingError: the loss or the network's answers became NaN or infinite.
    """
    state = run.state
    while state.position.epoch < run.options.epochs:
        started = time.perf_counter()
        before = state.position.seconds
        complete = train_epoch(run)
        state.position.seconds = before + time.perf_counter() - started
        if not complete:
            yield Epoch(state.position.epoch + 1, False, {}, {})
            return
        lr = state.optimizer.param_groups[-1]["lr"]
        answers = predict(state, run.validation, len(run.truth))
        # Of the last step only the loss has been looked at, which was that of the weights before it.
        if not all(np.isfinite(values).all() for values in answers.values()):
            raise _diverged("the network's answers", f"after epoch {state.position.epoch + 1}", lr)
        scores = score(answers, run.truth)
        metrics = _metrics(run, scores, lr, epoch_s=before + time.perf_counter() - started)
        state.schedule.after_epoch(scores[run.monitor])
        state.position = type(state.position)(epoch=state.position.epoch + 1)
        yield Epoch(state.position.epoch, True, metrics, answers)


def train_epoch(run: Fit) -> bool:
    """Run the rest of the epoch under way: the whole of what happens between two validations.

    Returns:
        False if a stop was asked for before the end.
    """
    state, options = run.state, run.options
    epoch = state.position.epoch
    fabric = state.fabric
    order = run.order(epoch)
    steps = steps_of(len(order), options.batch_size)
    parts = plan(
        order, options.batch_size, options.accumulate, run.seed, epoch, state.position.step,
        fabric.global_rank, fabric.world_size,
    )  # fmt: skip
    state.module.train()
    freeze(state.net, epoch < options.freeze_epochs)
    # Loss, correct answers and labelled faces of this process.
    totals = torch.zeros(3, dtype=exact(fabric.device), device=fabric.device)
    if fabric.is_global_zero:
        before = [state.position.loss, state.position.correct, state.position.labelled]
        totals += torch.tensor(before, dtype=totals.dtype).to(totals)
    first_bad = torch.tensor(-1, device=fabric.device)
    batches = iter(run.train.batches(epoch, parts))
    every = 1 if fabric.device.type == "cpu" else CHECK_STEPS
    for index, group in groupby(parts, key=lambda part: part.step):
        loss = all_sum(fabric, _train_step(run, epoch, list(group), batches, totals))
        if state.ema is not None:
            with run.clock("optimizer"):
                state.ema.update(state.net, epoch * steps + index + 1)  # its warm-up goes by the number of the step
        first_bad = torch.where((first_bad < 0) & ~torch.isfinite(loss), index, first_bad)
        position = state.position
        position.step = index + 1
        position.seen = position.step * options.batch_size if position.step < steps else len(order)
        stopping = _asked_to_stop(run)
        if position.step % every == 0 or position.step == steps or stopping:
            _check(first_bad, epoch, run)
            position.loss, position.correct, position.labelled = all_sum(fabric, totals).tolist()
        mean = position.loss / max(position.seen, 1)
        lr = state.optimizer.param_groups[-1]["lr"]
        run.watch(Step(epoch + 1, position.step, steps, position.seen, mean, lr))
        if stopping and position.step < steps:
            return False
    return True


def _train_step(run: Fit, epoch: int, parts: Sequence[Part], batches: Iterator[Any], totals: Tensor) -> Tensor:
    """One optimizer step over its parts; returns this process's share of the loss, and adds to the totals."""
    state, clock = run.state, run.clock
    fabric = state.fabric
    step_loss = torch.zeros((), device=fabric.device)
    for i, part in enumerate(parts):
        with clock("load"):
            batch = next(batches)
        with clock("augment"):
            images, targets = run.transform(batch, epoch)
        if run.teacher is not None:
            with clock("teacher"):
                targets = targets | run.teacher(images)
        with fabric.no_backward_sync(state.module, enabled=i + 1 < len(parts)):
            with clock("forward"):
                outputs = state.module(images)
                loss = state.loss(outputs, targets)
            with clock("backward"):
                # Processes are averaged by DDP, so the share of the whole step is scaled by their number.
                fabric.backward(loss * (part.share * fabric.world_size))
        step_loss += loss.detach() * part.share
        if part.share:
            totals += torch.stack([loss.detach().to(totals) * len(part.rows), *_hits(outputs, targets)])
    with clock("optimizer"):
        for parameter in state.loss.parameters():  # not the network's, so DDP leaves them alone
            if parameter.grad is not None:
                parameter.grad = all_sum(fabric, parameter.grad) / fabric.world_size
        if run.options.clip is not None:
            fabric.clip_gradients(state.module, state.optimizer, max_norm=run.options.clip, error_if_nonfinite=False)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.schedule.after_step()
    return step_loss


def _hits(outputs: dict[str, Tensor], targets: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Correct answers and faces with an expression label, scalars; zeros without an expression head."""
    wide = exact(targets[next(iter(targets))].device)
    if "expression" not in outputs:
        nothing = torch.zeros((), dtype=wide, device=targets["affect"].device)
        return nothing, nothing
    logits = outputs["expression"].detach()
    shares = distribution(targets["expression"], logits.shape[1])
    labelled = shares.sum(1) > 0
    hit = (logits.argmax(1) == shares.argmax(1)) & labelled
    return hit.sum().to(wide), labelled.sum().to(wide)


def exact(device: torch.device) -> torch.dtype:
    """What an epoch's sums are kept in: float64, or float32 on MPS, which has no other; it counts to 16.7 million."""
    return torch.float32 if device.type == "mps" else torch.float64


def _asked_to_stop(run: Fit) -> bool:
    """Whether any process was asked to stop: all must leave at the same step."""
    if run.state.fabric.world_size == 1:
        return run.stop.signal is not None
    asked = torch.tensor(float(run.stop.signal is not None), device=run.state.fabric.device)
    return bool(all_sum(run.state.fabric, asked) > 0)


def _check(first_bad: Tensor, epoch: int, run: Fit) -> None:
    """Raise if any process saw a loss that is not finite; `first_bad` is the step, or -1."""
    bad = int(first_bad)
    if bad >= 0:
        lr = run.state.optimizer.param_groups[-1]["lr"]
        raise _diverged("the loss", f"at epoch {epoch + 1}, step {bad + 1}", lr)


def _diverged(what: str, where: str, lr: float) -> TrainingError:
    return TrainingError(
        f"{what} must be finite, got NaN or infinity {where}; likely a learning rate that is too high (about {lr:.2g} "
        "there: lower optimizer.lr or set trainer.clip=1), or 16-bit overflow (set trainer.precision=32-true)"
    )


def _metrics(run: Fit, scores: dict[str, float], lr: float, epoch_s: float) -> dict[str, float]:
    """The line of metrics.jsonl: the epoch just trained, and its validation scores."""
    position = run.state.position
    train = {"loss": position.loss / position.seen}
    if position.labelled:
        train["accuracy"] = position.correct / position.labelled
    return {
        "epoch": position.epoch + 1,
        **{f"train/{name}": value for name, value in train.items()},
        "train/lr": lr,
        **{f"validation/{name}": value for name, value in scores.items()},
        "time/train_s": position.seconds,
        "time/epoch_s": epoch_s,
        "time/images_per_s": position.seen / position.seconds,
    }
