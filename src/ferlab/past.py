"""Which faces a model has seen: hashes of all that it was trained on and selected on, its parents' included.

A face is the same whatever the dataset or the split is called; see `ferlab.data.hashes`. Needs no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.data import hashes
from ferlab.data.hashes import Hashes
from ferlab.errors import BundleError

FILE = "past.bin"  # in a bundle's folder, and beside exported files
MAGIC = b"FERPAST\n"


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
        digest = hashes.pack(MAGIC, not self.whole, self.trained, self.selected)[-hashes.CHECKSUM :].hex()
        return {"digest": digest, "trained": len(self.trained), "selected": len(self.selected), "whole": self.whole}

    def write(self, file: Path) -> None:
        """Write it to `file`, atomically; OSError if that fails."""
        hashes.write(file, MAGIC, not self.whole, self.trained, self.selected)

    @classmethod
    def read(cls, file: Path) -> "Past":
        """What `write` wrote; BundleError if it is missing, damaged or something else."""
        try:
            unknown, trained, selected = hashes.read(file, MAGIC)
            for each in (trained, selected):
                if not (each[:-1] < each[1:]).all():
                    raise ValueError("its hashes must be sorted, got them in another order")
        except OSError as error:
            raise BundleError(f"cannot read {file}: {error.strerror or error}; copy the whole bundle") from error
        except ValueError as error:
            raise BundleError(f"{file} must be a whole list of faces seen: {error}; copy the bundle again") from error
        return cls(trained, selected, not unknown)


UNKNOWN = Past(hashes.NONE, hashes.NONE, whole=False)  # that of a parent which does not say


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
