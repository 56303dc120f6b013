import numpy as np
import pytest

from ferlab.errors import BundleError
from ferlab.evaluation.drift import Drift, Spread, psi, reference_of, sentence


def test_psi_by_hand() -> None:
    # Half a face more a bin: e = 50.5/101 twice, a = 80.5/101 and 20.5/101.
    assert psi(np.array([50, 50]), np.array([80, 20])) == pytest.approx(0.297030 * np.log(80.5 / 20.5), abs=1e-5)
    assert psi(np.array([5000, 5000]), np.array([8000, 2000])) == pytest.approx(0.3 * np.log(4), abs=1e-3)
    assert psi(np.array([30, 10]), np.array([30, 10])) == 0
    assert np.isfinite(psi(np.array([10, 0]), np.array([0, 10])))


def test_a_spread_counts_labels_and_confidences() -> None:
    spread = Spread.of(np.array([[0.2, 0.8], [1.0, 0.0], [0.45, 0.55], [0.5, 0.5], [1.0000001, 0]]))
    assert spread.labels.tolist() == [3, 2]  # of two equal ones the first
    assert spread.confidence.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 1, 2]
    assert spread.edges[:2] == (0, 0.1)


SHARES = np.array([[0.95, 0.05]] * 500 + [[0.05, 0.95]] * 500)
REFERENCE = Spread.of(SHARES)


def test_drift_is_silent_below_500_faces() -> None:
    drift = Drift(REFERENCE)
    for _ in range(499):
        drift.count(SHARES[:1])
        drift.count(np.zeros((0, 2)))  # a frame without a face
    assert drift.summary() is None
    drift.count(SHARES[:1])
    found = drift.summary()
    assert (found["faces"], found["reference"], found["bins"]) == (500, 1000, {"labels": 2, "confidence": 10})
    assert found["psi_labels"] == pytest.approx((500.5 / 501 - 0.5) * np.log(500.5 / 0.5), abs=1e-4)
    assert found["psi_confidence"] < 0.01
    assert "a shift by convention (above 0.25); frames of the same people are not independent" in sentence(found)
    drift.count(SHARES[500:])
    assert "PSI 0.00 of labels, 0.00 of confidence (2 and 10 bins; 1,000 faces against 1,000" in sentence(
        drift.summary()
    )


def test_a_model_without_a_reference_says_so() -> None:
    drift = Drift(reference_of({}, 2))
    drift.count(SHARES)
    assert drift.summary() == {"faces": 1000, "reference": None}
    assert sentence(drift.summary()).startswith("no reference")
    affect_only = Drift(reference_of({"reference": None}, 0))
    affect_only.count(np.zeros((600, 0)))
    assert affect_only.summary() is None


def test_a_reference_comes_back_from_provenance() -> None:
    found = reference_of({"reference": REFERENCE.plain()}, 2)
    assert (found.labels.tolist(), found.faces, found.edges) == ([500, 500], 1000, REFERENCE.edges)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": [500, 500, 0]}, {"labels": [-1, 1001]}, {"labels": [0.5, 999.5]}, {"labels": "x"}, {"labels": []},
        {"confidence": [1000]}, {"confidence": [0] * 10}, {"edges": [0, 1]}, {"edges": [0] * 11}, {"edges": {}},
        {"labels": [True, False]}, {"labels": [10**30, 1]},
    ],
)  # fmt: skip
def test_a_damaged_reference_is_one_line(change) -> None:
    with pytest.raises(BundleError, match="a bundle's reference must count 2 labels"):
        reference_of({"reference": REFERENCE.plain() | change}, 2)
