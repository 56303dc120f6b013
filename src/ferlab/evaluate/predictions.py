"""Run a bundle over a split, through the same `spec.prepare` as everything else."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ferlab.bundle import Bundle, softmax
from ferlab.data.source import Source, Split
from ferlab.errors import BundleError
from ferlab.evaluate.checks import label_ids
from ferlab.evaluate.tta import views
from ferlab.spec import Image, ModelSpec

Watch = Callable[[Sequence[int]], Iterable[int]]


@dataclass(frozen=True)
class Predictions:
    """A bundle's answers for the labelled faces of a split.

    Attributes:
        names: k label names of the bundle.
        logits: (n, v, k) float32, of v views a face.
        labels: (n,) true classes, positions in `names`.
        rows: (n,) positions of the faces in the split.
        temperature: the bundle's.
    """

    names: tuple[str, ...]
    logits: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    temperature: float

    def probabilities(self, temperature: float | None = None) -> npt.NDArray[np.float64]:
        """(n, k): softmax(logits / temperature) averaged over the views; by default the bundle's temperature."""
        result: npt.NDArray[np.float64] = softmax(self.logits / (temperature or self.temperature)).mean(1)
        return result

    def pooled_logits(self) -> npt.NDArray[np.float64]:
        """(n, k) logarithms of the probabilities at temperature 1: what a temperature can be fitted to."""
        return np.log(np.maximum(self.probabilities(1.0), np.finfo(np.float64).tiny))


def predict_split(
    bundle: Bundle, source: Source, split: Split, tta: str, batch_size: int, watch: Watch = iter
) -> Predictions:
    """Answer every labelled face of a split.

    Args:
        bundle: has an expression head.
        source, split: the data; labels are mapped by name.
        tta: a name in `ferlab.evaluate.tta.VIEWS`.
        batch_size: faces at a time; each view is a batch of its own.
        watch: wraps the sequence of batch starts, for a progress bar.

    Raises:
        BundleError, LabelError, DataError: see `label_ids`; a face that cannot be read; a logit that is not finite.
        ConfigError: no such tta.
    """
    labels = label_ids(bundle, source, split)
    rows = np.flatnonzero(labels >= 0)
    augment = views(tta)
    parts = []
    for start in watch(range(0, len(rows), batch_size)):
        images = prepared(bundle.spec, split, rows[start : start + batch_size])
        parts.append(np.stack([bundle.logits(view)["expression"] for view in augment(images)], axis=1))
    logits = np.concatenate(parts)
    if not np.isfinite(logits).all():
        broken = split.images.name(int(rows[np.flatnonzero(~np.isfinite(logits).all((1, 2)))[0]]))
        raise BundleError(f"{bundle.path} must answer finite logits, got NaN or infinity for {broken}; train again")
    return Predictions(bundle.spec.expression, logits, labels[rows], rows, bundle.spec.temperature)


def prepared(spec: ModelSpec, split: Split, rows: npt.NDArray[np.int64]) -> Image:
    """The faces at `rows` as the network takes them, (n, c, s, s) uint8."""
    return np.stack([spec.prepare(split.read(int(row))) for row in rows])
