import numpy as np
import pytest
import torch

from ferlab.data.augment import CameraAugment
from ferlab.data.images import FileImages
from ferlab.data.loaders import Resident, Streamed, epoch_order, expected_draws, plan
from ferlab.data.source import Split
from ferlab.data.synthetic import DrawnImages
from ferlab.errors import ConfigError, DataError
from ferlab.labels import FERPLUS
from ferlab.spec import ModelSpec

CPU = torch.device("cpu")
SEED = 5


def split_of(n=23, size=48, classes=8, votes=False, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    shares = rng.dirichlet(np.ones(classes), n).astype(np.float32) if votes else None
    affect = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    return Split("train", DrawnImages(pixels, "noise"), rng.integers(0, classes, n), shares, affect)


def spec_of(size=32, colour="gray"):
    three = {"mean": (0.5,) * 3, "std": (0.25,) * 3} if colour == "rgb" else {}
    return ModelSpec(FERPLUS, size=size, colour=colour, **three)


def parts_of(n, batch_size=8, pieces=1, epoch=0, order=None, **options):
    return plan(np.arange(n) if order is None else order, batch_size, pieces, SEED, epoch, **options)


def pipeline():
    import albumentations

    return albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Affine(rotate=(-20, 20), translate_percent=(-0.1, 0.1), p=0.9),
            albumentations.RandomBrightnessContrast(p=0.7),
            albumentations.CoarseDropout(fill=128, p=0.5),
        ]
    )


def streamed(split, sample=None, workers=0, spec=None, channels_last=False):
    return Streamed(split, spec or spec_of(), CPU, sample, channels_last, SEED, workers)


def pixels_of(feed, parts, epoch=0):
    """Of all parts, in the epoch's order."""
    images = torch.cat([batch.images for batch in feed.batches(epoch, parts)])
    return images[np.concatenate([part.positions for part in parts]).argsort()]


# plan: which faces a process runs, and when


@pytest.mark.parametrize("n", [1, 7, 16, 33])
@pytest.mark.parametrize("batch_size", [1, 5, 8, 64])
@pytest.mark.parametrize(("world", "pieces"), [(1, 1), (1, 3), (2, 1), (3, 2), (5, 4)])
def test_every_face_is_run_once_with_a_full_weight(n, batch_size, world, pieces):
    order = np.random.default_rng(n).permutation(n)
    plans = [parts_of(n, batch_size, pieces, order=order, rank=rank, world=world) for rank in range(world)]
    # A face that is left alone goes with the step before.
    sizes = {(7, 1): [1] * 7, (16, 5): [5, 5, 6], (33, 8): [8, 8, 8, 9]}.get((n, batch_size)) or [
        min(batch_size, n - start) for start in range(0, n, batch_size)
    ]
    steps, starts = len(sizes), np.cumsum([0, *sizes])
    for parts in plans:
        assert [part.step for part in parts] == sorted(part.step for part in parts)
        assert {part.step for part in parts} == set(range(steps))  # each process takes part in each step
        assert all(len(part.rows) == len(part.positions) == len(part.uniform) > 0 for part in parts)
        assert all(sum(part.step == step for part in parts) <= pieces for step in range(steps))
    every = [part for parts in plans for part in parts]
    seen = np.concatenate([part.positions for part in every if part.share])
    assert sorted(seen) == list(range(n))
    assert all((part.rows == order[part.positions]).all() for part in every)
    for step in range(steps):
        here = [part for part in every if part.step == step]
        size = sizes[step]
        assert sum(part.share for part in here) == pytest.approx(1)
        assert all(part.share in (0, pytest.approx(len(part.rows) / size)) for part in here)
        assert set().union(*(part.positions.tolist() for part in here)) == set(range(starts[step], starts[step] + size))
        assert size == 1 or all(len(part.rows) > 1 for part in here)  # batch normalisation needs two


def test_a_process_without_a_face_takes_part_with_weight_zero():
    # 10 faces in steps of 8 over 3 processes: the second step has one pair, which the first process gets.
    plans = [parts_of(10, 8, rank=rank, world=3) for rank in range(3)]
    assert [[part.share for part in parts if part.step == 1] for parts in plans] == [[1.0], [0.0], [0.0]]
    assert [len(parts[-1].rows) for parts in plans] == [2, 2, 2]
    assert [parts[0].positions.tolist() for parts in plans] == [[0, 3, 4, 7], [1, 6], [2, 5]]
    assert [parts[0].share for parts in plans] == [4 / 8, 2 / 8, 2 / 8]


