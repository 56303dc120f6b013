"""Which faces a model has seen: hashes of all that it was trained on and selected on, its parents' included.

A face is told by its pixels as `Split.read` gives them, untouched, so it is the same face in FER2013 and FER+, in a CSV
and in a PNG copy of it, whatever the dataset or the split is called. One that differs in a single pixel is another: a
JPEG copy, another size or another crop is not found. Needs no torch.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ferlab.data.cache import cache_root
from ferlab.data.images import in_threads
from ferlab.errors import BundleError, DataError
from ferlab.files import read_bytes, replacing

if TYPE_CHECKING:
    from ferlab.data.source import Split
    from ferlab.spec import Image

Hashes = npt.NDArray[np.uint64]

FILE = "past.bin"  # in a bundle's folder, and beside exported files
HEADER = struct.Struct("<8sHHQQ")  # magic, version, whether a parent is unknown, hashes in the first and second list
MAGIC, FACES = b"FERPAST\n", b"FERFACE\n"  # a model's past; the cached hashes of a split, in its order
VERSION = 1  # raise it when a face gets another hash
CHECKSUM = 32  # bytes of SHA-256 over all before it
LARGEST = 2**30  # bytes of a file, 134 million faces


def face_hash(pixels: "Image") -> int:
    """The 64 bits that stand for a face: BLAKE2b over its shape and pixels, (h, w, 3) uint8 RGB.

    Among a million faces two different ones share a hash with a chance of 1 in 37 million.
    """
    result = hashlib.blake2b(np.array(pixels.shape, "<u4").tobytes(), digest_size=8)
    result.update(pixels.tobytes())
    return int.from_bytes(result.digest(), "little")


def face_hashes(split: "Split") -> Hashes:
    """The hash of every face of a split, (n,), in its order.

    Every picture is read, by as many threads as there are processors, unless the cache has the hashes from before.

    Raises:
        DataError: a face that cannot be read, a full disk, or a damaged cache.
    """
    file = cache_root() / f"faces-{VERSION}-{hashlib.sha256(split.pictures.encode()).hexdigest()[:40]}.bin"
    if not file.exists():
        try:
            _write(file, FACES, False, _hash_all(split), _NONE)
        except OSError as error:
            raise DataError(
                f"cannot write the hashes of {len(split):,} faces to {file}: {error.strerror or error}; "
                "free some space or set FERLAB_CACHE"
            ) from error
    try:
        _, found, _ = _read(file, FACES)
        if len(found) != len(split):
            raise ValueError(f"it must have {len(split):,} faces, got {len(found):,}")
    except (OSError, ValueError) as error:
        raise DataError(f"the cache in {file} is damaged ({error}); delete that file and run again") from error
    return found


def _hash_all(split: "Split") -> Hashes:
    hashes = np.empty(len(split), np.uint64)

    def fill(i: int) -> None:
        hashes[i] = face_hash(split.read(i))

    in_threads(fill, len(split))
    return hashes


@dataclass(frozen=True, eq=False)
class Past:
    """What a model has seen.

    Attributes:
        trained: (m,) sorted and unique, hashes of the faces that it or a parent (its start weights, its teacher) was
            trained on.
        selected: (k,) sorted and unique, of the faces on which its epoch, or a parent's, was chosen.
        whole: False if a parent's past is not known, so that there may be more.
    """

    trained: Hashes
    selected: Hashes
    whole: bool = True

    @classmethod
    def of(cls, trained: Hashes, selected: Hashes) -> "Past":
        """The past of a model without parents, from hashes in any order."""
        return cls(np.unique(trained), np.unique(selected))

    def __or__(self, other: "Past") -> "Past":
        """All that either has seen."""
        trained, selected = np.union1d(self.trained, other.trained), np.union1d(self.selected, other.selected)
        return Past(trained, selected, self.whole and other.whole)

    def seen(self, faces: Hashes) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which of these faces, (n,), the model was trained on, and which it was selected on, both (n,) bool."""
        return np.isin(faces, self.trained), np.isin(faces, self.selected)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What provenance says of it, plain values; `digest` ties the file to what names it."""
        digest = _pack(MAGIC, not self.whole, self.trained, self.selected)[-CHECKSUM:].hex()
        return {"digest": digest, "trained": len(self.trained), "selected": len(self.selected), "whole": self.whole}

    def write(self, file: Path) -> None:
        """Write it to `file`, atomically; OSError if that fails."""
        _write(file, MAGIC, not self.whole, self.trained, self.selected)

    @classmethod
    def read(cls, file: Path) -> "Past":
        """What `write` wrote; BundleError if it is missing, damaged or something else."""
        try:
            unknown, trained, selected = _read(file, MAGIC)
            for hashes in (trained, selected):
                if not (hashes[:-1] < hashes[1:]).all():
                    raise ValueError("its hashes must be sorted, got them in another order")
        except OSError as error:
            raise BundleError(f"cannot read {file}: {error.strerror or error}; copy the whole bundle") from error
        except ValueError as error:
            raise BundleError(f"{file} must be a whole list of faces seen: {error}; copy the bundle again") from error
        return cls(trained, selected, not unknown)


_NONE = np.empty(0, np.uint64)
UNKNOWN = Past(_NONE, _NONE, whole=False)  # that of a parent which does not say


def past_in(folder: Path, provenance: Mapping[str, Any]) -> Past | None:
    """The past that lies in a folder beside a model, as past.bin; None if there is none.

    Args:
        folder: of a bundle or of exported files.
        provenance: of the model; it names the past that belongs to it.

    Raises:
        BundleError: a damaged file, or another model's.
    """
    file = folder / FILE
    if not file.exists():
        return None
    past, named = Past.read(file), provenance.get("past")
    if named != past.summary:
        wanted = named.get("digest") if isinstance(named, dict) else named
        raise BundleError(
            f"{file} must be the one that its model names, {str(wanted)[:16]!a}, got {past.summary['digest'][:16]}; "
            "copy the whole folder"
        )
    return past


def _pack(magic: bytes, unknown: bool, first: Hashes, second: Hashes) -> bytes:
    content = HEADER.pack(magic, VERSION, unknown, len(first), len(second))
    content += first.astype("<u8").tobytes() + second.astype("<u8").tobytes()
    return content + hashlib.sha256(content).digest()


def _write(file: Path, magic: bytes, unknown: bool, first: Hashes, second: Hashes) -> None:
    with replacing(file) as temporary:
        temporary.write_bytes(_pack(magic, unknown, first, second))


def _read(file: Path, magic: bytes) -> tuple[bool, Hashes, Hashes]:
    """What `_write` wrote; OSError, or ValueError saying what is wrong with it."""
    content = read_bytes(file, LARGEST)
    if len(content) < HEADER.size:
        raise ValueError(f"it must have {HEADER.size} bytes or more, got {len(content)}")
    found, version, unknown, first, second = HEADER.unpack_from(content)
    if (found, version) != (magic, VERSION) or unknown > 1:
        raise ValueError(f"it must begin with {magic!r} in version {VERSION}, got {found!r}, {version}, {unknown}")
    wanted = HEADER.size + 8 * (first + second) + CHECKSUM
    if len(content) != wanted:
        raise ValueError(f"it must have {wanted:,} bytes for {first:,} and {second:,} faces, got {len(content):,}")
    if hashlib.sha256(content[:-CHECKSUM]).digest() != content[-CHECKSUM:]:
        raise ValueError("its checksum must be that of its content, got another")
    hashes = np.frombuffer(content, "<u8", first + second, HEADER.size).astype(np.uint64)
    return bool(unknown), hashes[:first], hashes[first:]
