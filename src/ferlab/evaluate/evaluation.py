"""Score a bundle on a split: everything that a report states, before it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ferlab.data.source import Source, Split
from ferlab.evaluate.affect import Affect, score_affect
from ferlab.evaluate.checks import common_heads, count_caution, crop_caution, label_ids, selection
from ferlab.evaluate.expression import Expression, Predictions, score_expression
from ferlab.evaluate.predictions import Watch, predict_rows
from ferlab.evaluate.slices import Attribute, score_slices
from ferlab.runner import Runner


@dataclass(frozen=True)
class Settings:
    """How to evaluate.

    Attributes:
        split: which part of the dataset.
        tta: a name in `ferlab.evaluate.tta.VIEWS`.
        bootstrap: resamples for the intervals.
        seed: of the bootstrap, the random baseline and the folds of the cross-fitting.
        batch_size: faces at a time.
    """

    split: str = "validation"
    tta: str = "plain"
    bootstrap: int = 2000
    seed: int = 0
    batch_size: int = 256


@dataclass(frozen=True)
class Evaluation:
    """A bundle's score on a split.

    Attributes:
        bundle, source, split, settings: what was scored, on what, how.
        digest: the source's.
        expression, affect: the score of each head, None where the bundle lacks it or no face is labelled for it; at
            least one is there.
        left_out: a sentence for each head that the bundle or the split lacks.
        slices: attribute -> the scores of its values; empty if the split has none.
        selection: how training knew this split.
        cautions: what a reader must know before believing the scores.
    """

    bundle: Runner
    source: Source
    split: Split
    settings: Settings
    digest: str
    expression: Expression | None
    affect: Affect | None
    left_out: tuple[str, ...]
    slices: Mapping[str, Attribute]
    selection: str
    cautions: tuple[str, ...]

    @property
    def heads(self) -> dict[str, Expression | Affect]:
        """The scored heads by name."""
        return _present(self.expression, self.affect)

    @property
    def faces(self) -> int:
        """How many faces a score rests on."""
        return len(np.unique(np.concatenate([head.rows for head in self.heads.values()])))


def evaluate(bundle: Runner, source: Source, settings: Settings, watch: Watch = iter) -> Evaluation:
    """Score `bundle` on a split of `source`: each head on the faces that are labelled for it.

    Args:
        watch: wraps the sequence of batch starts, for a progress bar.

    Raises:
        DataError: no such split, or a face that cannot be read.
        LabelError: faces with a label that the bundle cannot name.
        BundleError: the split has labels for no head of the bundle, or an answer is not finite.
        ConfigError: no such tta.
    """
    split = source.split(settings.split)
    common, left_out = common_heads(bundle, source, split)
    expression, affect = _score_heads(common, bundle, source, split, settings, watch)
    heads = _present(expression, affect)
    digest = source.digest()
    selected, optimistic = selection(bundle, source, split, digest)
    cautions = [
        selected if optimistic else None,
        crop_caution(bundle, source),
        count_caution(source, split),
        *(caution for head in heads.values() for caution in head.cautions),
    ]
    return Evaluation(
        bundle,
        source,
        split,
        settings,
        digest,
        expression,
        affect,
        left_out,
        score_slices(split, heads, settings.bootstrap, settings.seed),
        selected,
        tuple(caution for caution in cautions if caution),
    )


def _score_heads(
    common: Sequence[str], bundle: Runner, source: Source, split: Split, settings: Settings, watch: Watch
) -> tuple[Expression | None, Affect | None]:
    """Run the faces that are labelled for a common head, once, and score each head on its own."""
    spec, how = bundle.spec, (source, split, settings.bootstrap, settings.seed)
    labels = label_ids(bundle, source, split) if "expression" in common else np.full(len(split), -1)
    target = split.affect if split.affect is not None and "affect" in common else np.full((len(split), 2), np.nan)
    rows = np.flatnonzero((labels >= 0) | ~np.isnan(target).all(1))
    answers = predict_rows(bundle, split, rows, settings.tta, settings.batch_size, watch)
    labels, target = labels[rows], target[rows]
    labelled, rated = labels >= 0, ~np.isnan(target).all(1)
    expression, affect = None, None
    if labelled.any():
        logits = answers["expression"][labelled]
        predictions = Predictions(spec.expression, logits, labels[labelled], rows[labelled], spec.temperature)
        expression = score_expression(predictions, *how)
    if rated.any():
        affect = score_affect(answers["affect"][rated], target[rated], rows[rated], *how)
    return expression, affect


def _present(expression: Expression | None, affect: Affect | None) -> dict[str, Expression | Affect]:
    return {name: head for name, head in (("expression", expression), ("affect", affect)) if head is not None}
