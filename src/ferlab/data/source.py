"""What every dataset module returns: a `Source` of up to three `Split`s, whose pixels are read untouched."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.errors import DataError, SpecError
from ferlab.faces import FaceCrop, cut
from ferlab.labels import canonical_set
from ferlab.spec import Image

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
DIGEST_BYTES = 4 << 30


class Images(Protocol):
    """Pictures by position."""

    def __len__(self) -> int: ...

    def read(self, i: int) -> Image:
        """Picture `i`, (h, w, 3) uint8 RGB, as it is stored; DataError if unreadable, never a substitute."""

    def name(self, i: int) -> str:
        """Where picture `i` comes from, for error messages and reports."""

    def digest(self) -> str:
        """A hexadecimal digest that changes when a picture does."""


@dataclass(frozen=True)
class ArrayImages:
    """Grey faces in memory or memory-mapped.

    Attributes:
        pixels: (m, h, w) uint8; it may be read-only.
        rows: (n,) positions in `pixels` of the faces in use.
        file: the file that they were parsed from.
        lines: (m,) line of each face in that file, from 1.
    """

    pixels: Image
    rows: npt.NDArray[np.int64]
    file: Path
    lines: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, i: int) -> Image:
        gray = self.pixels[self.rows[i]]
        return np.repeat(gray[..., None], 3, axis=2)

    def name(self, i: int) -> str:
        return f"{self.file}:{self.lines[self.rows[i]]}"

    def digest(self) -> str:
        result = hashlib.sha256()
        for start in range(0, len(self.rows), 4096):  # a part at a time: indexing copies
            result.update(self.pixels[self.rows[start : start + 4096]].tobytes())
        return result.hexdigest()


@dataclass(frozen=True)
class FileImages:
    """Picture files, decoded when they are read.

    Attributes:
        root: the folder that the names start from.
        names: (n,) bytes, each file's path below `root`. One array, not n objects: a reading worker that touched the
            reference count of an object would copy its page of memory, and so grow over an epoch.
    """

    root: Path
    names: npt.NDArray[np.bytes_]

    @classmethod
    def of(cls, root: Path, names: Sequence[str]) -> "FileImages":
        """The files `names`, paths below `root`."""
        return cls(root, np.array([os.fsencode(name) for name in names], dtype=np.bytes_))

    def __len__(self) -> int:
        return len(self.names)

    def path(self, i: int) -> Path:
        """Where picture `i` lies."""
        return self.root / os.fsdecode(self.names[i])

    def read(self, i: int) -> Image:
        return read_image(self.path(i))

    def name(self, i: int) -> str:
        return str(self.path(i))

    def size(self, i: int) -> int:
        """Bytes of file `i`; DataError if it cannot be read."""
        try:
            return self.path(i).stat().st_size
        except OSError as error:
            raise _unreadable(self.path(i), error) from error

    def content(self, i: int, most: int = -1) -> bytes:
        """The first `most` bytes of file `i`, or all; DataError if it cannot be read."""
        try:
            with open(self.path(i), "rb") as file:
                return file.read(most)
        except OSError as error:
            raise _unreadable(self.path(i), error) from error

    def digest(self) -> str:
        """Over the files' sizes and, below DIGEST_BYTES in all, their content too: 120 GB would take an hour."""
        result = hashlib.sha256()
        sizes = np.array([self.size(i) for i in range(len(self))], dtype=np.int64)
        result.update(sizes.tobytes())
        if sizes.sum() < DIGEST_BYTES:
            for i in range(len(self)):
                result.update(hashlib.sha256(self.content(i)).digest())
        return result.hexdigest()


@dataclass(frozen=True)
class CutImages:
    """Faces cut out of other pictures when they are read.

    Attributes:
        images: n pictures.
        boxes: (n, 4) float32, left, top, width and height in pixels; a row of NaN stands for the whole picture.
        eyes: (n, 2, 2) float32, x and y of both eyes, or None.
        face: how to cut.
    """

    images: Images
    boxes: npt.NDArray[np.float32]
    eyes: npt.NDArray[np.float32] | None
    face: FaceCrop

    def __len__(self) -> int:
        return len(self.images)

    def read(self, i: int) -> Image:
        image, box = self.images.read(i), self.boxes[i]
        if np.isnan(box).all():
            box = np.array([0, 0, image.shape[1], image.shape[0]], np.float32)
        try:
            return cut(image, box, None if self.eyes is None else self.eyes[i], self.face)
        except SpecError as error:
            raise DataError(f"{self.name(i)}: {error}; correct the annotation") from error

    def name(self, i: int) -> str:
        return self.images.name(i)

    def digest(self) -> str:
        result = hashlib.sha256(f"{self.images.digest()} {self.face}".encode() + self.boxes.tobytes())
        result.update(b"-" if self.eyes is None else self.eyes.tobytes())
        return result.hexdigest()


def read_image(path: Path) -> Image:
    """The picture in `path`, (h, w, 3) uint8 RGB, upright by its EXIF note; DataError if it cannot be decoded."""
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    except cv2.error:  # a header that promises more pixels than cv2 accepts
        bgr = None
    if bgr is None:
        raise DataError(f"{path} must be a picture, got {encoded.size} bytes that cannot be decoded; replace the file")
    rgb: Image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
    return rgb


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot read {path}: {error.strerror}; restore the file or correct the list")


def write_image(path: Path, image: Image) -> None:
    """Write (h, w) grey or (h, w, 3) RGB uint8 to `path`, in the format of its suffix; OSError if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored: Any = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode(path.suffix, stored)[1].tobytes())  # cv2.imwrite would not say why it failed


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


@dataclass(frozen=True)
class Picked:
    """Some of another collection's pictures."""

    images: Images
    rows: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, i: int) -> Image:
        return self.images.read(int(self.rows[i]))

    def name(self, i: int) -> str:
        return self.images.name(int(self.rows[i]))

    def digest(self) -> str:
        return hashlib.sha256(self.images.digest().encode() + self.rows.tobytes()).hexdigest()


@dataclass(frozen=True)
class Source:
    """A dataset on disk, ready to read.

    Attributes:
        name: the dataset's name in configs and reports.
        labels: canonical emotion names; class ids index them.
        splits: the splits that are present.
        absent: for each split that is not, why.
        protocol: which pictures and labels these are, for every report that states a number.
        protocols: split -> what it says in place of `protocol`, where the splits are not labelled by one rule.
        licence: the terms under which the data may be used.
        face: how these crops were cut.
        mapping: name or id as found on disk -> canonical name; printed at the start of a run.
        official: split -> the published number of pictures under this protocol, where there is one.
        dropped: reason -> number of pictures left out by the protocol.
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
    protocols: Mapping[SplitName, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if canonical_set(self.labels) != self.labels:
            raise DataError(f"{self.name}: labels must be canonical names, got {list(self.labels)}; use labels.py")
        for split in self.splits.values():
            ids = split.labels
            if len(ids) and not -1 <= ids.min() <= ids.max() < len(self.labels):
                raise DataError(
                    f"{self.name} {split.name}: class ids must be 0 to {len(self.labels) - 1}, got {ids.min()} to "
                    f"{ids.max()}; check the label mapping"
                )

    def split(self, name: str) -> Split:
        """The split called `name`; DataError with the reason if it is absent."""
        for key, split in self.splits.items():
            if key == name:
                return split
        reasons = {str(key): why for key, why in self.absent.items()}
        if name in reasons:
            raise DataError(f"{self.name} has no {name} split here: {reasons[name]}")
        raise DataError(f"{self.name} has no split '{name}'; one of: {', '.join(self.splits)}")

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
