from dataclasses import replace

import numpy as np
import pytest
import torch

from ferlab.data.augment import BatchAugment
from ferlab.data.loaders import Batch, plan
from ferlab.errors import ConfigError
from ferlab.training.config import MixOptions
from ferlab.training.transform import Transform, draw_class, mix

LARGEST = 1 - 2**-24  # the largest float32 below 1, which torch.rand can return


class Scripted:
    """In the place of numpy's generator: what it returns is written down."""

    def __init__(self, keep=0.75, random=0.0, integers=()):
        self.keep, self.number, self.queue = keep, random, list(integers)
        self.asked = []

    def random(self):
        return self.number

    def integers(self, high):
        return 0 if high <= 2 and not self.queue else self.queue.pop(0)

    def beta(self, a, b):
        self.asked.append((a, b))
        return self.keep


def faces(*values, side=8):
    return torch.stack([torch.full((1, side, side), float(value)) for value in values])


def batch_of(n=6, step=0, epoch=0, votes=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 1, 12, 12), dtype=torch.uint8, generator=generator)
    expression = torch.arange(n) % 3 if votes is None else votes
    part = plan(np.arange(n), n, 1, seed=4, epoch=epoch)[0]
    affect = torch.rand(n, 2, generator=generator)
    return Batch(replace(part, step=step), images, {"expression": expression, "affect": affect})


# draw_class


@pytest.mark.parametrize(
    ("u", "expected"), [(0.0, 0), (0.2499, 0), (0.25, 1), (0.4999, 1), (0.5, 2), (0.9, 2), (LARGEST, 2)]
)
def test_a_class_is_drawn_by_its_share(u, expected):
    votes = torch.tensor([[0.25, 0.25, 0.5]])
    assert draw_class(votes, torch.tensor([u])).tolist() == [expected]


def test_a_class_without_votes_is_never_drawn():
    votes = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]])
    for u in (0.0, 0.25, 0.5, 0.75, LARGEST):
        assert draw_class(votes, torch.tensor([u])).item() in (1, 3)


def test_nor_is_it_where_the_votes_sum_to_less_than_one_by_rounding():
    counts = torch.randint(1, 10, (5000, 7), generator=torch.Generator().manual_seed(0)).float()
    votes = torch.cat([torch.zeros(5000, 1), counts / counts.sum(1, keepdim=True), torch.zeros(5000, 1)], 1)
    assert (votes.sum(1) < 1).any()
    for u in (0.0, LARGEST):
        drawn = draw_class(votes, torch.full((5000,), u))
        assert (votes[torch.arange(5000), drawn] > 0).all()


def test_classes_are_drawn_as_often_as_they_were_voted_for():
    votes = torch.tensor([0.1, 0.0, 0.6, 0.3]).expand(20_000, 4)
    drawn = draw_class(votes, torch.rand(20_000, generator=torch.Generator().manual_seed(0)))
    frequency = drawn.bincount(minlength=4) / 20_000
    assert frequency.tolist() == pytest.approx([0.1, 0, 0.6, 0.3], abs=0.015)  # 4 standard deviations
    assert drawn.dtype == torch.int64


# mix


def test_mixup_by_hand():
    targets = {"expression": torch.tensor([0, 1, 2])}
    rng = Scripted(keep=0.75)
    images, mixed = mix(faces(0, 100, 200), targets, MixOptions(mixup=0.4), 4, rng)
    # x' = 0.75 x + 0.25 partner: the first face is blended with the last, the middle one with itself.
    assert images[:, 0, 3, 3].tolist() == [50, 100, 150]
    assert mixed["expression"].tolist() == [[0.75, 0, 0.25, 0], [0, 1, 0, 0], [0.25, 0, 0.75, 0]]
    assert rng.asked == [(0.4, 0.4)]


def test_cutmix_by_hand():
    # keep = 0.75 of 8×8: a box of side √0.25 · 8 = 4 about (5, 3): rows 3 to 6, columns 1 to 4.
    rng = Scripted(keep=0.75, integers=[0, 5, 3])
    images, mixed = mix(faces(10, 20), {"expression": torch.tensor([0, 1])}, MixOptions(cutmix=1.0), 2, rng)
    expected = torch.full((8, 8), 10.0)
    expected[3:7, 1:5] = 20
    assert torch.equal(images[0, 0], expected)
    assert torch.equal(images[1, 0], 30 - expected)
    assert mixed["expression"].tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_a_box_that_the_border_cuts_counts_for_what_is_left_of_it():
    rng = Scripted(keep=0.75, integers=[0, 0, 7])  # about (0, 7): rows 0 to 1, columns 5 to 7
    images, mixed = mix(faces(10, 20), {"expression": torch.tensor([0, 1])}, MixOptions(cutmix=1.0), 2, rng)
    assert (images[0] == 20).sum() == 6
    assert mixed["expression"].tolist() == [[58 / 64, 6 / 64], [6 / 64, 58 / 64]]


@pytest.mark.parametrize("options", [MixOptions(mixup=0.3), MixOptions(cutmix=1.0), MixOptions(0.2, 1.0, 0.5)])
@pytest.mark.parametrize("votes", [False, True])
def test_mixed_targets_are_distributions_with_the_share_of_the_pixels(options, votes):
    expression = torch.tensor([0, 1, 2, 3])
    if votes:
        expression = torch.eye(4)[expression]
    for seed in range(40):
        rng = np.random.default_rng(seed)
        images, mixed = mix(faces(0, 0, 100, 100, side=16), {"expression": expression}, options, 4, rng)
        if mixed["expression"].ndim == 1:
            continue
        torch.testing.assert_close(mixed["expression"].sum(1), torch.ones(4))
        # Face 0 was black and its partner, face 3, is 100 bright: its mean is the partner's share.
        assert float(mixed["expression"][0, 3]) == pytest.approx(float(images[0].mean()) / 100, abs=1e-5)


