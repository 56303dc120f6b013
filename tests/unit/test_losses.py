import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ferlab.errors import ConfigError, TrainingError
from ferlab.losses import (
    Affect,
    BalancedSoftmax,
    CrossEntropy,
    Distillation,
    Focal,
    LabelCounts,
    MultiTask,
    SoftTarget,
    concordance,
)
from ferlab.metrics import affect_scores

# Two faces, two classes: logits (0, ln 3) give p = (1/4, 3/4), and (ln 4, 0) give p = (4/5, 1/5).
LOGITS = torch.tensor([[0.0, math.log(3)], [math.log(4), 0.0]])
IDS = torch.tensor([1, 1])  # p = 3/4 and 1/5


def counts_of(classes, affect=None):
    faces = sum(classes)
    return LabelCounts(faces, classes, 2 * faces if affect is None else affect)


def value(loss, logits=LOGITS, target=IDS):
    return loss({"expression": logits}, {"expression": target})


def drawn(n=40, k=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, k, generator=generator)
    return logits, torch.cat([torch.arange(k), torch.randint(0, k, (n - k,), generator=generator)])


def test_cross_entropy_by_hand():
    expected = (math.log(4 / 3) + math.log(5)) / 2
    assert float(value(CrossEntropy(counts_of([1, 1])))) == pytest.approx(expected)


def test_label_smoothing_by_hand():
    # ε = 0.2 and k = 2: the right class weighs 0.9 and the other one 0.1.
    expected = (0.9 * math.log(4 / 3) + 0.1 * math.log(4) + 0.9 * math.log(5) + 0.1 * math.log(5 / 4)) / 2
    assert float(value(CrossEntropy(counts_of([1, 1]), label_smoothing=0.2))) == pytest.approx(expected)


def test_class_weights_by_hand():
    balanced = CrossEntropy(counts_of([6, 3, 1]), class_weights=1.0)
    assert balanced.weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    tempered = CrossEntropy(counts_of([16, 4, 1]), class_weights=0.5)  # as 1/4 : 1/2 : 1, times 21 / (4 + 2 + 1)
    assert tempered.weights.tolist() == pytest.approx([3 / 4, 3 / 2, 3])
    assert CrossEntropy(counts_of([16, 4, 1])).weights.tolist() == [1, 1, 1]

    weighted = CrossEntropy(counts_of([3, 1]), class_weights=1.0)  # 4 / (2·3) = 2/3 and 4 / (2·1) = 2
    expected = (2 / 3 * math.log(4) + 2 * math.log(5)) / 2  # divided by the faces, not by 2/3 + 2
    assert float(value(weighted, target=torch.tensor([0, 1]))) == pytest.approx(expected)


@pytest.mark.parametrize("exponent", [0.0, 0.3, 0.5, 1.0])
def test_weights_are_one_on_average_over_the_training_faces(exponent):
    faces = torch.tensor([8740.0, 7287, 3149, 3014, 2100, 119, 532, 119])
    weights = CrossEntropy(counts_of(faces.tolist()), class_weights=exponent).weights
    assert float((faces * weights).sum() / faces.sum()) == pytest.approx(1)
    assert float(weights[5] / weights[0]) == pytest.approx((8740 / 119) ** exponent, rel=1e-4)


def test_focal_by_hand():
    expected = ((1 / 4) ** 2 * math.log(4 / 3) + (4 / 5) ** 2 * math.log(5)) / 2
    assert float(value(Focal(counts_of([1, 1]), gamma=2.0))) == pytest.approx(expected)


def test_focal_with_smoothing_and_weights_by_hand():
    # One face, p = (1/4, 3/4), class 1, ε = 0.2, γ = 1, weights 2/3 and 2: each class has its own factor 1 - p, and the
    # face the weight of its own class over both terms.
    loss = Focal(counts_of([3, 1]), gamma=1.0, class_weights=1.0, label_smoothing=0.2)
    expected = 2 * (0.1 * (3 / 4) * math.log(4) + 0.9 * (1 / 4) * math.log(4 / 3))
    assert float(value(loss, LOGITS[:1], IDS[:1])) == pytest.approx(expected)


