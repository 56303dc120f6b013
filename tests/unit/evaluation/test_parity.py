import json
import math

import numpy as np
import pytest

from ferlab.commands.exports import parity_table
from ferlab.errors import DataError
from ferlab.evaluation.parity import Pair, Parity, Sample, answer_all, draw, evenly, parity
from ferlab.formats import Tolerance

from .conftest import made_source, made_split

STRICT = Tolerance(answer=1e-4, agreement=1.0, loss=0.0)
LOOSE = Tolerance(answer=0.1, agreement=0.75, loss=25.0)
NOBODY = np.full((4, 2), np.nan, np.float32)


def sample(labels=(0, 1, 1, -1), affect=NOBODY):
    return Sample(np.zeros((len(labels), 1, 8, 8), np.uint8), np.array(labels), np.array(affect, np.float32))


def expression(*first):
    """Answers of a model with two labels, the first this likely."""
    return {"expression": np.array([[p, 1 - p] for p in first])}


def test_the_numbers_by_hand():
    # labels 0 1 1 ?; the bundle says 0 1 0 1, the file 0 1 1 1: they agree on 3 of 4, and 2 and 3 of 3 are right.
    found = parity(expression(0.9, 0.2, 0.55, 0.1), expression(0.85, 0.2, 0.45, 0.1), sample())
    assert found.faces == 4
    assert found.worst == pytest.approx(0.1)
    assert found.agreement == 0.75
    assert (found.accuracy.bundle, found.accuracy.file) == pytest.approx((2 / 3, 1))
    assert found.accuracy.lost == pytest.approx(-100 / 3)
    assert found.ccc is None


def test_concordance_by_hand():
    # The file's answers are all 0.5 higher: 2 s_xy / (s_x² + s_y² + 0.5²), with s² = 1.25 / 4.
    rated = np.array([[-1, -1], [-0.5, -0.5], [0, 0], [0.5, 0.5]], np.float32)
    found = parity({"affect": rated}, {"affect": rated + 0.5}, sample(affect=rated))
    assert found.worst == pytest.approx(0.5)
    assert found.agreement is None
    assert found.accuracy is None
    assert found.ccc.bundle == pytest.approx(1)
    assert found.ccc.file == pytest.approx(2 * 0.3125 / (2 * 0.3125 + 0.25))
    assert found.faults(Tolerance(0.6, 1, 100)) == []
    (said,) = found.faults(Tolerance(0.6, 1, 28))
    assert said == "CCC lost 28.57 points, at most 28 may be lost"


def test_faces_without_a_rating_have_no_concordance():
    answers = {"affect": np.zeros((4, 2))}
    half = [[0.1, math.nan]] * 4
    assert parity(answers, answers, sample(affect=half)).ccc is None


def test_what_is_within_the_tolerance_is_no_fault():
    found = Parity(100, 1e-4, 1.0, Pair(0.8, 0.8), None)
    assert found.faults(STRICT) == []
    assert Parity(100, 0.0, 1.0, Pair(0.7, 0.9), None).faults(STRICT) == []  # better than the bundle


def test_each_fault_has_its_words():
    found = Parity(100, 0.2, 0.5, Pair(0.8, 0.5), Pair(0.6, 0.3)).faults(LOOSE)
    assert found == [
        "an answer differs by 0.2, at most 0.1 is allowed",
        "50.00 % of labels agree, 75 % must",
        "accuracy lost 30.00 points, at most 25 may be lost",
        "CCC lost 30.00 points, at most 25 may be lost",
    ]


def test_half_a_point_is_half_a_point():
    """0.845 - 0.84 is a little more than 0.005 in binary."""
    assert Parity(200, 0.1, 1.0, Pair(0.845, 0.84), None).faults(Tolerance(1, 0.95, 0.5)) == []