def test_without_mixing_the_batch_is_the_same_object():
    images, targets = faces(1, 2), {"expression": torch.tensor([0, 1])}
    for options in (MixOptions(), MixOptions(mixup=1.0, probability=0.0)):
        same, kept = mix(images, targets, options, 2, np.random.default_rng(0))
        assert same is images
        assert kept is targets


def test_each_kind_of_mixing_comes_as_often_as_asked():
    kinds = {"none": 0, "mixup": 0, "cutmix": 0}
    targets = {"expression": torch.tensor([0, 1])}
    for seed in range(600):
        images, _ = mix(faces(0, 100), targets, MixOptions(1.0, 1.0, 0.6), 2, np.random.default_rng(seed))
        values = images[0].unique()
        pasted = set(values.tolist()) <= {0.0, 100.0}
        kinds["none" if (values == 0).all() and len(values) == 1 else "cutmix" if pasted else "mixup"] += 1
    # Some boxes of CutMix are empty and count as none, so the bounds are wide: 0.4, 0.3 and 0.3 of 600.
    assert kinds["mixup"] == pytest.approx(180, abs=45)
    assert kinds["cutmix"] == pytest.approx(180, abs=50)
    assert kinds["none"] == pytest.approx(240, abs=55)


def test_a_blend_has_no_valence_and_arousal():
    affect = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    targets = {"expression": torch.tensor([0, 1]), "affect": affect}
    _, mixed = mix(faces(1, 2), targets, MixOptions(mixup=1.0), 2, Scripted())
    assert mixed["affect"].isnan().all()
    assert mixed["affect"].shape == (2, 2)
    assert torch.equal(targets["affect"], affect)


@pytest.mark.parametrize("options", [{"mixup": -0.1}, {"cutmix": -1.0}, {"probability": 1.1}, {"probability": -0.1}])
def test_mixing_of_no_use_is_refused(options):
    with pytest.raises(ConfigError, match=r"^augment\.mix must have α of 0 or more and a probability in \[0, 1\], got"):
        MixOptions(**options)


# Transform


def test_nothing_asked_for_is_nothing_done():
    batch = batch_of()
    images, targets = Transform(3, 0)(batch, 0)
    assert images is batch.images
    assert targets is batch.targets


def test_classes_are_drawn_from_a_number_that_augmentation_does_not_use():
    votes = torch.tensor([[0.5, 0.5, 0.0]]).expand(64, 3)
    batch = batch_of(64, votes=votes)
    augment = BatchAugment()
    images, targets = Transform(3, 0, draw=True, augment=augment)(batch, 0)
    uniform = batch.part.uniform
    assert torch.equal(targets["expression"], (uniform[:, -1] >= 0.5).long())
    assert torch.equal(images, augment(batch.images, uniform[:, :-1]))
    assert torch.equal(targets["affect"], batch.targets["affect"])
    assert batch.targets["expression"] is votes  # the batch itself stays


def test_votes_stay_votes_unless_classes_are_to_be_drawn():
    votes = torch.tensor([[0.5, 0.5, 0.0]]).expand(6, 3)
    assert Transform(3, 0)(batch_of(votes=votes), 0)[1]["expression"] is votes


def test_mixing_follows_seed_epoch_and_step_and_nothing_else():
    def mixed(seed=0, epoch=0, step=0):
        torch.rand(1), np.random.default_rng().random()  # other draws change nothing
        return Transform(3, seed, mixing=MixOptions(mixup=1.0))(batch_of(step=step), epoch)

    images, targets = mixed()
    again = mixed()
    assert torch.equal(again[0], images)
    assert torch.equal(again[1]["expression"], targets["expression"])
    for other in (mixed(seed=1), mixed(epoch=1), mixed(step=1)):
        assert not torch.equal(other[0], images)
        assert not torch.equal(other[1]["expression"], targets["expression"])


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
@pytest.mark.parametrize("n", [16, 21])
def test_what_a_face_becomes_does_not_depend_on_how_the_step_is_cut(options, n):
    """Bit for bit: over microbatches (accumulate) and processes, the last step being short."""
    images = torch.randint(0, 256, (n, 1, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    expression = torch.rand(n, 5, generator=torch.Generator().manual_seed(4))
    transform = Transform(5, 0, draw=True, augment=BatchAugment(), mixing=MixOptions(**options))

    def mixed(pieces, world):
        pixels, targets = torch.empty(n, 1, 48, 48), torch.empty(n, 5)
        for rank in range(world):
            for part in plan(np.arange(n), 16, pieces, seed=4, epoch=0, rank=rank, world=world):
                if part.share:
                    rows = torch.from_numpy(part.rows)
                    became = transform(Batch(part, images[rows], {"expression": expression[rows]}), 0)
                    pixels[rows], targets[rows] = became[0], became[1]["expression"]
        return pixels, targets

    whole = mixed(1, 1)
    assert (whole[1].max(1).values < 1).any()  # blends of two classes are among them
    for pieces, world in ((2, 1), (4, 1), (1, 2), (2, 3)):
        for a, b in zip(mixed(pieces, world), whole, strict=True):
            assert torch.equal(a, b)


def test_a_drawn_class_can_be_mixed():
    votes = torch.tensor([[0.5, 0.5, 0.0]]).expand(6, 3)
    transform = Transform(3, 0, draw=True, augment=BatchAugment(), mixing=MixOptions(cutmix=1.0))
    images, targets = transform(batch_of(votes=votes), 0)
    assert images.shape == (6, 1, 12, 12)
    torch.testing.assert_close(targets["expression"].sum(1), torch.ones(6))
    assert (targets["expression"][:, 2] == 0).all()
