"""Turns, ratios, the clock that waits, and what a machine could do at most."""

import pytest
import torch

from ferlab.benchmark import peak, turns
from ferlab.models import build
from ferlab.spec import ModelSpec
from ferlab.training.clock import Clock


def test_ways_take_turns_after_warming_up():
    calls = []

    def way(name):
        return lambda i: calls.append((name, i)) or float(i)

    assert turns.in_turns({"a": way("a"), "b": way("b")}, 2) == {"a": [1.0, 2.0], "b": [1.0, 2.0]}
    assert calls == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_a_clock_waits_at_both_ends_of_what_it_counts_if_it_is_told_to():
    waits = []
    clock = Clock(lambda: waits.append(len(clock.seconds)))
    with clock("load"):
        assert len(waits) == 1
    assert len(waits) == 2
    assert set(clock.seconds) == {"load"}
    assert clock.seconds["load"] > 0


def test_the_operations_of_a_step_are_those_of_its_matrix_products():
    spec = ModelSpec(("anger", "fear"), size=8)
    net = build(spec, "mlp", {"widths": [5], "dropout": 0.0})
    before = {name: value.clone() for name, value in net.state_dict().items()}
    # 64 → 5 forward and the gradient of its weights, for the pixels need none; 5 → 2 forward and both gradients.
    assert peak.step_flops(net, spec) == 2 * 64 * 5 * 2 + 2 * 5 * 2 * 3
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(weight.grad is None for weight in net.parameters())


def test_the_rate_of_a_matrix_product_counts_every_call(monkeypatch):
    multiplied = []
    monkeypatch.setitem(peak.SIDES, "cpu", 4)
    monkeypatch.setattr(peak.torch, "mm", lambda *matrices, out: multiplied.append(out.dtype))
    monkeypatch.setattr(peak, "seconds", lambda work, device: work() or 0.1)
    assert peak.gemm_rate(torch.device("cpu"), torch.bfloat16) == pytest.approx(3 * 2 * 4**3 / 0.1)
    assert multiplied == [torch.bfloat16] * 4  # one to see how long it takes