def test_the_weight_of_a_blend_is_the_blend_of_the_weights():
    """Half of class 0 and half of class 1, weights 2/3 and 2: 4/3."""
    loss = CrossEntropy(counts_of([3, 1]), class_weights=1.0, label_smoothing=0.2)
    plain = CrossEntropy(counts_of([3, 1]), label_smoothing=0.2)
    half = torch.tensor([[0.5, 0.5]])
    torch.testing.assert_close(value(loss, LOGITS[:1], half), 4 / 3 * value(plain, LOGITS[:1], half))
    # A quarter of class 1, blended with a face that has no label: it counts for a quarter.
    quarter = torch.tensor([[0.0, 0.25]])
    torch.testing.assert_close(value(loss, LOGITS[:1], quarter), 0.25 * value(loss, LOGITS[:1], IDS[:1]))


def test_soft_target_by_hand():
    votes = torch.tensor([[0.3, 0.7], [0.5, 0.5]])
    expected = (0.3 * math.log(4) + 0.7 * math.log(4 / 3) + 0.5 * math.log(5 / 4) + 0.5 * math.log(5)) / 2
    assert float(value(SoftTarget(counts_of([1, 1])), target=votes)) == pytest.approx(expected)


def test_three_classes_by_hand():
    logits = torch.tensor([[math.log(1), math.log(2), math.log(5)]])  # p = 1/8, 2/8, 5/8
    votes = torch.tensor([[0.5, 0.25, 0.25]])
    expected = 0.5 * math.log(8) + 0.25 * math.log(4) + 0.25 * math.log(8 / 5)
    for loss in (CrossEntropy(counts_of([1, 1, 1])), SoftTarget(counts_of([1, 1, 1]))):
        assert float(value(loss, logits, votes)) == pytest.approx(expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_without_weights_it_equals_torch(smoothing):
    logits, ids = drawn()
    loss = CrossEntropy(counts_of(ids.bincount(minlength=7).tolist()), label_smoothing=smoothing)
    for target in (ids, logits.flip(0).softmax(1)):
        theirs = F.cross_entropy(logits, target, label_smoothing=smoothing)
        torch.testing.assert_close(value(loss, logits, target), theirs)


def test_with_weights_and_no_smoothing_it_equals_torch_but_for_the_divisor():
    logits, ids = drawn()
    loss = CrossEntropy(counts_of(ids.bincount(minlength=7).tolist()), 0.5)
    theirs = F.cross_entropy(logits, ids, weight=loss.weights, reduction="none")
    torch.testing.assert_close(value(loss, logits, ids), theirs.mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [0.0, 0.5, 1.0])
def test_focal_without_gamma_is_the_cross_entropy_to_the_bit(smoothing, weights):
    logits, ids = drawn()
    counts = ids.bincount(minlength=7).tolist()
    plain = value(CrossEntropy(counts_of(counts), weights, smoothing), logits, ids)
    assert torch.equal(value(Focal(counts_of(counts), 0.0, weights, smoothing), logits, ids), plain)
    assert value(Focal(counts_of(counts), 2.0, weights, smoothing), logits, ids) < plain


LOSSES = [
    CrossEntropy(counts_of([5, 3, 2]), 1.0, 0.1),
    Focal(counts_of([5, 3, 2]), 2.0, 1.0, 0.1),
    Focal(counts_of([5, 3, 2]), 0.5),
    SoftTarget(counts_of([5, 3, 2]), label_smoothing=0.05),
    BalancedSoftmax(counts_of([5, 3, 2]), 1.0, 0.1),
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
    value(CrossEntropy(counts_of([1, 1])), logits).backward()
    # (p - q) / n
    torch.testing.assert_close(logits.grad, torch.tensor([[1 / 4, -1 / 4], [4 / 5, -4 / 5]]) / 2)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_a_face_that_is_certain_has_a_finite_gradient(gamma):
    """Where p is 1 the factor's derivative is that of 0 to the power γ: infinite below γ = 1 if taken carelessly."""
    logits = torch.tensor([[200.0, -200.0]]).requires_grad_()
    for target in (0, 1):
        logits.grad = None
        loss = value(Focal(counts_of([1, 1]), gamma), logits, torch.tensor([target]))
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
    loss = CrossEntropy(counts_of([3, 1]), class_weights=1.0)
    assert not loss.state_dict()
    assert loss.to(torch.float64).weights.dtype == torch.float64


def test_a_class_without_faces_has_no_balanced_weight():
    with pytest.raises(ConfigError, match=r"every class .* got counts \[4, 0, 2\]; use loss\.class_weights=0"):
        CrossEntropy(counts_of([4, 0, 2]), class_weights=1.0)
    assert float(value(CrossEntropy(counts_of([4, 0])))) == float(value(CrossEntropy(counts_of([1, 1]))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"class_weights": "balanced"},
            "loss.class_weights must be a number in [0, 1], got balanced; 0 weighs all faces alike, 1 all classes",
        ),
        (
            {"class_weights": 1.5},
            "loss.class_weights must be a number in [0, 1], got 1.5; 0 weighs all faces alike, 1 all classes",
        ),
        ({"label_smoothing": 1.0}, "loss.label_smoothing must be in [0, 1), got 1.0"),
        ({"label_smoothing": -0.1}, "loss.label_smoothing must be in [0, 1), got -0.1"),
        ({"gamma": -1.0}, "loss.gamma must be 0 or more, got -1.0"),
    ],
)
def test_options_of_no_use_are_refused(options, message):
    with pytest.raises(ConfigError) as caught:
        Focal(counts_of([1, 1]), **options)
    assert str(caught.value) == message


