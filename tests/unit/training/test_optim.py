import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from ferlab.data.loaders import Resident, epoch_order
from ferlab.data.source import Split
from ferlab.data.synthetic import DrawnImages
from ferlab.errors import ConfigError
from ferlab.labels import FERPLUS
from ferlab.losses import CrossEntropy, LabelCounts
from ferlab.models import BUILDERS, build
from ferlab.spec import ModelSpec
from ferlab.training import optim
from ferlab.training.config import EngineOptions, FitOptions
from ferlab.training.engine import launch
from ferlab.training.fit import Fit, fit
from ferlab.training.optim import ema_of, freeze, parameter_groups
from ferlab.training.state import State
from ferlab.training.transform import Transform

SPEC = ModelSpec(FERPLUS, affect=True, size=16)


def net_of(name="small_resnet", **options):
    torch.manual_seed(0)
    return build(SPEC, name, options or {"width": 4})


def sgd(lr=0.1):
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)


def rates(schedule, optimizer, steps, epochs, monitored=None):
    """The learning rate of every step; the schedule moves as the training loop moves it."""
    seen = []
    for epoch in range(epochs):
        for _ in range(steps):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch(0.5 if monitored is None else monitored[epoch])
    return seen


def build_rates(name, steps, epochs, lr=0.1, maximise=True, monitored=None, **options):
    optimizer = sgd(lr)
    schedule = getattr(optim, name)(optimizer, steps=steps, epochs=epochs, maximise=maximise, **options)
    return rates(schedule, optimizer, steps, epochs, monitored)


# parameter groups


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_every_parameter_is_in_one_group(name):
    net = build(SPEC, name, {})
    groups = parameter_groups(net, nn.Identity(), 0.1, 0.05)
    identities = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(identities) == len(set(identities))
    assert set(identities) == {id(parameter) for parameter in net.parameters()}


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_only_matrices_and_kernels_decay(name):
    net = build(SPEC, name, {})
    decay = {
        id(p): group["weight_decay"]
        for group in parameter_groups(net, nn.Identity(), 0.1, 0.05)
        for p in group["params"]
    }
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert decay[id(module.weight)] == 0.05
        if isinstance(module, nn.BatchNorm2d):
            assert decay[id(module.weight)] == 0
        if getattr(module, "bias", None) is not None:
            assert decay[id(module.bias)] == 0


def test_the_backbone_has_a_rate_of_its_own():
    net = net_of()
    rate = {
        id(p): group["lr"]
        for group in parameter_groups(net, nn.Identity(), 0.2, 0.0, backbone_lr=0.25)
        for p in group["params"]
    }
    assert {rate[id(p)] for p in net.backbone.parameters()} == {0.05}
    assert {rate[id(p)] for p in net.heads.parameters()} == {0.2}
    assert (
        parameter_groups(net, nn.Identity(), 0.2, 0.0, 0.25)[-1]["lr"] == 0.2
    )  # what the loop reports is that of the heads


def test_a_schedule_keeps_the_ratio_of_the_rates():
    optimizer = torch.optim.SGD(parameter_groups(net_of(), nn.Identity(), 0.2, 0.0, backbone_lr=0.25))
    for name, options in (("onecycle", {"pct_start": 0.3}), ("cosine", {"warmup_epochs": 1})):
        schedule = getattr(optim, name)(optimizer, steps=3, epochs=4, maximise=True, **options)
        for _ in range(12):
            heads, backbone = optimizer.param_groups[-1]["lr"], optimizer.param_groups[0]["lr"]
            assert backbone == pytest.approx(heads / 4)
            optimizer.step()
            schedule.after_step()


# freeze


