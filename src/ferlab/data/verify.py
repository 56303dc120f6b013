"""Checks of a dataset: official counts, unreadable pictures, and copies within and across splits."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.data.damage import damaged, listening_to_libjpeg
from ferlab.data.source import SPLITS, Source, Split, SplitName
from ferlab.errors import DataError
from ferlab.spec import Image

THUMBNAIL = 32
# Near copies: hashes that differ in at most RADIUS of 63 bits, and thumbnails that correlate by CORRELATION. Judged by
# eye on FER2013, 48 pairs a band: from 0.94 up all show one photograph (other crop, contrast, compression or
# watermark), from 0.91 to 0.94 all but a few, and below 0.91 a third are two people. Of the pairs from 0.94 up 1 in 400
# differs in more than 12 bits.
RADIUS = 12
CORRELATION = 0.94
BLOCK = 512  # pictures, or pairs of them, that are worked on at once
ROWS = 16  # rows of the table of distances at once: few enough to stay in the processor's cache

Positions = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Picture:
    """One readable picture: its split, its position there, where it comes from, and its class id or -1."""

    split: SplitName
    index: int
    name: str
    label: int


@dataclass(frozen=True)
class Scope:
    """Copies within one split or across two.

    Attributes:
        kind: "exact" for equal pixels; "exact or near" also for the same photograph with others.
        splits: the one split, or the two.
        groups: sets of pictures that are copies of each other.
        extra: pictures too many: within a split, all but one a group; across, those of the later split.
        conflicting: groups whose pictures have different labels.
    """

    kind: str
    splits: tuple[SplitName, ...]
    groups: int
    extra: int
    conflicting: int


@dataclass(frozen=True)
class Findings:
    """What `verify` found.

    Attributes:
        source: the dataset.
        unreadable: one error a picture that cannot be read, or not as it was stored.
        pictures: those that can be.
        scopes: copies, where there are any.
        exact: sets of positions in `pictures` with equal pixels.
        near: pairs of positions in `pictures`, (m, 2), of near copies, and their correlation, (m,), falling.
    """

    source: Source
    unreadable: tuple[str, ...]
    pictures: tuple[Picture, ...]
    scopes: tuple[Scope, ...]
    exact: tuple[Positions, ...]
    near: tuple[Pairs, npt.NDArray[np.float32]]

    @property
    def miscounted(self) -> dict[SplitName, tuple[int, int]]:
        """Split -> pictures here and officially, where these differ; a split that is absent does not count."""
        here = {name: len(split) for name, split in self.source.splits.items()}
        official = self.source.official
        return {name: (n, official[name]) for name, n in here.items() if name in official and n != official[name]}

    @property
    def as_published(self) -> bool:
        """Whether every split here has the official number of pictures."""
        return bool(self.source.official) and not self.miscounted

    @property
    def leaks(self) -> tuple[Scope, ...]:
        """Copies across splits."""
        return tuple(scope for scope in self.scopes if len(scope.splits) == 2)

    @property
    def untrainable(self) -> str | None:
        """Why `ferlab train` would refuse the dataset, if it would."""
        needed: tuple[SplitName, ...] = ("train", "validation")
        absent = [f"it has no {name} split" for name in needed if name not in self.source.splits]
        return absent[0] if absent else None

    @property
    def failed(self) -> bool:
        """Whether the dataset needs mending.

        Unreadable pictures, pictures in no split, classes without a face to train on, wrong counts and a split that
        training needs and is not there fail. Equal pictures in two splits fail too, unless the counts are the
        official ones: FER2013 as published has such leaks, every published score shares them, and taking them out
        would make another dataset. They are then a warning.
        """
        leaks = any(scope.kind == "exact" for scope in self.leaks)
        source = self.source
        lost = self.unreadable or self.miscounted or source.unread or source.unlearnable or self.untrainable
        return bool(lost or (leaks and not self.as_published))


def verify(source: Source) -> Findings:
    """Read every picture of `source`, in one pass, and look for copies, comparing each with every other one."""
    pictures: list[Picture] = []
    unreadable: list[str] = []
    digests: list[bytes] = []
    thumbnails: list[Image] = []
    with listening_to_libjpeg() as said:
        for split, i, seen in _read_all(source):
            if isinstance(seen, DataError):
                unreadable.append(str(seen))
                continue
            pictures.append(Picture(split.name, i, split.images.name(i), int(split.labels[i])))
            digests.append(seen[0])
            thumbnails.append(seen[1])
    if said:  # of which pictures is seen only one by one
        unreadable += [error for split in source.splits.values() for error in damaged(split)]
    small = np.array(thumbnails, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)
    del thumbnails
    first, equal = np.unique(np.array(digests, dtype="S20"), return_index=True, return_inverse=True)[1:]
    exact = _groups(equal)
    pairs, correlation = near_pairs(small[first])
    joined = _join(len(first), pairs)[equal]  # the group of each picture when near copies count as equal
    scopes = [*_scopes("exact", exact, pictures), *_scopes("exact or near", _groups(joined), pictures)]
    return Findings(
        source, tuple(unreadable), tuple(pictures), tuple(scopes), tuple(exact), (np.sort(first[pairs], 1), correlation)
    )


def _read_all(source: Source) -> Iterator[tuple[Split, int, tuple[bytes, Image] | DataError]]:
    """Every picture's split and position, with its digest and thumbnail, or why it cannot be read."""

    def read(split: Split, start: int) -> list[tuple[bytes, Image] | DataError]:
        return [_seen(split, i) for i in range(start, min(start + BLOCK, len(split)))]

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV decodes outside of Python's lock
        for split in (source.splits[name] for name in SPLITS if name in source.splits):
            blocks = pool.map(read, repeat(split), range(0, len(split), BLOCK))
            for i, seen in enumerate(chain.from_iterable(blocks)):
                yield split, i, seen