def test_concordance_may_lose_the_last_digits_of_float32():
    assert Parity(200, 1e-5, None, None, Pair(0.5, 0.49999)).faults(STRICT) == []
    assert Parity(200, 1e-5, None, None, Pair(0.5, 0.4998)).faults(STRICT) == [
        "CCC lost 0.02 points, at most 0 may be lost"
    ]


@pytest.mark.parametrize("head", ["expression", "affect"])
def test_nan_in_any_head_is_a_fault(head):
    """Python's max forgets a NaN that does not come first."""
    good = expression(0.9, 0.2, 0.6, 0.1) | {"affect": np.zeros((4, 2))}
    bad = {name: values.copy() for name, values in good.items()}
    bad[head][2, 1] = math.nan
    found = parity(good, bad, sample())
    assert math.isnan(found.worst)
    assert found.faults(LOOSE)[0] == "an answer differs by nan, at most 0.1 is allowed"


def test_nan_where_affect_is_rated_is_a_fault_and_no_crash():
    rated = np.array([[-1, 1], [0, 0.5], [1, 0], [0.5, 0]], np.float32)
    found = parity({"affect": rated}, {"affect": rated * np.nan}, sample(affect=rated))
    assert len(found.faults(Tolerance(1, 1, 100))) == 2


def test_a_head_that_the_file_lacks_is_no_agreement():
    both = expression(0.9, 0.2, 0.6, 0.1) | {"affect": np.zeros((4, 2))}
    with pytest.raises(KeyError):
        parity(both, expression(0.9, 0.2, 0.6, 0.1), sample())


def test_what_is_not_finite_is_written_as_null_and_read_as_nan():
    document = Parity(4, math.nan, 1.0, None, Pair(0.5, math.inf)).to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == {
        "faces": 4, "worst": None, "agreement": 1.0, "accuracy": None, "ccc": {"bundle": 0.5, "file": None},
    }  # fmt: skip
    table = parity_table([{"file": "x", "bytes": 2**20, "parity": document, "verdict": "not written"}])
    assert [list(column.cells) for column in table.columns] == [
        ["x"], ["1.00 MiB"], ["NaN"], ["100.00"], ["NaN"], ["0.5000"], ["not written"],
    ]  # fmt: skip
    assert [column.header for column in table.columns][4:6] == ["CCC", "of the bundle"]  # no expressions, no accuracy


@pytest.mark.parametrize(("total", "number", "expected"), [(10, 3, [0, 4, 9]), (5, 9, [0, 1, 2, 3, 4]), (7, 1, [0])])
def test_rows_stand_at_even_distances(total, number, expected):
    assert evenly(np.arange(total), number).tolist() == expected


def test_only_labelled_faces_are_drawn_and_by_the_bundles_names(answering):
    model = answering(np.zeros((255, 2)))
    labels = [0] * 100 + [-1] * 55 + [1] * 160  # 1 is happiness here and anger in the model
    source = made_source(made_split(labels), labels=("anger", "happiness"))
    found = draw(model, source, "validation", 10_000)
    assert len(found.labels) == 260
    assert (found.labels == [0] * 100 + [1] * 160).all()
    reversed_source = made_source(made_split(labels), labels=("happiness", "anger"))
    assert (draw(model, reversed_source, "validation", 10_000).labels == [1] * 100 + [0] * 160).all()


def test_too_few_faces_are_no_verification(answering):
    source = made_source(made_split([0] * 255 + [-1] * 100))
    with pytest.raises(DataError, match="must have 256 labelled faces, got 255 in drawn validation"):
        draw(answering(np.zeros((255, 2))), source, "validation", 2048)


def test_answers_do_not_depend_on_the_batch(answering):
    rows = np.random.default_rng(0).normal(size=(10, 2))
    model = answering(rows)
    images = np.broadcast_to(np.arange(10, dtype=np.uint8)[:, None, None, None], (10, 1, 16, 16))
    parts, whole = answer_all(model, images, 3), answer_all(model, images, 10)
    np.testing.assert_array_equal(parts["expression"], whole["expression"])
    assert parts["expression"].shape == (10, 2)