def test_soft_target_wants_votes():
    with pytest.raises(TrainingError, match=r"needs vote distributions, got class ids; use data=ferplus data\.rule="):
        value(SoftTarget(counts_of([1, 1])))


# faces without a label


@pytest.mark.parametrize("loss", [each for each in LOSSES if not isinstance(each, SoftTarget)], ids=repr)
def test_a_face_without_a_label_counts_as_one_without_loss(loss):
    logits, ids = drawn(n=8, k=3)
    ids[[2, 5]] = -1
    labelled = ids >= 0
    expected = value(loss, logits[labelled], ids[labelled]) * 6 / 8
    torch.testing.assert_close(value(loss, logits, ids), expected)
    logits.requires_grad_()
    value(loss, logits, ids).backward()
    assert torch.equal(logits.grad[~labelled], torch.zeros(2, 3))
    assert logits.grad[labelled].ne(0).all()


def test_distributions_of_zeros_are_no_label_either():
    votes = torch.tensor([[0.25, 0.75], [0.0, 0.0]])
    loss = SoftTarget(counts_of([1, 1]), label_smoothing=0.1)
    torch.testing.assert_close(value(loss, target=votes), value(loss, LOGITS[:1], votes[:1]) / 2)


def test_missing_labels_do_not_change_the_weight_on_average():
    """A quarter of the training faces is labelled: their losses count four times."""
    loss = CrossEntropy(LabelCounts(faces=40, classes=[6, 4]))
    plain = CrossEntropy(counts_of([6, 4]))
    ids = torch.tensor([1, -1, -1, -1])
    logits = LOGITS[[0, 1, 1, 1]]
    torch.testing.assert_close(value(loss, logits, ids), value(plain, LOGITS[:1], IDS[:1]))


# long tails


def test_balanced_softmax_by_hand():
    """Frequencies 3/4 and 1/4 turn p = (1/4, 3/4) into (3/4·1, 1/4·3) / (3/2) = (1/2, 1/2)."""
    loss = BalancedSoftmax(counts_of([3, 1]))
    assert float(value(loss, LOGITS[:1], torch.tensor([0]))) == pytest.approx(math.log(2))
    assert float(value(loss, LOGITS[:1], torch.tensor([1]))) == pytest.approx(math.log(2))
    # τ = 2: (9/16·1, 1/16·3) / (12/16) = (3/4, 1/4)
    assert float(value(BalancedSoftmax(counts_of([3, 1]), tau=2.0), LOGITS[:1], torch.tensor([0]))) == pytest.approx(
        math.log(4 / 3)
    )


def test_without_tau_or_a_long_tail_balanced_softmax_is_the_cross_entropy():
    logits, ids = drawn(k=3)
    plain = value(CrossEntropy(counts_of([5, 3, 2])), logits, ids)
    torch.testing.assert_close(value(BalancedSoftmax(counts_of([5, 3, 2]), tau=0.0), logits, ids), plain)
    torch.testing.assert_close(value(BalancedSoftmax(counts_of([4, 4, 4])), logits, ids), plain)


def test_balanced_softmax_refuses_what_it_cannot_do():
    with pytest.raises(ConfigError, match=r"needs every class .* got counts \[3, 0\]; use loss=cross_entropy"):
        BalancedSoftmax(counts_of([3, 0]))
    with pytest.raises(ConfigError, match=r"loss\.tau must be 0 or more, got -1"):
        BalancedSoftmax(counts_of([3, 1]), tau=-1.0)


# valence and arousal

PREDICTED = torch.tensor([[0.0, 0.5], [0.5, 0.0], [1.0, -0.5], [0.2, 0.2]])
TRUE = torch.tensor([[0.0, 0.5], [1.0, math.nan], [0.5, -0.5], [math.nan, math.nan]])


