"""Cutting a part off a split to select on, for datasets that have none."""

import hashlib

import numpy as np
import numpy.typing as npt

from ferlab.data.images import FileImages

HEAD = 1 << 16  # bytes of each file that are compared; aligned faces are smaller, and of a photograph they tell enough


def stratified_cut(
    labels: npt.NDArray[np.int64], copies: npt.NDArray[np.int64], share: float, seed: int
) -> npt.NDArray[np.int64]:
    """The rows to hold out: the same share of every class, drawn at random, with copies of a face on the same side.

    Copies count once, in the class of the first of them. Of a class with n faces round(share · n) are held out, at
    least one and at most n - 1, and with them their copies. The draw of a class depends on the seed and the order of
    its own faces alone, and a larger share holds out the same faces and more.

    Args:
        labels: (n,) class ids; -1, for no class, counts as one.
        copies: (n,) for each row the first one with the same picture, as `first_copies` gives them.
        share: above 0 and below 1.
        seed: of the draw.

    Returns:
        (m,) rows, rising.
    """
    firsts = np.flatnonzero(copies == np.arange(len(copies)))
    held = [np.empty(0, np.int64)]
    for label in np.unique(labels[firsts]):
        rows = firsts[labels[firsts] == label]
        number = min(max(1, round(share * len(rows))), len(rows) - 1)
        rng = np.random.default_rng([seed, int(label) + 1])  # a seed takes no -1
        held.append(rng.permutation(rows)[:number])
    return np.flatnonzero(np.isin(copies, np.concatenate(held)))


def first_copies(images: FileImages) -> npt.NDArray[np.int64]:
    """For each file the position of the first one with the same size and the same HEAD bytes, (n,); reads them all.

    Raises:
        DataError: a file that cannot be read.
    """
    seen: dict[tuple[int, bytes], int] = {}
    return np.fromiter((seen.setdefault(_key(images, i), i) for i in range(len(images))), np.int64, len(images))


def _key(images: FileImages, i: int) -> tuple[int, bytes]:
    return images.size(i), hashlib.sha1(images.content(i, HEAD), usedforsecurity=False).digest()
