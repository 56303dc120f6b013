import numpy as np
import pytest

from ferlab.evaluation.slices import Gap, sentences

from .conftest import made_source, made_split, reported

NAN = float("nan")
ANGER, HAPPINESS = [2.0, 0.0], [0.0, 2.0]  # logits
LABELS = [0, 0, 1, 1, 0, -1]
GUESSES = [ANGER, HAPPINESS, HAPPINESS, HAPPINESS, HAPPINESS, ANGER]
AGE = ["4-19", "4-19", "4-19", "20-39", "20-39", "70+"]


def scored(answering, slices, labels=LABELS, **answers):
    split = made_split(labels, answers.pop("target", None), slices)
    return reported(answering(**answers), made_source(split), bootstrap=100)


def test_each_value_is_scored_on_its_own_faces_by_hand(answering):
    age = scored(answering, {"age": AGE}, expression=GUESSES).slices["age"]
    assert list(age.values) == ["4-19", "20-39"]  # of the faces of 70 and older none is labelled
    young, older = (age.values[value]["expression"] for value in ("4-19", "20-39"))
    assert young["faces"] == 3
    assert young["accuracy"] == pytest.approx(2 / 3)
    assert young["mean_recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert young["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert older["accuracy"] == pytest.approx(1 / 2)
    assert older["macro_f1"] == pytest.approx((0 + 2 / 3) / 2)
    assert age.gaps == {"accuracy": Gap(pytest.approx(1 / 6), "4-19", "20-39")}
    assert age.few == ["4-19", "20-39"]
    assert age.unknown == 0


def test_the_interval_is_the_binomial_one(answering):
    labels = [0] * 200
    guesses = [ANGER, ANGER, ANGER, HAPPINESS] * 50
    split = made_split(labels, slices={"gender": ["female"] * 100 + ["male"] * 100})
    result = reported(answering(expression=guesses), made_source(split), bootstrap=4000)
    low, high = result.slices["gender"].values["male"]["expression"]["accuracy_interval"]
    spread = 1.96 * (0.75 * 0.25 / 100) ** 0.5
    assert (low, high) == (pytest.approx(0.75 - spread, abs=0.015), pytest.approx(0.75 + spread, abs=0.015))
    assert result.slices["gender"].few == []


def test_faces_of_unknown_value_are_in_no_row_and_counted(answering):
    slices = {"gender": ["female", "", "male", "", "female", ""], "race": [""] * 6}
    result = scored(answering, slices, expression=GUESSES)
    assert set(result.slices) == {"gender"}  # nobody has a race
    assert {value: heads["expression"]["faces"] for value, heads in result.slices["gender"].values.items()} == {
        "female": 2,
        "male": 1,
    }
    assert result.slices["gender"].unknown == 2  # the last face is scored by no head


def test_each_head_counts_its_own_faces(answering):
    target = [[0, 0.1], [1, 0.2], [0.5, NAN], [NAN, NAN], [NAN, NAN], [0.2, 0.3]]
    affect = [[0, 0.1], [0.5, 0.2], [1, 0.0], [0, 0], [0, 0], [0.2, 0.1]]
    age = scored(answering, {"age": AGE}, target=target, expression=GUESSES, affect=affect).slices["age"]
    assert set(age.values["4-19"]) == {"expression", "affect"}
    assert age.values["4-19"]["affect"]["faces"] == 3
    assert age.values["4-19"]["affect"]["valence_ccc"] == pytest.approx(1 / 2)  # see test_affect
    assert age.values["4-19"]["affect"]["arousal_ccc"] == pytest.approx(1)
    low, high = age.values["4-19"]["affect"]["valence_ccc_interval"]
    assert low <= 1 / 2 <= high
    assert set(age.values["20-39"]) == {"expression"}
    assert set(age.values["70+"]) == {"affect"}
    assert age.gaps["valence_ccc"].highest == "4-19"
    assert age.gaps["valence_ccc"].lowest == "70+"


def test_an_affect_only_bundle_has_slices_too(answering):
    target = np.linspace(-1, 1, 12).reshape(6, 2)
    age = scored(answering, {"age": AGE}, target=target, affect=target).slices["age"]
    assert age.values["4-19"]["affect"]["valence_ccc"] == pytest.approx(1)
    assert set(age.gaps) == {"valence_ccc", "arousal_ccc"}


def test_no_slices_no_scores(answering):
    assert scored(answering, {}, expression=GUESSES).slices == {}


def test_one_value_has_no_gap(answering):
    assert scored(answering, {"age": ["4-19"] * 6}, expression=GUESSES).slices["age"].gaps == {}


def test_sentences_name_the_gap_the_few_and_the_unknown():
    gaps = {"accuracy": Gap(0.1234, "male", "female"), "arousal_ccc": Gap(0.25, "female", "male")}
    assert sentences(gaps, ["female", "male"], 1200) == [
        "accuracy differs by up to 12.3 points: highest for male, lowest for female",
        "CCC of arousal differs by up to 0.250: highest for female, lowest for male",
        "fewer than 30 faces are female, male: scores and gaps there may be chance",
        "1,200 scored faces have no value and are in none of these rows",
    ]
    assert sentences({}, [], 0) == []