def affect_value(loss, predicted=PREDICTED, target=TRUE):
    return loss({"affect": predicted}, {"affect": target})


def test_the_squared_error_by_hand():
    """Known errors 0, -1/2, 1/2 of valence and 0, 0 of arousal: 1/2 in all, over 8 values of which 5 are known."""
    assert float(affect_value(Affect(LabelCounts(4, [4], 8), ccc=0.0))) == pytest.approx(0.5 / 8)
    assert float(affect_value(Affect(LabelCounts(4, [4], 5), ccc=0.0))) == pytest.approx(0.5 / 5)


def test_the_concordance_by_hand():
    """Valence (0, 1/2, 1) for (0, 1, 1/2): means 1/2, variances 1/6, covariance 1/12, so CCC = 1/2; arousal: 1.

    Three valences of four faces are known: where all are in training, that counts for 3/4.
    """
    assert float(affect_value(Affect(LabelCounts(4, [4], 8), mse=0.0))) == pytest.approx(0.75 * 0.5 / 2, abs=1e-6)
    assert float(affect_value(Affect(LabelCounts(4, [4], 8), 2.0, 3.0))) == pytest.approx(2 * 0.5 / 8 + 3 * 0.1875)
    assert float(affect_value(Affect(LabelCounts(4, [4], 6), mse=0.0))) == pytest.approx(0.5 / 2, abs=1e-6)


@pytest.mark.parametrize(("mse", "ccc"), [(1.0, 0.0), (0.0, 1.0)])
def test_batches_that_are_known_count_for_those_that_are_not(mse, ccc):
    """Half of the batches is mixed: the mean over a known and an unknown one is the loss without mixing."""
    target = TRUE.nan_to_num(0.1)
    mixed, plain = Affect(LabelCounts(4, [4], 4), mse, ccc), Affect(LabelCounts(4, [4], 8), mse, ccc)
    batches = [affect_value(mixed, target=each) for each in (target, torch.full_like(target, math.nan))]
    torch.testing.assert_close(sum(batches) / 2, affect_value(plain, target=target))


def test_the_concordance_is_that_of_the_metrics():
    generator = torch.Generator().manual_seed(1)
    predicted, target = torch.rand(50, 2, generator=generator) * 2 - 1, torch.rand(50, 2, generator=generator)
    target[::7, 0], target[::5, 1] = math.nan, math.nan
    scores = affect_scores(predicted.numpy(), target.numpy())
    mine = concordance(predicted, target.nan_to_num(), ~target.isnan())
    assert mine.tolist() == pytest.approx([scores["valence"]["ccc"], scores["arousal"]["ccc"]], abs=1e-5)


@pytest.mark.parametrize("known", [0, 1])
def test_a_batch_with_too_few_known_values_has_no_concordance(known):
    target = torch.full((4, 2), math.nan)
    target[:known] = 0.5
    predicted = PREDICTED.clone().requires_grad_()
    loss = affect_value(Affect(LabelCounts(4, [4], 8), mse=0.0), predicted, target)
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(predicted.grad, torch.zeros(4, 2))


def test_unknown_values_have_no_gradient_and_a_constant_a_finite_one():
    predicted = torch.full((4, 2), 0.25).requires_grad_()
    affect_value(Affect(LabelCounts(4, [4], 5)), predicted).backward()
    assert predicted.grad.isfinite().all()
    assert torch.equal(predicted.grad[TRUE.isnan()], torch.zeros(3))


def test_the_squared_error_of_parts_averages_to_the_whole():
    loss = Affect(LabelCounts(4, [4], 5), ccc=0.0)
    parts = sum(n / 4 * affect_value(loss, PREDICTED[at], TRUE[at]) for n, at in ((1, slice(0, 1)), (3, slice(1, 4))))
    torch.testing.assert_close(parts, affect_value(loss))


def test_affect_weights_of_no_use_are_refused():
    for mse, ccc in ((0.0, 0.0), (-1.0, 1.0)):
        with pytest.raises(ConfigError, match=r"needs weights of 0 or more, one above 0"):
            Affect(counts_of([1]), mse, ccc)


# both


def multitask(counts=None, **options):
    return MultiTask(counts or counts_of([1, 1]), partial(CrossEntropy), partial(Affect, ccc=0.0), **options)


BOTH = {"expression": LOGITS, "affect": PREDICTED[:2]}, {"expression": IDS, "affect": TRUE[:2]}