@pytest.mark.parametrize("n", [8, 9, 33])
@pytest.mark.parametrize(("world", "pieces"), [(1, 1), (1, 3), (2, 1), (3, 2)])
def test_partners_stay_together_however_a_step_is_cut(n, world, pieces):
    for rank in range(world):
        for part in parts_of(n, 8, pieces, rank=rank, world=world):
            if part.share:
                first, last = part.step * 8, (n if n - part.step * 8 < 10 else part.step * 8 + 8) - 1
                assert (part.positions[::-1] == first + last - part.positions).all()


@pytest.mark.parametrize(("world", "pieces"), [(1, 4), (2, 1), (3, 2)])
def test_the_numbers_of_a_face_do_not_depend_on_who_runs_it(world, pieces):
    alone = torch.cat([part.uniform for part in parts_of(33, 8)])
    assert alone.shape == (33, CameraAugment.DRAWS + 1)
    assert len(alone.unique()) == alone.numel()  # no number is used twice
    assert alone.min() >= 0
    assert alone.max() < 1
    for rank in range(world):
        for part in parts_of(33, 8, pieces, rank=rank, world=world):
            assert torch.equal(part.uniform, alone[torch.from_numpy(part.positions)])


def test_the_numbers_differ_between_seeds_and_epochs():
    order = np.arange(8)
    first, *others = (plan(order, 8, 1, seed, epoch)[0].uniform for seed, epoch in [(0, 0), (0, 1), (1, 0)])
    assert all((first != other).float().mean() > 0.99 for other in others)
    assert torch.equal(plan(order, 8, 1, 0, 0)[0].uniform, first)


@pytest.mark.parametrize("start", [0, 1, 4, 5])
@pytest.mark.parametrize("world", [1, 2])
def test_a_later_start_is_the_tail(start, world):
    whole = [part for part in parts_of(33, 8, 2, rank=world - 1, world=world) if part.step >= start]
    tail = parts_of(33, 8, 2, start=start, rank=world - 1, world=world)
    assert len(tail) == len(whole)
    for a, b in zip(tail, whole, strict=True):
        assert (a.step, a.share) == (b.step, b.share)
        assert (a.rows == b.rows).all()
        assert torch.equal(a.uniform, b.uniform)


# epoch_order


