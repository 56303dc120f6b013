import math

import pytest
import torch
from torch.nn import functional as F

from ferlab.errors import ConfigError, TrainingError
from ferlab.losses import CrossEntropy, Focal, SoftTarget

# Two faces, two classes: logits (0, ln 3) give p = (1/4, 3/4), and (ln 4, 0) give p = (4/5, 1/5).
LOGITS = torch.tensor([[0.0, math.log(3)], [math.log(4), 0.0]])
IDS = torch.tensor([1, 1])  # p = 3/4 and 1/5


def value(loss, logits=LOGITS, target=IDS):
    return loss({"expression": logits}, {"expression": target})


def drawn(n=40, k=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, k, generator=generator)
    return logits, torch.cat([torch.arange(k), torch.randint(0, k, (n - k,), generator=generator)])


def test_cross_entropy_by_hand():
    expected = (math.log(4 / 3) + math.log(5)) / 2
    assert float(value(CrossEntropy([1, 1]))) == pytest.approx(expected)


def test_label_smoothing_by_hand():
    # ε = 0.2 and k = 2: the right class weighs 0.9 and the other one 0.1.
    expected = (0.9 * math.log(4 / 3) + 0.1 * math.log(4) + 0.9 * math.log(5) + 0.1 * math.log(5 / 4)) / 2
    assert float(value(CrossEntropy([1, 1], label_smoothing=0.2))) == pytest.approx(expected)


def test_balanced_class_weights_by_hand():
    loss = CrossEntropy([6, 3, 1], class_weights="balanced")
    assert loss.weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    mean = sum(n * w for n, w in zip([6, 3, 1], loss.weights.tolist(), strict=True)) / 10
    assert mean == pytest.approx(1)  # over the training faces

    weighted = CrossEntropy([3, 1], class_weights="balanced")  # 4 / (2·3) = 2/3 and 4 / (2·1) = 2
    expected = (2 / 3 * math.log(4) + 2 * math.log(5)) / 2  # divided by the faces, not by 2/3 + 2
    assert float(value(weighted, target=torch.tensor([0, 1]))) == pytest.approx(expected)


def test_focal_by_hand():
    expected = ((1 / 4) ** 2 * math.log(4 / 3) + (4 / 5) ** 2 * math.log(5)) / 2
    assert float(value(Focal([1, 1], gamma=2.0))) == pytest.approx(expected)


def test_focal_with_smoothing_and_weights_by_hand():
    # One face, p = (1/4, 3/4), class 1, ε = 0.2, γ = 1, weights 2/3 and 2: each class has its own factor 1 - p.
    loss = Focal([3, 1], gamma=1.0, class_weights="balanced", label_smoothing=0.2)
    expected = 2 / 3 * 0.1 * (3 / 4) * math.log(4) + 2 * 0.9 * (1 / 4) * math.log(4 / 3)
    assert float(value(loss, LOGITS[:1], IDS[:1])) == pytest.approx(expected)


def test_soft_target_by_hand():
    votes = torch.tensor([[0.3, 0.7], [0.5, 0.5]])
    expected = (0.3 * math.log(4) + 0.7 * math.log(4 / 3) + 0.5 * math.log(5 / 4) + 0.5 * math.log(5)) / 2
    assert float(value(SoftTarget([1, 1]), target=votes)) == pytest.approx(expected)


