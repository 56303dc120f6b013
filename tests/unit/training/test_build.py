import numpy as np
import pytest
import torch

from ferlab.config import compose, typed
from ferlab.data.loaders import epoch_order
from ferlab.data.source import Source, Split
from ferlab.data.synthetic import DrawnImages
from ferlab.errors import ConfigError
from ferlab.labels import FERPLUS
from ferlab.losses import BalancedSoftmax, CrossEntropy
from ferlab.spec import ModelSpec
from ferlab.training.build import build_loss, label_counts
from ferlab.training.config import TrainConfig


def configured(*overrides):
    return typed(compose("train", list(overrides)), TrainConfig)


# what a loss is told of the labels

LABELS = np.repeat(np.arange(8), [40, 30, 20, 10, 5, 1, 3, 1])


def split_of(votes=None, affect=None, labels=LABELS):
    pixels = np.zeros((len(labels), 1, 1, 3), np.uint8)
    return Split("train", DrawnImages(pixels, "black"), labels.copy(), votes, affect)


def mean_weight(split, sampler):
    """Of the faces that 200 epochs see."""
    loss = CrossEntropy(label_counts(split, sampler, 0.0, 8), class_weights=1.0)
    rows = np.concatenate([epoch_order(split, sampler, 0, epoch) for epoch in range(200)])
    target = torch.eye(8)[split.labels[rows]] if split.votes is None else torch.from_numpy(split.votes[rows])
    return float((target * loss.weights).sum() / len(rows))


@pytest.mark.parametrize("sampler", ["shuffle", "weighted"])
@pytest.mark.parametrize("votes", [False, True])
def test_the_mean_weight_of_a_drawn_face_is_one(sampler, votes):
    shares = np.random.default_rng(0).dirichlet(np.ones(8), len(LABELS)).astype(np.float32) if votes else None
    assert mean_weight(split_of(shares), sampler) == pytest.approx(1, abs=0.03)


def test_after_weighted_sampling_nothing_is_left_to_correct():
    counts = label_counts(split_of(), "weighted", 0.0, 8)
    assert CrossEntropy(counts, class_weights=1.0).weights.tolist() == pytest.approx([1.0] * 8)
    assert BalancedSoftmax(counts).prior.softmax(0).tolist() == pytest.approx([1 / 8] * 8)


def test_where_votes_are_the_targets_the_classes_have_their_sums():
    labels = np.array([0, 0, 1, -1])
    votes = np.array([[0.75, 0.25], [0.5, 0.5], [0.0, 1.0], [0.0, 0.0]], np.float32)
    counts = label_counts(split_of(votes, labels=labels), "shuffle", 0.0, 2)
    assert (counts.faces, list(counts.classes)) == (4, [1.25, 1.75])
    assert list(label_counts(split_of(labels=labels), "shuffle", 0.0, 2).classes) == [2, 1]


def test_faces_that_are_never_drawn_do_not_count():
    """Half of the faces has no class, and weighted leaves them out: the loss of the others must not be doubled."""
    labels = np.concatenate([LABELS, np.full(len(LABELS), -1)])
    affect = np.full((len(labels), 2), np.nan, np.float32)
    affect[: len(LABELS), 0] = 0.5
    for sampler, faces in (("shuffle", 2 * len(LABELS)), ("weighted", len(LABELS))):
        counts = label_counts(split_of(affect=affect, labels=labels), sampler, 0.25, 8)
        assert counts.faces == pytest.approx(faces)
        assert sum(counts.classes) == pytest.approx(len(LABELS))
        assert counts.affect == pytest.approx(0.75 * len(LABELS))


def test_valence_and_arousal_cannot_be_trained_on_blends_alone():
    affect = np.zeros((len(LABELS), 2), np.float32)
    source = Source("noise", FERPLUS, {"train": split_of(affect=affect)}, "noise", "none")
    spec = ModelSpec(FERPLUS, size=16, affect=True)
    words = ["loss=multitask", "model.heads=[expression,affect]", "augment=batched"]
    with pytest.raises(ConfigError, match=r"^augment\.mix\.probability must be below 1 .* got 1\.0; set .*=0\.5$"):
        build_loss(configured(*words, "augment.mix.cutmix=1"), source, spec)
    for more, scale in ([], 1), (["augment.mix.mixup=0.2", "augment.mix.probability=0.75"], 4):
        assert build_loss(configured(*words, *more), source, spec).affect.scale == pytest.approx(scale)