def train_step(net, optimizer):
    images = torch.randint(0, 256, (8, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    outputs = net(images)
    (outputs["expression"].logsumexp(1).sum() + outputs["affect"].sum()).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def test_a_frozen_backbone_does_not_move_at_all():
    net = net_of()
    optimizer = torch.optim.AdamW(parameter_groups(net, nn.Identity(), 0.1, 0.5))
    net.train()
    freeze(net, True)
    before = copy.deepcopy(net.state_dict())
    train_step(net, optimizer)
    after = net.state_dict()
    for key, value in before.items():
        assert torch.equal(after[key], value) == key.startswith("backbone"), key  # batch statistics included
    assert not any(module.training for module in net.backbone.modules())  # nor is there dropout
    assert net.heads.training


def test_a_thawed_backbone_trains_again():
    net = net_of()
    optimizer = torch.optim.SGD(parameter_groups(net, nn.Identity(), 0.1, 0.0))
    for frozen in (True, False):
        net.train()
        freeze(net, frozen)
    before = copy.deepcopy(net.state_dict())
    train_step(net, optimizer)
    assert all(not torch.equal(net.state_dict()[key], value) for key, value in before.items())
    assert all(module.training for module in net.modules())


# schedules


def test_onecycle_by_hand():
    # 99 steps: up for 0.1 · 100 - 1 = 9 of them, from lr / 25 by half a cosine; then down to lr / 25 / 10^4.
    lr, low, end = 0.1, 0.1 / 25, 0.1 / 25 / 1e4
    seen = build_rates("onecycle", 33, 3, lr, pct_start=0.1)
    assert seen[0] == pytest.approx(low)
    assert seen[3] == pytest.approx(low + (lr - low) * (1 - math.cos(math.pi / 3)) / 2)
    assert seen[9] == pytest.approx(lr)
    assert int(np.argmax(seen)) == 9
    assert seen[54] == pytest.approx((lr + end) / 2)  # half of the 90 steps down
    assert seen[98] == pytest.approx(end + (lr - end) * (1 + math.cos(math.pi * 89 / 90)) / 2)
    assert seen[98] < lr / 1000
    assert np.all(np.diff(seen[9:]) < 0)


@pytest.mark.parametrize("pct_start", [0.0, 0.1, 0.15, 0.25, 1 / 3, 0.5, 1.0])
def test_onecycle_lasts_for_any_number_of_steps(pct_start):
    for total in range(1, 41):
        seen = build_rates("onecycle", total, 1, pct_start=pct_start)
        assert len(seen) == total
        assert all(0 < rate <= 0.1 + 1e-12 for rate in seen)


def test_onecycle_may_start_at_its_peak():
    # 0.1 · (9 + 1) - 1 = 0 steps up.
    seen = build_rates("onecycle", 9, 1, pct_start=0.1)
    assert seen[0] == pytest.approx(0.1)
    assert np.all(np.diff(seen) < 0)


def test_onecycle_leaves_the_momentum_alone():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    schedule = optim.onecycle(optimizer, steps=10, epochs=1, maximise=True, pct_start=0.3)
    for _ in range(10):
        assert optimizer.param_groups[0]["momentum"] == 0.9
        optimizer.step()
        schedule.after_step()


def test_cosine_by_hand():
    # Warm-up over 4 steps: 1/5, 2/5, 3/5, 4/5 of lr; then half a cosine over the other 8, from lr to the floor.
    seen = build_rates("cosine", 4, 3, lr=1.0, warmup_epochs=1, floor=0.2)
    expected = [(1 + t) / 5 for t in range(4)] + [0.2 + 0.8 * (1 + math.cos(math.pi * t / 8)) / 2 for t in range(8)]
    assert seen == pytest.approx(expected)


def test_cosine_without_warm_up_by_hand():
    seen = build_rates("cosine", 4, 2, lr=1.0, warmup_epochs=0)
    assert seen == pytest.approx([(1 + math.cos(math.pi * t / 8)) / 2 for t in range(8)])


@pytest.mark.parametrize(("steps", "epochs", "warmup"), [(4, 3, 3), (4, 1, 1), (1, 1, 0.9), (4, 3, -1)])
def test_cosine_needs_a_warm_up_that_fits(steps, epochs, warmup):
    with pytest.raises(ConfigError, match=rf"0 or more and below trainer\.epochs={epochs}, got {warmup}"):
        build_rates("cosine", steps, epochs, warmup_epochs=warmup)


def test_step_by_hand():
    assert build_rates("step", 2, 5, lr=1.0, every=2, gamma=0.1) == pytest.approx([1] * 4 + [0.1] * 4 + [0.01] * 2)
    with pytest.raises(ConfigError, match=r"^scheduler\.every must be 1 or more epochs, got 0$"):
        build_rates("step", 2, 5, every=0)


def test_constant_never_moves():
    assert build_rates("constant", 3, 7, lr=0.3) == [0.3] * 21


@pytest.mark.parametrize("maximise", [True, False])
def test_plateau_by_hand(maximise):
    # Better in epochs 1 and 2, then not: with a patience of 1 the second such epoch halves, and so does the fourth.
    values = [value if maximise else 1 - value for value in (0.1, 0.5, 0.4, 0.5, 0.3, 0.2, 0.6)]
    seen = build_rates("plateau", 1, 7, lr=0.8, maximise=maximise, monitored=values, factor=0.5, patience=1)
    assert seen == pytest.approx([0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.2])


def test_plateau_the_wrong_way_round_would_show():
    falling = [1.0, 0.9, 0.8, 0.7, 0.6]
    assert build_rates("plateau", 1, 5, maximise=False, monitored=falling, patience=0) == [0.1] * 5
    assert build_rates("plateau", 1, 5, maximise=True, monitored=falling, patience=0)[-1] < 0.1


@pytest.mark.parametrize(
    ("name", "options"),
    [("onecycle", {"pct_start": 0.3}), ("cosine", {"warmup_epochs": 1}), ("step", {"every": 1}), ("plateau", {})],
)
def test_a_schedule_goes_on_where_it_was_saved(name, options):
    def start():
        optimizer = sgd()
        return optimizer, getattr(optim, name)(optimizer, steps=5, epochs=4, maximise=False, **options)

    optimizer, schedule = start()
    whole = rates(schedule, optimizer, 5, 4)
    optimizer, schedule = start()
    head = rates(schedule, optimizer, 5, 2)
    saved = copy.deepcopy((optimizer.state_dict(), schedule.scheduler.state_dict()))
    optimizer, schedule = start()
    optimizer.load_state_dict(saved[0])
    schedule.scheduler.load_state_dict(saved[1])
    assert head + rates(schedule, optimizer, 5, 2) == pytest.approx(whole)


# moving average


def test_the_average_by_hand():
    net = net_of()
    average = ema_of(net, 0.9)
    weight = net.heads["expression"].weight
    expected = weight.detach().clone()
    for step in range(1, 60):
        with torch.no_grad():
            weight += step
        average.update(net, step)
        decay = min(0.9, 1 - step ** (-2 / 3))
        expected = decay * expected + (1 - decay) * weight.detach()
    torch.testing.assert_close(average.module.heads["expression"].weight, expected)
    assert decay == 0.9  # the warm-up ended in between


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, 1.5])
def test_a_decay_of_no_use_is_refused(decay):
    with pytest.raises(ConfigError, match=rf"^trainer\.ema must be between 0 and 1, got {decay}"):
        ema_of(net_of(), decay)


