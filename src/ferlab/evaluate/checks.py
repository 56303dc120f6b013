"""What has to hold, and what has to be said, before a bundle is scored on a split."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ferlab.data.source import Source, Split
from ferlab.errors import BundleError, LabelError
from ferlab.faces import FaceCrop
from ferlab.labels import class_map
from ferlab.runner import Runner

# FER+ relabels FER2013's faces and keeps its splits, so a model selected on one was selected on the other's faces.
SAME_FACES = {"ferplus": "fer2013"}


HEADS = {"expression": "expressions", "affect": "valence and arousal"}


def common_heads(bundle: Runner, source: Source, split: Split) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The heads that the bundle has and the split is annotated for, and a sentence for each that only one of both has.

    Raises:
        BundleError: there is none in common.
    """
    annotated = {
        "expression": bool((split.labels >= 0).any()),
        "affect": split.affect is not None and not np.isnan(split.affect).all(),
    }
    answered = {"expression": bool(bundle.spec.expression), "affect": bundle.spec.affect}
    common = tuple(head for head in HEADS if annotated[head] and answered[head])
    if not common:
        raise BundleError(
            f"the bundle {bundle.path} must answer what {source.name} {split.name} is labelled with, "
            f"{_listed(annotated)}, got one that answers {_listed(answered)}; give another bundle or other data"
        )
    left_out = [
        f"{said} were not scored: "
        + ("the bundle does not answer them" if annotated[head] else f"{source.name} {split.name} has none")
        for head, said in HEADS.items()
        if annotated[head] != answered[head]
    ]
    return common, tuple(left_out)


def label_ids(bundle: Runner, source: Source, split: Split) -> npt.NDArray[np.int64]:
    """The labels of `split` as positions in the bundle's labels, (n,), mapped by name; -1 where a face has none.

    Labels that only the bundle knows are fine: naming one of them is a mistake of the model.

    Raises:
        LabelError: faces with a label that the bundle cannot name.
    """
    names = bundle.spec.expression
    index = class_map(source.labels, names)
    counts = split.counts(len(source.labels))
    lacking = [f"{source.labels[i]} ({counts[i]:,} faces)" for i in np.flatnonzero((index < 0) & (counts > 0))]
    if lacking:
        remedy = "data.classes=7" if source.name == "ferplus" and len(source.labels) == 8 else "other data"
        raise LabelError(
            f"the bundle {bundle.path} must know every label of {source.name} {split.name}, got none for "
            f"{', '.join(lacking)}; it knows {', '.join(names)}; evaluate without them ({remedy}) or train a model "
            "with them"
        )
    return np.where(split.labels >= 0, index[split.labels], -1)


def selection(bundle: Runner, source: Source, split: Split, digest: str) -> tuple[str, bool]:
    """How the bundle's training knew this split, as far as its provenance tells, and whether that flatters the score.

    Args:
        digest: that of `source`.
    """
    dataset, seen = bundle.provenance.get("dataset"), bundle.provenance.get("data_digest")
    if dataset is None or seen is None:
        return "the bundle does not say which data it was trained and selected on", True
    if split.name == "test":
        return "the bundle was not selected on a test split, as far as it says", False
    role = "trained on" if split.name == "train" else "selected on"
    if seen == digest:
        return f"the model was {role} this split, so its score here is optimistic", True
    if SAME_FACES.get(dataset, dataset) == SAME_FACES.get(source.name, source.name):
        return f"the model was {role} {dataset}'s {split.name} split, which may hold these faces", True
    return f"the model was trained and selected on {dataset}, not on this data", False


def crop_caution(bundle: Runner, source: Source) -> str | None:
    """A sentence when the dataset's faces were cut otherwise than those the model was trained on."""
    if bundle.spec.face == source.face:
        return None
    return (
        f"the model expects faces cut with {_crop(bundle.spec.face)}, {source.name} has {_crop(source.face)}: "
        "part of any difference in score may come from the crop"
    )


def count_caution(source: Source, split: Split) -> str | None:
    """A sentence when the split does not have as many faces as the published one."""
    official = source.official.get(split.name)
    if official is None or official == len(split):
        return None
    return f"{source.name} {split.name} has {len(split):,} faces here and {official:,} as published: not comparable"


def _crop(face: FaceCrop) -> str:
    return f"margin {face.margin:g} and eyes {'aligned' if face.aligned else 'not aligned'}"


def _listed(present: Mapping[str, bool]) -> str:
    return " and ".join(said for head, said in HEADS.items() if present[head]) or "nothing"