def _seen(split: Split, i: int) -> tuple[bytes, Image] | DataError:
    try:
        image = split.read(i)
    except DataError as error:
        return error
    data = image.tobytes() + repr(image.shape).encode()
    return hashlib.sha1(data, usedforsecurity=False).digest(), thumbnail(image)


def thumbnail(image: Image) -> Image:
    """(h, w, 3) RGB to (32, 32) grey, uint8."""
    grey: Any = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    shrinks = min(grey.shape) >= THUMBNAIL
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    result: Image = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=method)
    return result


def near_pairs(thumbnails: Image) -> tuple[Pairs, npt.NDArray[np.float32]]:
    """Pairs of pictures that show the same photograph.

    The hash finds candidates at the cost of a popcount a pair, 2 ns; the correlation of the pixels, which ignores
    brightness and contrast, throws out the pairs that only look alike. An index over parts of the hash would save
    nothing: for 12 bits of 63 that may differ it has to look into a seventh of all pairs, in no order.

    Args:
        thumbnails: (n, 32, 32) uint8, all different.

    Returns:
        (m, 2) positions, the smaller one first, and (m,) correlations, falling.
    """
    hashes = perceptual_hash(thumbnails)

    def search(start: int) -> tuple[Pairs, npt.NDArray[np.float32]]:
        pairs = _candidates(hashes, start)
        parts = [_correlation(thumbnails, pairs[k : k + BLOCK]) for k in range(0, len(pairs), BLOCK)]
        correlation = np.concatenate([np.empty(0, np.float32), *parts])
        keep = correlation >= CORRELATION
        return pairs[keep], correlation[keep]

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy counts bits outside of Python's lock
        found = list(pool.map(search, range(0, len(hashes), ROWS)))
    all_pairs = np.concatenate([np.empty((0, 2), np.int64), *(pairs for pairs, _ in found)])
    all_values = np.concatenate([np.empty(0, np.float32), *(values for _, values in found)])
    order = np.argsort(-all_values, kind="stable")
    return all_pairs[order], all_values[order]


def _correlation(thumbnails: Image, pairs: Pairs) -> npt.NDArray[np.float32]:
    """Of the pixels of each pair, (m,)."""
    flat = thumbnails[pairs].reshape(len(pairs), 2, THUMBNAIL**2).astype(np.float32)
    flat -= flat.mean(2, keepdims=True)
    flat /= np.maximum(np.sqrt((flat**2).sum(2, keepdims=True)), 1e-6)  # a plain picture correlates with nothing
    result: npt.NDArray[np.float32] = np.einsum("ij,ij->i", flat[:, 0], flat[:, 1])
    return result


def perceptual_hash(thumbnails: Image) -> npt.NDArray[np.uint64]:
    """The signs of the 63 lowest cosine frequencies about their median, (n,) uint64 (pHash; Zauner 2010)."""
    k, x = np.arange(8)[:, None], np.arange(THUMBNAIL)[None]
    basis = np.cos(np.pi * k * (2 * x + 1) / (2 * THUMBNAIL)).astype(np.float32)  # DCT-II, unscaled
    weights = np.uint64(1) << np.arange(63, dtype=np.uint64)
    result = np.empty(len(thumbnails), np.uint64)
    for start in range(0, len(thumbnails), BLOCK):  # as floats all of them would take four times their memory
        block = thumbnails[start : start + BLOCK].astype(np.float32)
        spectrum = np.einsum("ky,nyx,lx->nkl", basis, block, basis, optimize=True)
        low = spectrum.reshape(len(block), 64)[:, 1:]  # without the mean brightness
        bits = low > np.median(low, axis=1, keepdims=True)
        result[start : start + BLOCK] = np.where(bits, weights, np.uint64(0)).sum(1, dtype=np.uint64)
    return result


def _candidates(hashes: npt.NDArray[np.uint64], start: int) -> Pairs:
    """Pairs of the ROWS positions from `start` with later ones whose hashes differ in at most RADIUS bits."""
    distance = np.bitwise_count(hashes[start : start + ROWS, None] ^ hashes[None, start:])
    row, column = np.nonzero(distance <= RADIUS)
    later = column > row
    return np.stack([row[later], column[later]], 1) + start


def _join(n: int, pairs: Pairs) -> Positions:
    """For each of n things the smallest that it is joined to by pairs, directly or through others, (n,)."""
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in pairs.tolist():
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return np.array([root(i) for i in range(n)], np.int64)


def _groups(ids: Positions) -> list[Positions]:
    """Positions with the same id, for ids that occur more than once."""
    order = np.argsort(ids, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(ids[order])) + 1)
    return [part for part in parts if len(part) > 1]


def _scopes(kind: str, groups: list[Positions], pictures: list[Picture]) -> Iterator[Scope]:
    """The groups counted within each split and across each two, leaving out what has none."""
    for a, first in enumerate(SPLITS):
        for second in SPLITS[a:]:
            within = first == second
            number = extra = conflicting = 0
            for group in groups:
                members = [pictures[i] for i in group if pictures[i].split in (first, second)]
                later = sum(p.split == second for p in members)
                if later < 2 if within else later in (0, len(members)):
                    continue
                number += 1
                extra += later - within
                conflicting += len({p.label for p in members if p.label >= 0}) > 1
            if number:
                yield Scope(kind, (first,) if within else (first, second), number, extra, conflicting)
