"""What the network under training answers for the validation split, and how good that is."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ferlab.data.loaders import Feed, Part
from ferlab.data.source import Split
from ferlab.metrics import affect_epoch_metrics, expression_epoch_metrics
from ferlab.runner import softmax
from ferlab.training.engine import all_sum
from ferlab.training.state import State

Answers = dict[str, npt.NDArray[np.float32]]  # "expression" (m, k) logits, "affect" (m, 2)
VALIDATION_BATCH = 256


@torch.inference_mode()
def predict(state: State, feed: Feed, n: int) -> Answers:
    """Answers of the network for all n faces of a feed, in order, on every process: "expression" (n, k) logits, …"""
    fabric = state.fabric
    rank, world = fabric.global_rank, fabric.world_size
    if world > 1:
        _average_buffers(state)
    net = state.answering.eval()
    rows = np.arange(n)[rank::world]
    chunks = [rows[i : i + VALIDATION_BATCH] for i in range(0, len(rows), VALIDATION_BATCH)]
    parts = [Part(i, c, c, 0.0, torch.empty(0)) for i, c in enumerate(chunks)]
    answers: dict[str, list[Tensor]] = {}
    for batch in feed.batches(-1, parts):
        with fabric.autocast():
            outputs = net(batch.images)
        for name, value in outputs.items():
            answers.setdefault(name, []).append(value.float())
    return {name: _join(state, torch.cat(values), n) for name, values in answers.items()}


def _join(state: State, mine: Tensor, n: int) -> npt.NDArray[np.float32]:
    """Interleave the rows of all processes, (n, k)."""
    fabric = state.fabric
    if fabric.world_size == 1:
        return mine.cpu().numpy()
    longest = math.ceil(n / fabric.world_size)
    padded = torch.cat([mine, mine.new_zeros(longest - len(mine), mine.shape[1])])
    gathered: Any = fabric.all_gather(padded)
    return gathered.transpose(0, 1).reshape(-1, mine.shape[1])[:n].cpu().numpy()  # type: ignore[no-any-return]


def _average_buffers(state: State) -> None:
    """Give every process the mean of all batch statistics."""
    for net in {id(net): net for net in (state.net, state.answering)}.values():
        for buffer in net.buffers():
            if buffer.is_floating_point():
                buffer.copy_(all_sum(state.fabric, buffer) / state.fabric.world_size)


def score(answers: Answers, truth: Split) -> dict[str, float]:
    """metrics.EPOCH_METRICS of the heads that answered, on the faces of `truth` that are labelled for them."""
    scores: dict[str, float] = {}
    if "expression" in answers:
        rows = truth.labels >= 0
        scores |= expression_epoch_metrics(softmax(answers["expression"][rows]), truth.labels[rows])
    if "affect" in answers and truth.affect is not None:
        scores |= affect_epoch_metrics(answers["affect"], truth.affect)
    return scores