def test_multitask_is_the_weighted_sum():
    first, second = math.log(4 / 3) / 2 + math.log(5) / 2, 0.25 / 4
    assert float(multitask()(*BOTH)) == pytest.approx(first + 0.5 * second)
    assert float(multitask(alpha=2.0, beta=3.0)(*BOTH)) == pytest.approx(2 * first + 3 * second)
    assert not list(multitask().parameters())


def test_learned_uncertainty_weighs_by_precision():
    first, second = math.log(4 / 3) / 2 + math.log(5) / 2, 0.25 / 3  # three of the four values are known
    loss = multitask(beta=1.0, uncertainty=True, counts=LabelCounts(2, [1, 1], 3))
    assert float(loss(*BOTH).detach()) == pytest.approx(first + second / 2)
    with torch.no_grad():
        loss.log_variance.copy_(torch.tensor([math.log(2), math.log(4)]))
    total = loss(*BOTH)
    assert float(total.detach()) == pytest.approx(first / 2 + second / 8 + math.log(8) / 2)
    total.backward()
    # d/ds: -L e^-s + 1/2, and half of L for the second
    assert loss.log_variance.grad.tolist() == pytest.approx([0.5 - first / 2, 0.5 - second / 8])
    assert "log_variance" in loss.state_dict()


def test_a_batch_without_a_label_says_nothing_of_its_variance():
    """Else each such batch would lower log σ² by half the learning rate, without bound."""
    loss = multitask(uncertainty=True)
    loss(BOTH[0], BOTH[1] | {"affect": torch.full((2, 2), math.nan)}).backward()
    assert loss.log_variance.grad[0] != 0
    assert loss.log_variance.grad[1] == 0
    loss.log_variance.grad = None
    loss(BOTH[0], BOTH[1] | {"expression": torch.tensor([-1, -1])}).backward()
    assert loss.log_variance.grad[0] == 0
    assert loss.log_variance.grad[1] != 0


def test_learned_weights_of_microbatches_average_to_the_whole():
    loss = MultiTask(LabelCounts(4, [2, 1], 5), partial(CrossEntropy), partial(Affect, ccc=0.0), uncertainty=True)
    with torch.no_grad():
        loss.log_variance.copy_(torch.tensor([0.7, -0.4]))
    outputs = {"expression": LOGITS[[0, 1, 1, 0]], "affect": PREDICTED}
    targets = {"expression": torch.tensor([1, -1, 0, 1]), "affect": TRUE}

    def at(rows):
        return loss(*({name: each[rows] for name, each in values.items()} for values in (outputs, targets)))

    torch.testing.assert_close(0.75 * at([0, 1, 3]) + 0.25 * at([2]), at([0, 1, 2, 3]))


def test_weights_of_no_task_are_refused():
    for alpha, beta in ((0.0, 0.0), (1.0, -1.0)):
        with pytest.raises(ConfigError, match=r"loss\.alpha and loss\.beta must be 0 or more, one above 0"):
            multitask(alpha=alpha, beta=beta)


# a teacher


def distillation(labels=CrossEntropy, counts=None, **options):
    return Distillation(counts or counts_of([1, 1]), partial(labels), **options)


def taught(loss, logits, target, teacher):
    return loss({"expression": logits}, {"expression": target, "teacher_expression": teacher})


def softmax(logits, temperature):
    shares = np.exp(np.asarray(logits, np.float64) / temperature)
    return shares / shares.sum(1, keepdims=True)


