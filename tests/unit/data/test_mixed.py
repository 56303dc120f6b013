"""Several datasets as one: nothing may change its meaning on the way."""

from dataclasses import replace

import numpy as np
import pytest

from ferlab.data.mixed import mixed
from ferlab.data.source import Source, Split
from ferlab.data.synthetic import DrawnImages
from ferlab.errors import ConfigError, LabelError
from ferlab.faces import FaceCrop

FIRST, SECOND = ("anger", "fear", "contempt"), ("fear", "neutral", "anger")


def split_of(name, ids, first=0, **fields):
    """Faces of 8 px, face i grey of value first + i."""
    pixels = np.arange(first, first + len(ids), dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    return Split(name, DrawnImages(pixels, f"drawn{first}"), np.array(ids, np.int64), **fields)


def source_of(name, labels, *splits, **fields):
    absent = dict.fromkeys(("train", "validation", "test"), f"{name} has none")
    return Source(name, labels, {s.name: s for s in splits}, f"{name} as drawn", "free", absent=absent, **fields)


def pair(first=None, second=None, **fields):
    a = source_of("a", FIRST, first or split_of("train", [0, 1, 2, 1]), **fields)
    return {"a": a, "b": source_of("b", SECOND, second or split_of("train", [0, 1, 2], 100))}


def names(source, split="train"):
    return ["none" if i < 0 else source.labels[i] for i in source.split(split).labels]


def test_labels_are_mapped_by_name_and_the_rest_is_counted():
    source = mixed(pair())
    assert source.labels == ("anger", "fear")  # what both have, in the order of the first
    assert names(source) == ["anger", "fear", "fear", "fear", "anger"]
    assert [int(source.split("train").read(i)[0, 0, 0]) for i in range(5)] == [0, 1, 3, 100, 102]
    assert source.dropped == {"a train: contempt": 1, "b train: neutral": 1}
    assert source.split("train").images.name(3) == "drawn100:0"
    assert list(source.split("train").slices["source"]) == ["a", "a", "a", "b", "b"]


def test_the_common_set_can_be_given():
    source = mixed(pair(), labels=["Neutral", "angry", "contempt"])
    assert source.labels == ("neutral", "anger", "contempt")
    assert names(source) == ["anger", "contempt", "neutral", "anger"]
    with pytest.raises(LabelError, match=r"^data\.labels must be classes of a, b, got 'disgust'; leave it out$"):
        mixed(pair(), labels=["anger", "disgust"])
    with pytest.raises(LabelError, match=r"^a and b must share two classes or more, got \['fear'\]; set data\.labels$"):
        mixed(pair(), labels=["fear"])


def test_votes_move_with_their_classes_and_others_get_a_whole_vote():
    votes = np.array([[0.5, 0.25, 0.25], [0, 1, 0], [0, 0, 1], [0.1, 0.9, 0]], np.float32)
    source = mixed(pair(split_of("train", [0, 1, 2, 1], votes=votes)))
    expected = [[2 / 3, 1 / 3], [0, 1], [0.1, 0.9], [0, 1], [1, 0]]
    np.testing.assert_allclose(source.split("train").votes, expected, atol=1e-6)
    assert mixed(pair()).split("train").votes is None


def test_all_draw_classes_from_votes_or_none():
    votes = np.full((4, 3), 1 / 3, np.float32)
    drawing = split_of("train", [0, 1, 2, 1], votes=votes, draw=True)
    assert mixed(pair(drawing)).split("train").draw  # whole votes draw themselves
    other = split_of("train", [0, 1, 2], 100, votes=votes[:3])
    with pytest.raises(ConfigError, match=r"must all draw classes from votes or none, got both"):
        mixed(pair(drawing, other))


def test_what_one_lacks_is_unknown():
    affect = np.array([[0.5, -0.5]] * 4, np.float32)
    gender = np.array(["male", "female", "male", ""])
    first = split_of("train", [0, -1, 2, 1], affect=affect, slices={"gender": gender})
    source = mixed(pair(first))
    split = source.split("train")
    assert names(source) == ["anger", "none", "fear", "fear", "anger"]  # a face without a label may have affect
    np.testing.assert_array_equal(split.affect[:3], affect[:3])
    assert np.isnan(split.affect[3:]).all()
    assert list(split.slices["gender"]) == ["male", "female", "", "", ""]


def test_splits_join_where_they_are():
    a = source_of("a", FIRST, split_of("train", [0, 1]), split_of("validation", [1, 0]))
    b = source_of("b", SECOND, split_of("train", [0, 2], 100))
    source = mixed({"a": a, "b": b})
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 4, "validation": 2}
    assert source.absent == {"test": "a: a has none; b: b has none"}


def test_it_says_what_it_is_made_of():
    source = mixed(pair(face=FaceCrop(0.25, aligned=True), mapping={"0": "anger"}))
    assert source.protocol == (
        "a (a as drawn) + b (b as drawn); their crops differ, the model is said to take those of a"
    )
    assert source.face == FaceCrop(0.25, aligned=True)
    assert source.licence == "a: free; b: free"
    assert source.mapping == {"a 0": "anger"}
    assert mixed(pair()).protocol == "a (a as drawn) + b (b as drawn)"


def test_a_split_of_it_says_by_which_rule_each_part_is_labelled():
    a = source_of("a", FIRST, split_of("train", [0, 1]), split_of("validation", [1, 0]))
    a = replace(a, protocols={"train": "a by votes", "validation": "a by majority"})
    source = mixed({"a": a, "b": source_of("b", SECOND, split_of("train", [0, 2], 100))})
    assert source.protocol_of("train") == "a (a by votes) + b (b as drawn)"
    assert source.protocol_of("validation") == "a (a by majority)"


def test_its_digest_follows_every_part():
    before = mixed(pair()).digest()
    assert mixed(pair()).digest() == before
    assert mixed(pair(second=split_of("train", [0, 1, 2], 101))).digest() != before
    assert mixed(dict(reversed(pair().items()))).digest() != before


def test_one_dataset_is_no_mixture():
    with pytest.raises(ConfigError, match=r"^data\.sources must name two datasets or more, got \['a'\]; add one$"):
        mixed({"a": pair()["a"]})
