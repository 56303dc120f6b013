"""Faces that lie in train and in a split that is evaluated too, so that a score on that is too good."""

from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from ferlab.data.hashes import face_hashes
from ferlab.data.source import Source
from ferlab.errors import ConfigError, DataError, suggest

Copies = Literal["keep", "drop"]


def with_copies(source: Source, copies: Copies) -> Source:
    """`source` as it is, or with "drop" without the faces of train that another split has too, counted.

    Equal are equal pixels, whatever the labels; every picture is read for it, once, see `face_hashes`. The splits that
    are evaluated stay as they are: other people's scores are of them.

    Raises:
        ConfigError: neither keep nor drop.
        DataError: a picture that cannot be read, or train has no other face.
    """
    if copies not in get_args(Copies):
        raise ConfigError(f"unknown data.copies '{copies}'; {suggest(copies, get_args(Copies))}")
    others = [split for name, split in source.splits.items() if name != "train"]
    if copies == "keep" or "train" not in source.splits or not others:
        return source
    train = source.splits["train"]
    also = np.isin(face_hashes(train), np.concatenate([face_hashes(split) for split in others]))
    if also.all():
        raise DataError(f"every face of {source.name}'s train split is in another split too; set data.copies=keep")
    number, note = int(also.sum()), ", without the faces of train that another split has too"
    return replace(
        source,
        splits={**source.splits, "train": train.take(np.flatnonzero(~also))},
        protocol=source.protocol + note,
        protocols={name: source.protocol_of(name) + (note if name == "train" else "") for name in source.splits},
        official={name: n - number if name == "train" else n for name, n in source.official.items()},
        dropped=dict(source.dropped) | {"train: another split has them too": number},
    )
