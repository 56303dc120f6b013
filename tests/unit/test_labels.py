import numpy as np
import pytest

from ferlab.errors import LabelError
from ferlab.labels import ALIASES, CANONICAL, COLOURS, COMPOUND, FER2013, FERPLUS, canonical, canonical_set, class_map


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("angry", "anger"), ("Happiness", "happiness"), (" SAD ", "sadness"), ("surprised", "surprise"), ("Fear", "fear")],
)
def test_spellings_of_the_datasets_mean_their_emotion(spelling, name):
    assert canonical(spelling) == name


def test_no_spelling_means_two_emotions():
    assert len(CANONICAL) == sum(1 + len(others) for others in ALIASES.values()) + len(COMPOUND)


def test_every_emotion_has_a_colour_of_its_own():
    assert set(COLOURS) == {*ALIASES, *COMPOUND}
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_an_unknown_name_is_an_error_with_the_nearest_one():
    with pytest.raises(LabelError, match="got 'hapiness'; did you mean 'happiness'"):
        canonical("hapiness")
    with pytest.raises(LabelError, match="got '3'; one of: neutral"):
        canonical("3")
    with pytest.raises(LabelError, match="got 3; one of: neutral"):
        canonical(3)


def test_two_spellings_of_one_emotion_in_a_set_are_an_error():
    assert canonical_set(["Angry", "happy"]) == ("anger", "happiness")
    with pytest.raises(LabelError, match="'angry' and 'anger', both 'anger'"):
        canonical_set(["angry", "fear", "anger"])


def test_label_sets_map_by_name_and_not_by_position():
    # FER2013: anger disgust fear happiness sadness surprise neutral; FER+: neutral happiness surprise sadness anger …
    np.testing.assert_array_equal(class_map(FER2013, FERPLUS), [4, 5, 6, 1, 3, 2, 0])
    np.testing.assert_array_equal(class_map(FERPLUS, FER2013), [6, 3, 5, 4, 0, 1, 2, -1])  # contempt is not in FER2013
    np.testing.assert_array_equal(class_map(["happy", "sad"], ["Sadness", "Happiness"]), [1, 0])