def test_no_decay_is_no_average():
    assert ema_of(net_of(), None) is None


def test_the_loop_warms_the_average_up_over_all_epochs():
    rng = np.random.default_rng(0)
    split = Split(
        "train", DrawnImages(rng.integers(0, 256, (12, 16, 16, 3), dtype=np.uint8), "noise"), np.arange(12) % 8
    )
    fabric = launch(EngineOptions(device="cpu", precision="32-true", deterministic=False))
    net = net_of()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    average = ema_of(net, 0.5)
    first = net.heads["expression"].weight.detach().clone()
    module, wrapped = fabric.setup(net, optimizer)
    loss = CrossEntropy(LabelCounts(8, [1] * 8))
    feed = Resident(split, ModelSpec(FERPLUS, size=16), fabric.device, False)
    seen = []
    run = Fit(
        state=State(fabric, net, module, loss, wrapped, optim.constant(optimizer, 3, 2, True), average),
        options=FitOptions(epochs=2, batch_size=4),
        seed=0,
        order=lambda epoch: epoch_order(split, "shuffle", 0, epoch),
        train=feed,
        transform=Transform(8, 0),
        validation=feed,
        truth=split,
        labels=FERPLUS,
        monitor="accuracy",
        watch=lambda step: seen.append(net.heads["expression"].weight.detach().clone()),
    )
    assert [epoch.number for epoch in fit(run)] == [1, 2]
    assert len(seen) == 6
    expected = first
    for step, weight in enumerate(seen, start=1):
        decay = min(0.5, 1 - step ** (-2 / 3))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(average.module.heads["expression"].weight, expected)
    assert not torch.allclose(expected, seen[-1])
