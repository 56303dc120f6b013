"""What has to hold, and what has to be said, before a model is scored on a split."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ferlab.data.hashes import Hashes
from ferlab.data.source import Source, Split
from ferlab.errors import BundleError, LabelError
from ferlab.faces import FaceCrop
from ferlab.labels import class_map
from ferlab.runner import Runner

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
    lacking = {source.labels[i]: counts[i] for i in np.flatnonzero((index < 0) & (counts > 0))}
    if lacking:
        remedy = "data.classes=7" if source.name == "ferplus" and [*lacking] == ["contempt"] else "other data"
        named = ", ".join(f"{name} ({number:,} faces)" for name, number in lacking.items())
        raise LabelError(
            f"the bundle {bundle.path} must know every label of {source.name} {split.name}, got none for {named}; it "
            f"knows {', '.join(names)}; evaluate without them ({remedy}) or train a model with them"
        )
    return np.where(split.labels >= 0, index[split.labels], -1)


@dataclass(frozen=True)
class Seen:
    """How many of the scored faces the model knew before, by their pixels; its parents' faces are its own.

    Attributes:
        trained, selected: faces that it was trained on, and that its epoch was chosen on; None if that is not known.
        left_out: labelled faces that are not among the scored ones, for a model had seen them.
        text: the same in words.
        flatters: whether the score is, or may be, better than on faces that the model has never seen.
    """

    trained: int | None
    selected: int | None
    left_out: int
    text: str
    flatters: bool


def seen_faces(model: Runner, faces: Hashes, left_out: int = 0) -> Seen:
    """What the model has seen of the scored faces, (n,) hashes."""
    past = model.past
    if past is None:
        return Seen(None, None, left_out, "what the model was trained and selected on is not known", True)
    trained, selected = (int(known.sum()) for known in past.seen(faces))
    said = [
        f"{verb} {f'all {n:,}' if n == len(faces) else f'{n:,} of {len(faces):,}'}"
        for verb, n in (("trained on", trained), ("selected on", selected))
        if n
    ]
    parents = model.provenance.get("weights") or model.provenance.get("teacher")
    whose = "the model, or what it learnt from," if parents else "the model"
    if said:
        text = f"{whose} was {' and '.join(said)} of these faces, so its score here is optimistic"
    else:
        text = f"none of these {len(faces):,} faces was trained or selected on"
    if not past.whole:
        text += "; what its start weights or its teacher have seen is not known"
    return Seen(trained, selected, left_out, text, bool(said) or not past.whole)


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
