"""How far what a model answers somewhere is from what it answered on its validation split: class shares, confidence.

PSI, the population stability index, is Σᵢ (aᵢ − eᵢ) ln(aᵢ / eᵢ) over bins with the shares eᵢ of the reference and aᵢ
of what is seen (Siddiqi, Credit Risk Scorecards, 2006, who calls less than 0.1 stable and more than 0.25 a shift). It
is the symmetric Kullback–Leibler divergence of Jeffreys (1946). Of n and m independent faces in k bins without any
shift it is about (k − 1)(1/n + 1/m) in the mean (Yurdakul, Statistical Properties of Population Stability Index, 2018),
0.02 for 500 faces and 8 labels. Needs no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ferlab.errors import BundleError

BINS = 10  # of confidence, equally wide from 0 to 1: an 8-bit file's steps of 1/256 hardly move a face to another
LEAST = 500  # faces, below which chance alone makes a PSI look like a shift
SHIFT = 0.25

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Spread:
    """How many faces were given each label, and each confidence.

    Attributes:
        labels: (k,) int64, faces with each label as the likeliest, in the model's order.
        confidence: (b,) int64, faces whose largest probability lies in each bin.
        edges: b + 1 rising numbers; a bin has its lower edge, the last one both.
    """

    labels: Counts
    confidence: Counts
    edges: tuple[float, ...]

    @classmethod
    def of(cls, shares: npt.NDArray[Any], edges: Sequence[float] = tuple(i / BINS for i in range(BINS + 1))) -> Self:
        """Of n faces' probabilities (n, k)."""
        highest = np.clip(shares.max(1, initial=0), edges[0], edges[-1])  # rounding may give 1.0000001
        confidence = np.histogram(highest, edges)[0]
        labels = np.bincount(shares.argmax(1), minlength=shares.shape[1])
        return cls(labels.astype(np.int64), confidence.astype(np.int64), tuple(edges))

    @property
    def faces(self) -> int:
        """How many."""
        return int(self.labels.sum())

    def __add__(self, other: Self) -> Self:
        return type(self)(self.labels + other.labels, self.confidence + other.confidence, self.edges)

    def plain(self) -> dict[str, Any]:
        """For a bundle's provenance, where `reference_of` finds it: plain values."""
        return {
            "labels": self.labels.tolist(), "confidence": self.confidence.tolist(), "edges": list(self.edges),
        }  # fmt: skip


def reference_of(provenance: Mapping[str, Any], labels: int) -> Spread | None:
    """What a model with so many labels answered for its validation split; None for models that do not say it.

    Raises:
        BundleError: a reference of another shape.
    """
    found = provenance.get("reference")
    if found is None:
        return None
    try:
        counts = [np.array(found[name]) for name in ("labels", "confidence")]
        edges = np.array(found["edges"], np.float64)
        whole = all(each.dtype == np.int64 and each.ndim == 1 and each.min() >= 0 for each in counts)
        rising = edges.shape == (len(counts[1]) + 1,) and bool((np.diff(edges) > 0).all())
        if not whole or not rising or len(counts[0]) != labels or not counts[0].sum() == counts[1].sum() > 0:
            raise ValueError("numbers that do not fit each other")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BundleError(
            f"a bundle's reference must count {labels} labels and bins of confidence, got {str(found)[:60]!r}; "
            "copy the bundle again"
        ) from error
    return Spread(counts[0], counts[1], tuple(edges.tolist()))


def psi(expected: Counts, actual: Counts) -> float:
    """The population stability index of counts in the same bins; 0 for equal shares.

    Half a face is added to every bin of both, or an empty one would make it infinite.
    """
    e, a = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (expected, actual))
    return float(((a - e) * np.log(a / e)).sum())


class Drift:
    """Counts answers against a reference, in a size that does not grow with them.

    Args:
        reference: of the model, if it has one.
    """

    def __init__(self, reference: Spread | None) -> None:
        self.reference = reference
        self._seen: Spread | None = None

    def count(self, shares: npt.NDArray[Any]) -> None:
        """Add the model's own, unsmoothed probabilities (n, k) of n faces."""
        if not shares.size:
            return
        counted = Spread.of(shares, self.reference.edges) if self.reference else Spread.of(shares)
        self._seen = counted if self._seen is None else self._seen + counted

    def summary(self) -> dict[str, Any] | None:
        """Plain values for session.json; None below LEAST faces."""
        seen, reference = self._seen, self.reference
        if seen is None or seen.faces < LEAST:
            return None
        if reference is None:
            return {"faces": seen.faces, "reference": None}
        return {
            "faces": seen.faces,
            "reference": reference.faces,
            "psi_labels": round(psi(reference.labels, seen.labels), 4),
            "psi_confidence": round(psi(reference.confidence, seen.confidence), 4),
            "bins": {"labels": len(reference.labels), "confidence": len(reference.confidence)},
        }


def sentence(summary: Mapping[str, Any]) -> str:
    """What a person is told of it."""
    if summary["reference"] is None:
        return "no reference in this model, which was made before bundles had one; train it again to have drift"
    labels, confidence, bins = summary["psi_labels"], summary["psi_confidence"], summary["bins"]
    verdict = f"a shift by convention (above {SHIFT})" if max(labels, confidence) > SHIFT else f"at most {SHIFT}"
    return (
        f"PSI {labels:.2f} of labels, {confidence:.2f} of confidence ({bins['labels']} and {bins['confidence']} bins; "
        f"{summary['faces']:,} faces against {summary['reference']:,} of validation): {verdict}; frames of the same "
        "people are not independent faces"
    )
