"""What a loss asks for: the answer at which it is least, for every loss and every option, on a long tail."""

from functools import partial
from itertools import product

import pytest
import torch
from torch.nn import functional as F

from ferlab.losses import (
    Affect,
    BalancedSoftmax,
    CrossEntropy,
    Distillation,
    Focal,
    LabelCounts,
    MultiTask,
    SoftTarget,
)

FERPLUS_FACES = [8740, 7287, 3149, 3014, 2100, 119, 532, 119]
K = len(FERPLUS_FACES)
COUNTS = LabelCounts(sum(FERPLUS_FACES), FERPLUS_FACES, 2 * sum(FERPLUS_FACES))
SMOOTHING = [0.0, 0.1, 0.3]

WEIGHTED = {"class_weights": [0.0, 0.5, 1.0], "label_smoothing": SMOOTHING}
OPTIONS = [
    (CrossEntropy, WEIGHTED),
    (Focal, {"gamma": [0.0, 1.0, 2.0, 5.0], **WEIGHTED}),
    (SoftTarget, WEIGHTED),
    (BalancedSoftmax, {"tau": [0.0, 0.5, 1.0, 2.0], "label_smoothing": SMOOTHING}),
]
CLASSIFICATION = [
    partial(loss, **dict(zip(options, values, strict=True)))
    for loss, options in OPTIONS
    for values in product(*options.values())
]


def name_of(loss):
    return "-".join([loss.func.__name__, *(f"{key}={value}" for key, value in loss.keywords.items())])


def taught(labels):
    return partial(Distillation, labels=labels, temperature=2.0, weight=0.5)


def with_affect(labels):
    return partial(MultiTask, expression=labels, affect=partial(Affect))


def best_logits(loss, target):
    """The logits (n, k) at which `loss` is least for each face alone; the other head and the teacher are right."""
    n = len(target)
    teacher = 4 * (target if target.ndim == 2 else F.one_hot(target, K).float())
    affect = torch.linspace(-0.5, 0.5, 2 * n).view(n, 2)
    targets = {"expression": target, "affect": affect, "teacher_expression": teacher, "teacher_affect": affect}
    logits = torch.zeros(n, K, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=300, tolerance_change=0, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        total = n * loss({"expression": logits, "affect": affect}, targets)
        total.backward()
        return total

    optimizer.step(closure)
    return logits.detach()


VOTES = torch.tensor(
    [
        [0.4, 0.3, 0.1, 0.1, 0.05, 0.02, 0.02, 0.01],
        [0.1, 0.05, 0.1, 0.05, 0.1, 0.45, 0.05, 0.1],
        [0.3, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.64],
    ]
)


@pytest.mark.parametrize("wrap", [lambda loss: loss, taught, with_affect], ids=["alone", "taught", "with affect"])
@pytest.mark.parametrize("loss", CLASSIFICATION, ids=name_of)
def test_the_best_answer_for_a_certain_face_is_its_label(loss, wrap):
    """The network's own, for the balanced softmax too: there it is what a face is among classes of equal frequency."""
    ids = torch.arange(K)
    votes = F.one_hot(ids, K).float()
    assert best_logits(wrap(loss)(COUNTS), votes).argmax(1).tolist() == ids.tolist()


@pytest.mark.parametrize("loss", CLASSIFICATION, ids=name_of)
def test_the_best_answer_for_votes_is_what_the_loss_says(loss):
    """The cross-entropy's is the target, smoothed, whatever the weights; focal's keeps its first class (Charoenphakdee
    et al. 2021, arXiv:2011.09172); the balanced softmax's is the target times 1 / π^τ.
    """
    best, smoothing = best_logits(loss(COUNTS), VOTES).softmax(1), loss.keywords["label_smoothing"]
    if loss.keywords.get("gamma"):
        assert best.argmax(1).tolist() == VOTES.argmax(1).tolist()
    else:
        odds = torch.tensor(FERPLUS_FACES, dtype=torch.float32) ** loss.keywords.get("tau", 0.0)
        expected = (1 - smoothing) * VOTES / odds + smoothing / odds.sum()
        torch.testing.assert_close(best, expected / expected.sum(1, keepdim=True), atol=2e-3, rtol=0)
