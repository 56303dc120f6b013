"""What every dataset module returns: a `Source` of up to three `Split`s, whose pixels are read untouched."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from ferlab.data.images import Images, Picked
from ferlab.errors import DataError, printable
from ferlab.faces import FaceCrop
from ferlab.labels import check_labels
from ferlab.spec import Image

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
SAMPLERS = ("shuffle", "weighted")  # how an epoch goes through one, and where its faces come from; see loaders.py
FEEDS = ("auto", "resident", "packed", "streamed")


@dataclass(frozen=True)
class Split:
    """One part of a dataset.

    Attributes:
        name: train, validation or test.
        images: n pictures.
        labels: (n,) int64 class ids; they index the `labels` of the Source. -1 where there is none.
        votes: (n, k) float32 label distributions, rows summing to 1, or None.
        affect: (n, 2) float32 valence and arousal in [-1, 1], NaN where unknown, or None.
        draw: train on one class drawn from the votes each time a face is seen, instead of on the votes themselves.
        slices: attribute, such as "gender" -> (n,) its value for each face, "" where unknown; scored apart by evaluate.
    """

    name: SplitName
    images: Images
    labels: npt.NDArray[np.int64]
    votes: npt.NDArray[np.float32] | None = None
    affect: npt.NDArray[np.float32] | None = None
    draw: bool = False
    slices: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.images)
        columns = {"labels": self.labels, "votes": self.votes, "affect": self.affect, **self.slices}
        for name, array in columns.items():
            if array is not None and len(array) != n:
                raise DataError(f"{self.name} {name} must have one row a picture, got {len(array)} for {n}; check both")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({self.name}, {len(self):,} faces)"

    @cached_property
    def pictures(self) -> str:
        """The digest of the pictures, for which every file is read; once."""
        return self.images.digest()

    def read(self, i: int) -> Image:
        """Picture `i`, (h, w, 3) uint8 RGB, untouched."""
        return self.images.read(i)

    def counts(self, classes: int) -> npt.NDArray[np.int64]:
        """Pictures a class, shape (classes,)."""
        return np.bincount(self.labels[self.labels >= 0], minlength=classes)

    def take(self, rows: npt.NDArray[np.int64]) -> "Split":
        """The same split with only the pictures at `rows`."""
        return replace(
            self,
            images=Picked(self.images, rows),
            labels=self.labels[rows],
            votes=None if self.votes is None else self.votes[rows],
            affect=None if self.affect is None else self.affect[rows],
            slices={name: values[rows] for name, values in self.slices.items()},
        )


WEB = "gathered from web searches; the balance of age, gender, skin and culture is unknown and uneven"


@dataclass(frozen=True)
class Source:
    """A dataset on disk, ready to read.

    Attributes:
        name: the dataset's name in configs and reports.
        labels: canonical emotion names, or names of one's own; class ids index them.
        splits: the splits that are present.
        absent: for each split that is not, why.
        protocol: which pictures and labels these are, for every report that states a number.
        protocols: split -> what it says in place of `protocol`, where the splits are not labelled by one rule.
        licence: the terms under which the data may be used.
        face: how these crops were cut.
        mapping: name or id as found on disk -> canonical name; printed at the start of a run.
        official: split -> the published number of pictures under this protocol, where there is one.
        dropped: reason -> number of pictures left out by the protocol.
        unread: place -> number of pictures there that are in no split, though no protocol says so.
        origin: how the faces came together, for the model card; "" if that is not known.
        confidential: whether the licence forbids to pass the pictures on; reports show none of them unless told to.
    """

    name: str
    labels: tuple[str, ...]
    splits: Mapping[SplitName, Split]
    protocol: str
    licence: str
    absent: Mapping[SplitName, str] = field(default_factory=dict)
    face: FaceCrop = field(default_factory=FaceCrop)
    mapping: Mapping[str, str] = field(default_factory=dict)
    official: Mapping[SplitName, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)
    protocols: Mapping[SplitName, str] = field(default_factory=dict)
    origin: str = ""
    confidential: bool = False

    def __post_init__(self) -> None:
        check_labels(self.labels)
        for split in self.splits.values():
            ids = split.labels
            if len(ids) and not -1 <= ids.min() <= ids.max() < len(self.labels):
                raise DataError(
                    f"{self.name} {split.name}: class ids must be 0 to {len(self.labels) - 1}, got {ids.min()} to "
                    f"{ids.max()}; check the label mapping"
                )

    def __repr__(self) -> str:
        faces = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        return printable(f"Source({self.name}: {faces} faces; {', '.join(self.labels) or 'no expressions'})")

    def split(self, name: str) -> Split:
        """The split called `name`; DataError with the reason if it is absent."""
        for key, split in self.splits.items():
            if key == name:
                return split
        reasons = {str(key): why for key, why in self.absent.items()}
        if name in reasons:
            raise DataError(f"{self.name} has no {name} split here: {reasons[name]}")
        raise DataError(f"{self.name} has no split '{name}'; one of: {', '.join(self.splits)}")

    @property
    def unlearnable(self) -> tuple[str, ...]:
        """Labels without a face to train on: a network can only ever be wrong about theirs."""
        if "train" not in self.splits or self.splits["train"].labels.max(initial=-1) < 0:
            return ()
        counts = self.splits["train"].counts(len(self.labels))
        return tuple(name for name, number in zip(self.labels, counts, strict=True) if not number)

    def protocol_of(self, name: SplitName) -> str:
        """Which pictures and labels those of one split are: what a score on it is a score of."""
        return self.protocols.get(name, self.protocol)

    def digest(self) -> str:
        """Sixteen hex digits over every split's pictures and labels, to tell whether two runs saw the same data."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        result = hashlib.sha256("\n".join(self.labels).encode())
        for name in SPLITS:
            if (split := self.splits.get(name)) is not None:
                result.update(f"{name} {len(split)} {split.pictures}".encode())
                for array in (split.labels, split.votes, split.affect):
                    result.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        return result.hexdigest()[:16]
