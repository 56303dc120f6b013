"""Pictures by position, as they are stored: in arrays, in files, or cut out of larger ones. All decoding is here."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.errors import DataError, SpecError
from ferlab.faces import FaceCrop, cut
from ferlab.files import check_regular
from ferlab.spec import Image

DIGEST_BYTES = 4 << 30
CHUNK = 256  # pictures a task: large enough that handing it to a thread costs nothing


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
            check_regular(self.path(i))
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


def read_image(path: Path) -> Image:
    """The picture in `path`, (h, w, 3) uint8 RGB, upright by its EXIF note; DataError if it cannot be decoded."""
    try:
        check_regular(path)
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
        if bgr is not None and bgr.max(initial=0) < 16 and 0 < (bits := _bits_used(encoded)) <= 12:
            raise DataError(
                f"{path} must use its 16 bits a value, got values of {bits} bits, which would be read as black; "
                f"multiply them by {2 ** (16 - max(bits, 8))} or store it in 8 bits"
            )
    except cv2.error:  # a header that promises more pixels than cv2 accepts
        bgr = None
    if bgr is None:
        raise DataError(f"{path} must be a picture, got {encoded.size} bytes that cannot be decoded; replace the file")
    rgb: Image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
    return rgb


def _bits_used(encoded: npt.NDArray[np.uint8]) -> int:
    """Bits of the largest value of a picture that stores 16 bits a value; 16 for any other, which uses what it has."""
    stored = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    return 16 if stored is None or stored.dtype != np.uint16 else int(stored.max(initial=0)).bit_length()


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot read {path}: {error.strerror}; restore the file or correct the list")


def in_threads(work: Callable[[int], None], n: int) -> None:
    """Call `work` with 0 to n - 1, on as many threads as there are processors; the first error of `work` is raised.

    For what decodes, resizes or hashes pictures, which release Python's lock.
    """

    def run(start: int) -> None:
        for i in range(start, min(start + CHUNK, n)):
            work(i)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for _ in threads.map(run, range(0, n, CHUNK)):
            pass


def write_image(path: Path, image: Image) -> None:
    """Write (h, w) grey or (h, w, 3) RGB uint8 to `path`, in the format of its suffix; OSError if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored: Any = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode(path.suffix, stored)[1].tobytes())  # cv2.imwrite would not say why it failed