def labelled(*counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    return Split("train", DrawnImages(np.zeros((len(labels), 1, 1, 3), np.uint8), "black"), labels)


def test_an_epoch_sees_every_face_once_in_an_order_of_its_own():
    split = labelled(50, 50)
    orders = [epoch_order(split, "shuffle", seed, epoch) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert all((a != b).mean() > 0.9 for a, b in [orders[:2], orders[1:], orders[::2]])
    assert (orders[0] != np.arange(100)).mean() > 0.9
    assert (epoch_order(split, "shuffle", 0, 0) == orders[0]).all()


def test_weighted_sees_each_class_equally_often():
    split = labelled(900, 90, 10, 0)
    order = epoch_order(split, "weighted", 0, 0)
    counts = np.bincount(split.labels[order], minlength=4)
    assert len(order) == 1000
    assert counts[:3].tolist() == pytest.approx([333] * 3, abs=60)  # 4 standard deviations
    assert counts[3] == 0
    rare = np.bincount(order, minlength=1000)[990:]
    assert rare.tolist() == pytest.approx([33] * 10, abs=25)  # within a class all faces count alike
    assert (epoch_order(split, "weighted", 0, 1) != order).any()


def test_weighted_never_draws_a_face_without_a_class():
    split = labelled(60, 30)
    split.labels[[0, 1, 2, 70]] = -1
    order = epoch_order(split, "weighted", 0, 0)
    assert len(order) == 86  # as many as have a class
    counts = np.bincount(split.labels[order], minlength=2)
    assert (split.labels[order] >= 0).all()
    assert counts.tolist() == pytest.approx([43, 43], abs=19)  # 4 standard deviations
    assert sorted(epoch_order(split, "shuffle", 0, 0)) == list(range(90))  # they still teach affect
    split.labels[:] = -1
    with pytest.raises(ConfigError, match=r"^trainer\.sampler=weighted needs faces with a class, train has none"):
        epoch_order(split, "weighted", 0, 0)


@pytest.mark.parametrize("sampler", ["shuffle", "weighted"])
def test_expected_draws_are_the_mean_of_what_epochs_see(sampler):
    split = labelled(60, 30, 10)
    split.labels[[0, 61]] = -1
    draws = expected_draws(split, sampler)
    orders = [epoch_order(split, sampler, 0, epoch) for epoch in range(300)]
    seen = np.bincount(np.concatenate(orders), minlength=100) / 300
    assert draws.sum() == pytest.approx(len(orders[0]))
    assert seen.tolist() == pytest.approx(draws.tolist(), abs=0.5)  # 4 standard deviations of the rarest
    assert seen[[0, 61]].tolist() == draws[[0, 61]].tolist()


def test_an_unknown_sampler_names_the_nearest():
    with pytest.raises(ConfigError, match=r"^unknown trainer\.sampler 'weigthed'; did you mean 'weighted'\?$"):
        epoch_order(labelled(1), "weigthed", 0, 0)


# Resident and Streamed


@pytest.mark.parametrize("colour", ["gray", "rgb"])
@pytest.mark.parametrize("votes", [False, True])
def test_faces_in_memory_and_from_the_loader_are_the_same_bytes(colour, votes):
    split, spec = split_of(votes=votes), spec_of(colour=colour)
    order = np.random.default_rng(1).permutation(len(split))
    parts = parts_of(len(split), 8, 2, order=order)
    feeds = Resident(split, spec, CPU, True), streamed(split, spec=spec, channels_last=True)
    for part, *batches in zip(parts, *(feed.batches(0, parts) for feed in feeds), strict=True):
        expected = np.stack([spec.prepare(split.read(row)) for row in part.rows])
        for batch in batches:
            assert batch.part is part
            assert batch.images.dtype == torch.uint8
            assert (batch.images.numpy() == expected).all()
            assert batch.images.is_contiguous(memory_format=torch.channels_last)
            target = split.votes if votes else split.labels
            assert set(batch.targets) == {"expression", "affect"}
            assert (batch.targets["expression"].numpy() == target[part.rows]).all()
            assert (batch.targets["affect"].numpy() == split.affect[part.rows]).all()


def test_without_affect_there_is_no_such_target():
    split = labelled(3)
    for feed in (Resident(split, spec_of(8), CPU, False), streamed(split, spec=spec_of(8))):
        assert [set(batch.targets) for batch in feed.batches(0, parts_of(3))] == [{"expression"}]


def test_augmented_faces_do_not_depend_on_the_number_of_workers():
    split, parts = split_of(), parts_of(23, 8)
    expected = pixels_of(streamed(split, pipeline()), parts)
    plain = pixels_of(streamed(split), parts)
    assert ((expected != plain).flatten(1).any(1)).float().mean() > 0.8
    for workers in (0, 1, 2):
        feed = streamed(split, pipeline(), workers)
        assert torch.equal(pixels_of(feed, parts), expected), workers
        other = pixels_of(feed, parts, epoch=1)
        assert ((other != expected).flatten(1).any(1)).float().mean() > 0.8, workers
        assert torch.equal(pixels_of(feed, parts), expected), workers  # again, whatever was drawn in between


def test_augmented_faces_do_not_depend_on_how_the_epoch_is_cut():
    split = split_of()
    expected = pixels_of(streamed(split, pipeline()), parts_of(23, 8))
    assert torch.equal(pixels_of(streamed(split, pipeline()), parts_of(23, 5, 3)), expected)
    tail = pixels_of(streamed(split, pipeline()), parts_of(23, 8, start=1))  # as a resumed run sees it
    assert torch.equal(tail, expected[8:])
    for rank in (0, 1):
        parts = [part for part in parts_of(23, 8, rank=rank, world=2) if part.share]
        places = np.concatenate([part.positions for part in parts])
        assert torch.equal(pixels_of(streamed(split, pipeline()), parts), expected[places])


def test_a_face_drawn_twice_in_an_epoch_is_changed_in_two_ways():
    images = pixels_of(streamed(split_of(), pipeline()), parts_of(12, 12, order=np.full(12, 4)))
    assert len(images.flatten(1).unique(dim=0)) >= 11


def test_augmentation_follows_the_seed():
    split, parts = split_of(), parts_of(23)
    one, two = (Streamed(split, spec_of(), CPU, pipeline(), False, seed, 0) for seed in (1, 2))
    assert not torch.equal(pixels_of(one, parts), pixels_of(two, parts))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_picture_is_one_line_that_names_it(tmp_path, workers):
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    files[0].write_bytes(b"no picture")
    split = Split("train", FileImages.of(tmp_path, [file.name for file in files]), np.zeros(2, np.int64))
    with pytest.raises(DataError) as caught:
        list(streamed(split, workers=workers).batches(0, parts_of(2)))
    expected = f"{files[0]} must be a picture, got 10 bytes that cannot be decoded; replace the file"
    assert str(caught.value) == expected
