"""What the config asks for reaches the training loop: each of these lines could go without an error to tell of it."""

from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from ferlab.config import compose, typed
from ferlab.data.source import Source, Split
from ferlab.data.synthetic import DrawnImages
from ferlab.errors import TrainingError
from ferlab.interrupt import StopRequest
from ferlab.labels import FERPLUS
from ferlab.training.build import build_fit, model_spec
from ferlab.training.clock import Clock
from ferlab.training.config import EngineOptions, TrainConfig
from ferlab.training.engine import launch
from ferlab.training.fit import fit, predict

TINY = [
    "data=synthetic", "model=small_resnet", "model.size=16", "model.options.width=4", "loss=cross_entropy",
    "optimizer=sgd", "optimizer.lr=0.05", "scheduler=constant", "augment=none", "trainer.batch_size=16",
    "trainer.epochs=1",
]  # fmt: skip
LABELS = np.repeat(np.arange(8), [57, 1, 1, 1, 1, 1, 1, 1])


@pytest.fixture(scope="module")
def fabric():
    return launch(EngineOptions(device="cpu", precision="32-true", deterministic=False, threads=1))


def built(fabric, *overrides, votes=None):
    """A run on noise, 64 faces of which 57 are of one class."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
    train = Split("train", DrawnImages(pixels, "noise"), LABELS, votes, draw=votes is not None)
    validation = Split("validation", DrawnImages(pixels[48:], "noise"), LABELS[48:])
    source = Source("noise", FERPLUS, {"train": train, "validation": validation}, "noise", "none")
    config = typed(compose("train", [*TINY, *overrides]), TrainConfig)
    spec = model_spec(config.model, source)
    return build_fit(config, source, spec, fabric, StopRequest(), lambda step: None, Clock())


def state_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(module, before):
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_frozen_backbone_stays_as_it_was_while_the_heads_learn(fabric):
    run = built(fabric, "trainer.freeze_epochs=1", "trainer.epochs=2")
    net = run.state.net
    backbone, heads = state_of(net.backbone), state_of(net.heads)
    epochs = fit(run)
    next(epochs)
    assert same(net.backbone, backbone)  # batch statistics too
    assert not same(net.heads, heads)
    next(epochs)
    assert not same(net.backbone, backbone)


@pytest.mark.parametrize("words", [["trainer.batch_size=21"], ["trainer.batch_size=9", "trainer.accumulate=4"]])
def test_a_face_that_is_left_alone_ends_no_training(words, fabric):
    dense = ["model=se_resnet", "model.options.hidden=8", "model.options.depth=1", "model.options.width=8"]
    run = built(fabric, *dense, *words)
    (epoch,) = fit(run)
    assert run.state.position.seen == 0  # of the next epoch
    assert np.isfinite(epoch.metrics["train/loss"])


def test_weights_that_are_lost_in_an_epochs_last_step_are_told_as_any_divergence(fabric):
    run = built(fabric, "trainer.batch_size=64", "optimizer.lr=1e38")  # one step, whose loss is finite
    with pytest.raises(TrainingError) as caught:
        next(fit(run))
    assert str(caught.value).startswith(
        "the network's answers must be finite, got NaN or infinity after epoch 1; likely"
    )


def test_the_loop_sees_what_the_sampler_draws(fabric):
    run = built(fabric, "trainer.sampler=weighted")
    seen, feed = [], run.train

    class Noting:
        def batches(self, epoch, parts):
            for batch in feed.batches(epoch, parts):
                seen.extend(batch.part.rows.tolist())
                yield batch

    next(fit(replace(run, train=Noting())))
    assert seen == run.order(0).tolist()
    assert np.bincount(LABELS[seen], minlength=8)[0] < 20  # 8 of 64 on average, where shuffle has 57


def test_the_loss_gets_classes_drawn_from_the_votes(fabric):
    votes = np.tile(np.float32([0.5, 0.5, 0, 0, 0, 0, 0, 0]), (64, 1))
    run = built(fabric, votes=votes)
    seen = []

    class Noting(nn.Module):
        def __init__(self, loss):
            super().__init__()
            self.loss = loss

        def forward(self, outputs, targets):
            seen.append(targets["expression"])
            return self.loss(outputs, targets)

    run.state.loss = Noting(run.state.loss)
    next(fit(run))
    drawn = torch.cat(seen)
    assert drawn.shape == (64,)
    assert 16 < (drawn == 0).sum() < 48  # 4 standard deviations
    assert set(drawn.tolist()) == {0, 1}


def test_the_gradient_is_clipped(fabric):
    """At a learning rate of 1, without momentum and decay, a step is as long as the gradient."""
    run = built(
        fabric, "trainer.clip=0.001", "optimizer.lr=1", "optimizer.momentum=0", "optimizer.nesterov=false",
        "optimizer.weight_decay=0",
    )  # fmt: skip

    def weights():
        return torch.cat([weight.detach().flatten() for weight in run.state.net.parameters()])

    places = [weights()]
    next(fit(replace(run, watch=lambda step: places.append(weights()))))
    lengths = [float((b - a).norm()) for a, b in pairwise(places)]
    assert lengths == pytest.approx([0.001] * 4, rel=1e-3)


class FirstOfTwo:
    """Fabric in the first of two processes; in the other every buffer is larger by 2, and every answer the same."""

    global_rank, world_size = 0, 2
    autocast = nullcontext

    def all_reduce(self, value, reduce_op):
        assert reduce_op == "sum"
        return value + (value + 2)

    def all_gather(self, value):
        return torch.stack([value, value])


@pytest.mark.parametrize("ema", ["null", "0.9"])
def test_validation_of_several_processes_uses_the_mean_of_their_batch_statistics(fabric, ema):
    run = built(fabric, f"trainer.ema={ema}")
    nets = {id(net): net for net in (run.state.net, run.state.answering)}.values()
    before = [{name: each.clone() for name, each in net.named_buffers()} for net in nets]
    run.state.fabric = FirstOfTwo()
    predict(run.state, run.validation, 16)
    for net, own in zip(nets, before, strict=True):
        moved = {name: value - own[name] for name, value in net.named_buffers() if value.is_floating_point()}
        assert any("running_var" in name for name in moved)
        assert all(torch.allclose(value, torch.ones(())) for value in moved.values())
