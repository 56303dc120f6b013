"""Several datasets as one, their labels mapped by name to a common set."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ferlab.data.copies import Copies, with_copies
from ferlab.data.images import Images
from ferlab.data.source import SPLITS, Source, Split, SplitName
from ferlab.errors import ConfigError, LabelError
from ferlab.labels import canonical_set, class_map
from ferlab.spec import Image


@dataclass(frozen=True)
class Joined:
    """The pictures of several collections, one after the other."""

    parts: Sequence[Images]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def _find(self, i: int) -> tuple[Images, int]:
        for part in self.parts:
            if i < len(part):
                return part, i
            i -= len(part)
        raise IndexError(i)

    def read(self, i: int) -> Image:
        part, place = self._find(i)
        return part.read(place)

    def name(self, i: int) -> str:
        part, place = self._find(i)
        return part.name(place)

    def digest(self) -> str:
        return hashlib.sha256("\n".join(part.digest() for part in self.parts).encode()).hexdigest()


def mixed(sources: Mapping[str, Source], labels: Sequence[str] | None = None, copies: Copies = "keep") -> Source:
    """Each split of the result is that split of every dataset that has it; the slice "source" says whose a face is.

    Faces whose class has no place in the common set are left out and counted; votes for such classes are taken away
    and the rest renormalised.

    Args:
        sources: name -> dataset, two or more.
        labels: the common set; None takes the classes that all have, in the order of the first.
        copies: "drop" takes the faces that another split of any has too out of train, see `with_copies`.

    Raises:
        ConfigError: fewer than two datasets, or one that draws classes from votes beside one that learns votes.
        LabelError: a common label that no dataset has, or fewer than two common labels.
    """
    if len(sources) < 2:
        raise ConfigError(f"data.sources must name two datasets or more, got {list(sources)}; add one")
    common = _common(sources, labels)
    dropped: dict[str, int] = {f"{name} {reason}": n for name, s in sources.items() for reason, n in s.dropped.items()}
    splits: dict[SplitName, Split] = {}
    absent: dict[SplitName, str] = {}
    for split in SPLITS:
        parts = {}
        for name, source in sources.items():
            if split in source.splits:
                parts[name], left = _mapped(source.splits[split], source.labels, common)
                dropped |= {f"{name} {split}: {label}": n for label, n in left.items()}
        if parts:
            splits[split] = _join(split, parts, len(common))
        else:
            absent[split] = "; ".join(f"{name}: {source.absent[split]}" for name, source in sources.items())
    faces = {source.face for source in sources.values()}
    first = next(iter(sources))
    crops = "" if len(faces) == 1 else f"; their crops differ, the model is said to take those of {first}"
    source = Source(
        name="mixed",
        labels=common,
        splits=splits,
        absent=absent,
        protocol=_listed({name: source.protocol for name, source in sources.items()}) + crops,
        licence="; ".join(f"{name}: {source.licence}" for name, source in sources.items()),
        origin="; ".join(f"{name}: {source.origin or 'not stated'}" for name, source in sources.items()),
        confidential=any(source.confidential for source in sources.values()),
        face=sources[first].face,
        mapping={f"{name} {found}": label for name, s in sources.items() for found, label in s.mapping.items()},
        dropped=dropped,
        unread={place: n for each in sources.values() for place, n in each.unread.items()},
        protocols={
            split: _listed({name: s.protocol_of(split) for name, s in sources.items() if split in s.splits}) + crops
            for split in splits
        },
    )
    return with_copies(source, copies)


def _listed(protocols: Mapping[str, str]) -> str:
    return " + ".join(f"{name} ({protocol})" for name, protocol in protocols.items())


def _common(sources: Mapping[str, Source], labels: Sequence[str] | None) -> tuple[str, ...]:
    """The canonical names of `labels`, or those that every source has."""
    if labels is None:
        every = [set(source.labels) for source in sources.values()]
        common = tuple(name for name in next(iter(sources.values())).labels if all(name in each for each in every))
    else:
        common = canonical_set(labels)
        for name in common:
            if not any(name in source.labels for source in sources.values()):
                raise LabelError(f"data.labels must be classes of {', '.join(sources)}, got '{name}'; leave it out")
    if len(common) < 2:
        raise LabelError(f"{' and '.join(sources)} must share two classes or more, got {list(common)}; set data.labels")
    return common


def _mapped(split: Split, labels: tuple[str, ...], common: tuple[str, ...]) -> tuple[Split, dict[str, int]]:
    """`split` with ids of the common set, without the faces that have no place in it; and how many of each class."""
    places = class_map(labels, common)
    unlabelled = split.labels < 0  # of use where there is valence and arousal
    ids = np.where(unlabelled, -1, places[split.labels])
    rows = np.flatnonzero((ids >= 0) | unlabelled)
    left = np.bincount(split.labels[(ids < 0) & ~unlabelled], minlength=len(labels))
    kept = split.take(rows)
    votes = None if kept.votes is None else _votes(kept.votes, places, len(common))
    result = Split(split.name, kept.images, ids[rows], votes, kept.affect, kept.draw, kept.slices)
    return result, {name: int(n) for name, n in zip(labels, left, strict=True) if n}


def _votes(votes: npt.NDArray[np.float32], places: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float32]:
    """Votes (n, k) with each column at its place in the common set, rows summing to 1 again."""
    moved = np.zeros((len(votes), classes), np.float32)
    moved[:, places[places >= 0]] = votes[:, places >= 0]
    moved /= np.maximum(moved.sum(1, keepdims=True), 1e-9)
    return moved


def _join(name: SplitName, parts: Mapping[str, Split], classes: int) -> Split:
    """The parts one after the other; what some lack is unknown for their faces."""
    splits = list(parts.values())
    voted = [split for split in splits if split.votes is not None]
    if len({split.draw for split in voted}) > 1:
        raise ConfigError("data.sources must all draw classes from votes or none, got both; set the same rule for each")
    attributes = dict.fromkeys(attribute for split in splits for attribute in split.slices)
    slices = {a: np.concatenate([s.slices.get(a, np.full(len(s), "")) for s in splits]) for a in attributes}
    slices["source"] = np.repeat(list(parts), [len(split) for split in splits])
    affect = [np.full((len(s), 2), np.nan, np.float32) if s.affect is None else s.affect for s in splits]
    return Split(
        name,
        Joined([split.images for split in splits]),
        np.concatenate([split.labels for split in splits]),
        np.concatenate([_as_votes(split, classes) for split in splits]) if voted else None,
        np.concatenate(affect) if any(split.affect is not None for split in splits) else None,
        draw=bool(voted) and voted[0].draw,
        slices=slices,
    )


def _as_votes(split: Split, classes: int) -> npt.NDArray[np.float32]:
    """The votes, or all of them for the label, (n, classes); zeros where there is none."""
    if split.votes is not None:
        return split.votes
    votes = np.zeros((len(split), classes), np.float32)
    rows = np.flatnonzero(split.labels >= 0)
    votes[rows, split.labels[rows]] = 1
    return votes
