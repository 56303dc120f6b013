"""Who is known: a file of names with the embeddings of their faces, from which no picture can be seen.

Embeddings are biometric data all the same: the file is its owner's alone, and encrypted where a key is given.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ferlab.errors import ConfigError, DataError, printable, suggest
from ferlab.files import read_bytes, replacing, sweep, why_unwritable
from ferlab.live.sealed import seal, unseal

FORMAT = 1
# What Python raises where JSON holds other things than it should.
WRONG = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
LARGEST = 64 * 2**20  # bytes of such a file: two thousand pictures of ArcFace's 512 numbers have a third of it

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Gallery:
    """The people of one recogniser.

    Attributes:
        recogniser: SHA-256 of its file, in hex.
        people: name, which is any text -> (n, d) float32, an embedding of length 1 for each picture.
    """

    recogniser: str
    people: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.people)

    def check(self, recogniser: str) -> None:
        """Raise a ConfigError if it was made with another recogniser than the one of this digest."""
        if self.recogniser != recogniser:
            raise ConfigError(
                f"the gallery must be asked with the recogniser that it was made with, {self.recogniser[:12]}…, got "
                f"{recogniser[:12]}…; give that file as identity_file, or enroll into another gallery"
            )

    def add(self, name: str, faces: Floats) -> Self:
        """With more pictures (n, d) of a person, who may be new."""
        known = self.people.get(name)
        return replace(self, people={**self.people, name: faces if known is None else np.concatenate([known, faces])})

    def remove(self, name: str) -> Self:
        """Without a person; ConfigError if there is none of that name."""
        if name not in self.people:
            raise ConfigError(f"nobody in the gallery is called '{name}'; {suggest(name, self.people)}")
        return replace(self, people={known: faces for known, faces in self.people.items() if known != name})

    def mean(self, name: str) -> Floats:
        """The mean of a person's embeddings, (d,), of length 1 again."""
        return mean_of(self.people[name])

    def nearest(self, face: Floats) -> tuple[str, float] | None:
        """Whose mean embedding has the largest cosine with a face's (d,), and that cosine; None of an empty gallery."""
        if not self.people:
            return None
        cosines = {name: float(self.mean(name) @ face) for name in self.people}
        best = max(cosines, key=lambda name: cosines[name])
        return best, cosines[best]

    def save(self, path: Path, key: bytes | None) -> None:
        """Write it over the one before, readable by its owner alone, encrypted with `key` where there is one.

        Raises:
            DataError: it cannot be written; the one before is still there.
            ConfigError: `cryptography` is not installed.
        """
        people = {name: faces.tolist() for name, faces in self.people.items()}
        content = json.dumps({"format": FORMAT, "recogniser": self.recogniser, "people": people}).encode()
        if key is not None:
            content = json.dumps({"format": FORMAT, "sealed": b64encode(seal(content, key)).decode()}).encode()
        try:
            with replacing(path, mode=0o600) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise DataError(
                f"cannot write the gallery {path}: {why_unwritable(error)}; what was there before still is"
            ) from error
        sweep(path)

    @classmethod
    def load(cls, path: Path, key: bytes | None) -> Self:
        """What `save` wrote.

        Raises:
            DataError: missing, damaged, something else, or sealed with another key.
            ConfigError: encrypted without a key given, or the other way round; `cryptography` is not installed.
        """
        found = _read(path)
        if ("sealed" in found) != (key is not None):
            got = "an encrypted one; give its key_file=…" if key is None else "a plain one; leave out key_file"
            raise ConfigError(f"the gallery {path} must be {'plain' if key is None else 'encrypted'}, got {got}")
        try:
            return cls(*_parsed(found if key is None else json.loads(unseal(b64decode(found["sealed"]), key))))
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        except WRONG as error:
            raise _no_gallery(path, error) from error


def forget(path: Path) -> None:
    """Delete a gallery, encrypted or not, and what a killed process left of writing one.

    Raises:
        DataError: no such file, no gallery, or it cannot be deleted.
    """
    if "sealed" not in _read(path):
        Gallery.load(path, None)
    try:
        path.unlink()
    except OSError as error:
        raise DataError(f"cannot delete the gallery {path}: {error.strerror}; delete it by hand") from error
    sweep(path)


def _read(path: Path) -> dict[str, Any]:
    """The object in a gallery's file, of the right format; DataError if there is none."""
    try:
        found = json.loads(read_bytes(path, LARGEST))
        if found["format"] != FORMAT or not {"sealed", "people"} & found.keys():
            raise ValueError(f"its format must be {FORMAT}, got {found['format']!r}")
    except OSError as error:
        raise DataError(f"cannot read the gallery {path}: {error.strerror or error}; check the path") from error
    except WRONG as error:
        raise _no_gallery(path, error) from error
    result: dict[str, Any] = found
    return result


def _no_gallery(path: Path, error: Exception) -> DataError:
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
    return DataError(f"{path} must be a gallery, as ferlab enroll writes it, got {reason}; restore it")


def _parsed(found: Mapping[str, Any]) -> tuple[str, dict[str, Floats]]:
    """The recogniser and the people in a gallery that is open; one of WRONG if it is none."""
    if not isinstance(found["recogniser"], str):
        raise ValueError("its recogniser must be a digest")
    people = {name: np.array(faces, np.float32) for name, faces in found["people"].items()}
    widths = {faces.shape[1] if faces.ndim == 2 and faces.size else 0 for faces in people.values()}
    if len(widths) > 1 or 0 in widths:
        raise ValueError("its embeddings must be lists of the same length")
    for name, faces in people.items():
        if not np.abs(np.linalg.norm(faces, axis=1) - 1).max() < 1e-3:  # NaN is not either
            raise ValueError(f"the embeddings of '{printable(name)[:40]}' must have the length 1")
    return found["recogniser"], people


def mean_of(faces: Floats | Sequence[Floats]) -> Floats:
    """The mean of embeddings (n, d), of length 1 again."""
    mean = np.mean(faces, axis=0)
    result: Floats = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return result
