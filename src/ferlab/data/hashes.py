"""A face told by its pixels: hashes, the same for the same picture in any dataset, and files of them.

A face is hashed as `Split.read` gives it, untouched, so it is the same face in FER2013 and FER+, in a CSV and in a PNG
copy of it. One that differs in a single pixel is another: a JPEG copy, another size or another crop is not found.
"""

import hashlib
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ferlab.data.cache import cache_root
from ferlab.data.images import in_threads
from ferlab.data.source import Split
from ferlab.errors import DataError
from ferlab.files import read_bytes, replacing
from ferlab.spec import Image

Hashes = npt.NDArray[np.uint64]

HEADER = struct.Struct("<8sHHQQ")  # magic, version, whether a parent is unknown, hashes in the first and second list
FACES = b"FERFACE\n"  # the cached hashes of a split, in its order
VERSION = 1  # raise it when a face gets another hash
CHECKSUM = 32  # bytes of SHA-256 over all before it
LARGEST = 2**30  # bytes of a file, 134 million faces
NONE: Hashes = np.empty(0, np.uint64)


def face_hash(pixels: Image) -> int:
    """The 64 bits that stand for a face: BLAKE2b over its shape and pixels, (h, w, 3) uint8 RGB.

    Among a million faces two different ones share a hash with a chance of 1 in 37 million.
    """
    result = hashlib.blake2b(np.array(pixels.shape, "<u4").tobytes(), digest_size=8)
    result.update(pixels.tobytes())
    return int.from_bytes(result.digest(), "little")


def face_hashes(split: Split) -> Hashes:
    """The hash of every face of a split, (n,), in its order.

    Every picture is read, by as many threads as there are processors, unless the cache has the hashes from before.

    Raises:
        DataError: a face that cannot be read, a full disk, or a damaged cache.
    """
    file = cache_root() / f"faces-{VERSION}-{hashlib.sha256(split.pictures.encode()).hexdigest()[:40]}.bin"
    if not file.exists():
        try:
            write(file, FACES, False, _hash_all(split), NONE)
        except OSError as error:
            raise DataError(
                f"cannot write the hashes of {len(split):,} faces to {file}: {error.strerror or error}; "
                "free some space or set FERLAB_CACHE"
            ) from error
    try:
        _, found, _ = read(file, FACES)
        if len(found) != len(split):
            raise ValueError(f"it must have {len(split):,} faces, got {len(found):,}")
    except (OSError, ValueError) as error:
        raise DataError(f"the cache in {file} is damaged ({error}); delete that file and run again") from error
    return found


def _hash_all(split: Split) -> Hashes:
    hashes = np.empty(len(split), np.uint64)

    def fill(i: int) -> None:
        hashes[i] = face_hash(split.read(i))

    in_threads(fill, len(split))
    return hashes


def pack(magic: bytes, unknown: bool, first: Hashes, second: Hashes) -> bytes:
    content = HEADER.pack(magic, VERSION, unknown, len(first), len(second))
    content += first.astype("<u8").tobytes() + second.astype("<u8").tobytes()
    return content + hashlib.sha256(content).digest()


def write(file: Path, magic: bytes, unknown: bool, first: Hashes, second: Hashes) -> None:
    with replacing(file) as temporary:
        temporary.write_bytes(pack(magic, unknown, first, second))


def read(file: Path, magic: bytes) -> tuple[bool, Hashes, Hashes]:
    """What `write` wrote; OSError, or ValueError saying what is wrong with it."""
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
