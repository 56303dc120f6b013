"""JPEG files that decode to something else than was stored in them.

OpenCV raises for a file that ends early. One that has lost bytes in its middle, or holds others there, becomes a
picture all the same, shifted and grey from there on; libjpeg's warning goes to the descriptor of standard error alone.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ferlab.data.source import Split
from ferlab.errors import DataError

# Bytes between the picture and the end of the file are common and harm nothing, so that warning says nothing.
HARMLESS = "extraneous bytes before marker 0xd9"


@contextmanager
def listening_to_libjpeg() -> Iterator[list[str]]:
    """Keep its warnings off the terminal meanwhile; the list has those of damage once this is left."""
    said: list[str] = []
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(shown, 2)
            os.close(shown)
            kept.seek(0)
            lines = kept.read().decode(errors="replace").splitlines()
            said += [line for line in lines if "JPEG" in line and HARMLESS not in line]
            sys.stderr.writelines(f"{line}\n" for line in lines if "JPEG" not in line)


def damaged(split: Split) -> Iterator[str]:
    """One error for each picture that libjpeg warns of, one after the other, so that it is known whose a warning is."""
    for i in range(len(split)):
        with listening_to_libjpeg() as said:
            try:
                split.read(i)
            except DataError:  # it is among the unreadable
                continue
        if said:
            yield f"{split.images.name(i)} must be a whole JPEG, got {said[0]!r}; replace the file"
