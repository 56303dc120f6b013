"""Run a bundle over a split, through the same `spec.prepare` as everything else."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ferlab.data.source import Split
from ferlab.errors import BundleError
from ferlab.evaluate.tta import views
from ferlab.runner import Runner
from ferlab.spec import Image, ModelSpec

Watch = Callable[[Sequence[int]], Iterable[int]]


def predict_rows(
    bundle: Runner, split: Split, rows: npt.NDArray[np.int64], tta: str, batch_size: int, watch: Watch = iter
) -> dict[str, npt.NDArray[np.float32]]:
    """Answer some faces of a split.

    Args:
        bundle, split: who answers, and on what.
        rows: (n,) positions of the faces in the split, n at least 1.
        tta: a name in `ferlab.evaluate.tta.VIEWS`.
        batch_size: faces at a time; each view is a batch of its own.
        watch: wraps the sequence of batch starts, for a progress bar.

    Returns:
        For each head of the bundle its answers to v views of each face: "expression" logits (n, v, k), "affect"
        (n, v, 2).

    Raises:
        DataError: a face that cannot be read.
        BundleError: an answer that is not finite.
        ConfigError: no such tta.
    """
    augment = views(tta)
    parts = []
    for start in watch(range(0, len(rows), batch_size)):
        images = prepared(bundle.spec, split, rows[start : start + batch_size])
        parts.append([bundle.logits(view) for view in augment(images)])
    answers = {
        head: np.concatenate([np.stack([view[head] for view in part], axis=1) for part in parts])
        for head in parts[0][0]
    }
    for head, values in answers.items():
        finite = np.isfinite(values).all((1, 2))
        if not finite.all():
            broken = split.images.name(int(rows[finite.argmin()]))
            raise BundleError(
                f"{bundle.path} must give finite answers, got NaN or infinity as {head} of {broken}; train again"
            )
    return answers


def prepared(spec: ModelSpec, split: Split, rows: npt.NDArray[np.int64]) -> Image:
    """The faces at `rows` as the network takes them, (n, c, s, s) uint8."""
    return np.stack([spec.prepare(split.read(int(row))) for row in rows])