def test_distillation_by_hand():
    """Hinton's eq. 1 in numpy, with faces 1 and 3 of four without a label, in data of which half has one."""
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(0, 2, (4, 3)), rng.normal(0, 2, (4, 3))
    ids = np.array([2, -1, 0, -1])
    p, q = softmax(student, 3.0), softmax(teacher, 3.0)
    soft = 3.0**2 * (q * np.log(q / p)).sum(1).mean()
    hard = -np.log(softmax(student, 1.0)[[0, 2], [2, 0]]).sum() / 4 * 2  # a mean over faces, by the share with a label
    loss = distillation(counts=LabelCounts(10, [1, 2, 2]), temperature=3.0, weight=0.7)
    got = taught(loss, torch.tensor(student), torch.from_numpy(ids), torch.tensor(teacher))
    assert float(got) == pytest.approx(0.7 * soft + 0.3 * hard, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_gradient_towards_a_teacher_by_hand(temperature):
    """T² times eq. 2, 1/T (p - q): for a face with a label and for one without."""
    logits, teacher = LOGITS.clone().requires_grad_(), torch.tensor([[1.0, -1.0], [0.0, 2.0]])
    loss = distillation(temperature=temperature, weight=1.0)
    taught(loss, logits, torch.tensor([1, -1]), teacher).backward()
    expected = temperature * (softmax(LOGITS, temperature) - softmax(teacher, temperature)) / 2
    assert logits.grad.numpy() == pytest.approx(expected, abs=1e-6)


def test_at_a_high_temperature_the_gradient_keeps_its_size_and_matches_logits():
    """Eq. 4 with its T²: (z - v) / k for logits of mean 0."""
    logits, teacher = torch.tensor([[2.0, -1.0, -1.0]]).requires_grad_(), torch.tensor([[1.0, 1.0, -2.0]])
    taught(
        distillation(counts=counts_of([1, 1, 1]), temperature=300.0, weight=1.0), logits, IDS[:1], teacher
    ).backward()
    assert logits.grad.numpy() == pytest.approx(np.array([[1.0, -2.0, 1.0]]) / 3, abs=0.01)


def test_a_student_that_agrees_has_only_the_labels_to_learn_from():
    got = taught(distillation(weight=0.75), LOGITS, IDS, LOGITS + 5)  # logits mean the same when a constant is added
    torch.testing.assert_close(got, 0.25 * value(CrossEntropy(counts_of([1, 1]))))


def test_no_gradient_reaches_the_teacher():
    teacher = LOGITS.flip(0).requires_grad_()
    logits = LOGITS.clone().requires_grad_()
    with torch.no_grad():
        answered = 2 * teacher
    taught(distillation(), logits, IDS, answered).backward()
    assert teacher.grad is None
    assert logits.grad.ne(0).all()


@pytest.mark.parametrize("cuts", [[1, 39], [13, 13, 14]])
def test_parts_of_a_taught_batch_average_to_the_whole(cuts):
    logits, ids = drawn(k=3)
    teacher = drawn(k=3, seed=1)[0]
    ids[::4] = -1
    loss = distillation(counts=counts_of([5, 3, 2]))
    pieces = zip(cuts, *(each.split(cuts) for each in (logits, ids, teacher)), strict=True)
    torch.testing.assert_close(
        sum(n / 40 * taught(loss, *piece) for n, *piece in pieces), taught(loss, logits, ids, teacher)
    )


def test_half_precision_is_compared_in_float32():
    half = [drawn(k=3, seed=seed)[0].bfloat16() for seed in (0, 1)]
    loss, ids = distillation(counts=counts_of([5, 3, 2])), drawn(k=3)[1]
    got = taught(loss, half[0], ids, half[1])
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, taught(loss, half[0].float(), ids, half[1].float()))


def test_the_labels_may_have_any_other_loss():
    votes = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    plain = value(SoftTarget(counts_of([1, 1])), target=votes)
    torch.testing.assert_close(taught(distillation(SoftTarget, weight=0.6), LOGITS, votes, LOGITS), 0.4 * plain)


def test_valence_and_arousal_come_from_the_teacher_too():
    """Squared errors 1/4, 0, 0, 1 of two faces' two values, the last one unknown to the labels."""
    labels = partial(MultiTask, expression=partial(CrossEntropy), affect=partial(Affect, ccc=0.0))
    loss = Distillation(counts_of([1, 1]), labels, weight=0.8, affect=2.0)
    outputs = {"expression": LOGITS, "affect": torch.tensor([[0.5, 0.0], [0.0, 0.5]])}
    targets = {"expression": IDS, "affect": torch.tensor([[0.5, 0.0], [0.0, math.nan]])}
    answers = {"teacher_expression": LOGITS, "teacher_affect": torch.tensor([[0.0, 0.0], [0.0, -0.5]])}
    assert loss.heads == ("expression", "affect")
    hard = value(CrossEntropy(counts_of([1, 1])))
    torch.testing.assert_close(loss(outputs, targets | answers), 0.2 * hard + 0.8 * 2.0 * torch.tensor(1.25 / 4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "loss.temperature must be positive, got 0.0"),
        ({"weight": 0.0}, "loss.weight must be above 0 and at most 1, got 0.0"),
        ({"weight": 1.1}, "loss.weight must be above 0 and at most 1, got 1.1"),
        ({"affect": -1.0}, "loss.affect must be 0 or more, got -1.0"),
    ],
)
def test_a_distillation_of_no_use_is_refused(options, message):
    with pytest.raises(ConfigError) as caught:
        distillation(**options)
    assert str(caught.value) == message
