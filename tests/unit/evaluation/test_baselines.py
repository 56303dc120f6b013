from pathlib import Path

import numpy as np
import pytest

from ferlab.data.images import FileImages
from ferlab.data.source import Source, Split
from ferlab.evaluation.baselines import affect_baseline, baselines


def split(name, ids, affect=None):
    rated = None if affect is None else np.array(affect, np.float32)
    return Split(name, FileImages.of(Path(), ["unread"] * len(ids)), np.array(ids, dtype=np.int64), affect=rated)


def source(**splits):
    return Source("drawn", ("anger", "happiness"), splits, "a protocol", "none")


def test_majority_is_the_training_splits_and_may_be_rare_in_the_evaluated_one():
    validation = split("validation", [1, 0, 0, 0])
    scores, whose = baselines(source(train=split("train", [1, 1, 0]), validation=validation), validation, 0)
    assert scores["majority"]["accuracy"] == 0.25  # happiness for all
    assert scores["majority"]["mean_recall"] == 0.5
    assert scores["majority"]["macro_f1"] == pytest.approx((0 + 2 * 1 / (1 + 4)) / 2)
    assert whose == "class frequencies of the training split; the commonest class is happiness"


def test_without_a_training_split_it_says_so():
    validation = split("validation", [1, 0, 0, 0])
    scores, whose = baselines(source(validation=validation), validation, 0)
    assert scores["majority"]["accuracy"] == 0.75
    assert "the evaluated split, for want of a training split" in whose
    assert whose.endswith("anger")


def test_random_guesses_by_frequency():
    validation = split("validation", [0] * 300 + [1] * 700)
    known = source(train=split("train", [0] * 1 + [1] * 4), validation=validation)
    scores, _ = baselines(known, validation, 0)
    assert scores["random"]["accuracy"] == pytest.approx(0.3 * 0.2 + 0.7 * 0.8, abs=0.005)
    assert scores["random"]["mean_recall"] == pytest.approx(0.5, abs=0.005)
    assert baselines(known, validation, 0) == baselines(known, validation, 0)
    assert baselines(known, validation, 1) != baselines(known, validation, 0)


def test_faces_without_a_label_do_not_count():
    validation = split("validation", [-1, -1, 0, 1])
    scores, _ = baselines(source(validation=validation), validation, 0)
    assert scores["majority"]["accuracy"] == 0.5


def test_a_training_split_without_labels_has_no_frequencies():
    validation = split("validation", [1, 0, 0, 0])
    scores, whose = baselines(source(train=split("train", [-1, -1]), validation=validation), validation, 0)
    assert scores["majority"]["accuracy"] == 0.75
    assert "the evaluated split, for want of a training split" in whose


TARGET = np.array([[0.5, 0.2], [-0.5, 0.4]], np.float32)


def test_the_mean_affect_of_the_training_split_is_the_answer():
    validation = split("validation", [0, 1], TARGET)
    train = split("train", [0, 1, 1], [[0.5, 0], [0.1, np.nan], [np.nan, 0.2]])
    scores, said = affect_baseline(source(train=train, validation=validation), validation, TARGET)
    assert scores["valence"]["rmse"] == pytest.approx(((0.2**2 + 0.8**2) / 2) ** 0.5)
    assert scores["arousal"]["rmse"] == pytest.approx(((0.1**2 + 0.3**2) / 2) ** 0.5)
    assert scores["valence"]["sign_agreement"] == 0.5
    assert scores["valence"]["ccc"] == scores["arousal"]["pearson"] == 0
    assert said == "the mean of the training split for every face, valence +0.30 and arousal +0.10"


@pytest.mark.parametrize("train", [None, split("train", [0, 1]), split("train", [0], [[np.nan, 0.1]])])
def test_without_training_affect_the_evaluated_splits_own_mean_is_the_answer(train):
    validation = split("validation", [0, 1], TARGET)
    splits = {"validation": validation} if train is None else {"train": train, "validation": validation}
    scores, said = affect_baseline(source(**splits), validation, TARGET)
    assert scores["valence"]["rmse"] == pytest.approx(0.5)
    assert "the evaluated split, for want of a training split for every face, valence +0.00 and arousal +0.30" in said