def test_three_classes_by_hand():
    logits = torch.tensor([[math.log(1), math.log(2), math.log(5)]])  # p = 1/8, 2/8, 5/8
    votes = torch.tensor([[0.5, 0.25, 0.25]])
    expected = 0.5 * math.log(8) + 0.25 * math.log(4) + 0.25 * math.log(8 / 5)
    for loss in (CrossEntropy([1, 1, 1]), SoftTarget([1, 1, 1])):
        assert float(value(loss, logits, votes)) == pytest.approx(expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_it_equals_torch_but_for_the_divisor(smoothing, weights):
    logits, ids = drawn()
    counts = ids.bincount(minlength=7).tolist()
    loss = CrossEntropy(counts, weights, smoothing)
    theirs = F.cross_entropy(logits, ids, weight=loss.weights, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(value(loss, logits, ids), theirs.mean())
    shares = logits.flip(0).softmax(1)
    theirs = F.cross_entropy(logits, shares, weight=loss.weights, label_smoothing=smoothing)
    torch.testing.assert_close(value(loss, logits, shares), theirs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_focal_without_gamma_is_the_cross_entropy_to_the_bit(smoothing, weights):
    logits, ids = drawn()
    counts = ids.bincount(minlength=7).tolist()
    plain = value(CrossEntropy(counts, weights, smoothing), logits, ids)
    assert torch.equal(value(Focal(counts, 0.0, weights, smoothing), logits, ids), plain)
    assert value(Focal(counts, 2.0, weights, smoothing), logits, ids) < plain


LOSSES = [
    CrossEntropy([5, 3, 2], "balanced", 0.1),
    Focal([5, 3, 2], 2.0, "balanced", 0.1),
    Focal([5, 3, 2], 0.5),
    SoftTarget([5, 3, 2], label_smoothing=0.05),
]
losses = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{type(loss).__name__}-{loss.gamma}")


def targets_for(loss, ids, k):
    return F.one_hot(ids, k).float() if isinstance(loss, SoftTarget) else ids


@losses
def test_the_gradient_is_that_of_the_value(loss):
    """Central differences; the loss itself works in float32, so not gradcheck."""
    logits, ids = drawn(n=4, k=3)
    target = targets_for(loss, ids, 3)
    logits.requires_grad_()
    value(loss, logits, target).backward()
    step = 1e-2
    for row in range(4):
        for column in range(3):
            shift = torch.zeros_like(logits)
            shift[row, column] = step
            with torch.no_grad():
                rise = value(loss, logits + shift, target) - value(loss, logits - shift, target)
            assert float(rise / (2 * step)) == pytest.approx(float(logits.grad[row, column]), abs=5e-4)


def test_the_gradient_of_the_cross_entropy_by_hand():
    logits = LOGITS.clone().requires_grad_()
    value(CrossEntropy([1, 1]), logits).backward()
    # (p - q) / n
    torch.testing.assert_close(logits.grad, torch.tensor([[1 / 4, -1 / 4], [4 / 5, -4 / 5]]) / 2)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_a_face_that_is_certain_has_a_finite_gradient(gamma):
    """Where p is 1 the factor's derivative is that of 0 to the power γ: infinite below γ = 1 if taken carelessly."""
    logits = torch.tensor([[200.0, -200.0]]).requires_grad_()
    for target in (0, 1):
        logits.grad = None
        loss = value(Focal([1, 1], gamma), logits, torch.tensor([target]))
        loss.backward()
        assert loss.isfinite()
        assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", [each for each in LOSSES if not isinstance(each, SoftTarget)], ids=repr)
def test_ids_and_one_hot_rows_agree(loss):
    logits, ids = drawn(k=3)
    assert torch.equal(value(loss, logits, ids), value(loss, logits, F.one_hot(ids, 3).float()))


@losses
@pytest.mark.parametrize("cuts", [[1, 39], [20, 20], [13, 13, 14], [8] * 5])
def test_parts_of_a_batch_average_to_the_whole(loss, cuts):
    """What processes and parts rely on: the mean of their gradients, weighted by size, is the batch's."""
    logits, ids = drawn(k=3)
    logits.requires_grad_()
    target = targets_for(loss, ids, 3)
    whole = value(loss, logits, target)
    pieces = zip(cuts, logits.split(cuts), target.split(cuts), strict=True)
    parts = sum(n / 40 * value(loss, piece, targets) for n, piece, targets in pieces)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(*(torch.autograd.grad(total, logits, retain_graph=True)[0] for total in (parts, whole)))


@losses
def test_half_precision_logits_are_summed_in_float32(loss):
    logits, ids = drawn(k=3)
    result = value(loss, logits.bfloat16(), targets_for(loss, ids, 3))
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, value(loss, logits.bfloat16().float(), targets_for(loss, ids, 3)))


def test_the_weights_follow_the_module_but_are_not_saved():
    loss = CrossEntropy([3, 1], class_weights="balanced")
    assert not loss.state_dict()
    assert loss.to(torch.float64).weights.dtype == torch.float64


def test_a_class_without_faces_has_no_balanced_weight():
    with pytest.raises(ConfigError, match=r"every class .* got counts \[4, 0, 2\]; use loss\.class_weights=none"):
        CrossEntropy([4, 0, 2], class_weights="balanced")
    assert float(value(CrossEntropy([4, 0], "none"))) == float(value(CrossEntropy([1, 1])))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": "balnced"}, "unknown loss.class_weights 'balnced'; did you mean 'balanced'?"),
        ({"class_weights": "inverse"}, "unknown loss.class_weights 'inverse'; one of: none, balanced"),
        ({"label_smoothing": 1.0}, "loss.label_smoothing must be in [0, 1), got 1.0"),
        ({"label_smoothing": -0.1}, "loss.label_smoothing must be in [0, 1), got -0.1"),
        ({"gamma": -1.0}, "loss.gamma must be 0 or more, got -1.0"),
    ],
)
def test_options_of_no_use_are_refused(options, message):
    with pytest.raises(ConfigError) as caught:
        Focal([1, 1], **options)
    assert str(caught.value) == message


def test_soft_target_wants_votes():
    with pytest.raises(TrainingError, match=r"needs vote distributions, got class ids; use data=ferplus data\.rule="):
        value(SoftTarget([1, 1]))
