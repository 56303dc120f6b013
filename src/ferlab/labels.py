"""Emotion names: the canonical vocabulary, the aliases that datasets use, and maps between label sets by name.

Ids never travel between datasets: FER2013, FER+, RAF-DB, AffectNet and alphabetical folders all order their classes
differently, so a label is its canonical name and an id means something only beside the tuple of names that it indexes.
"""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ferlab.errors import LabelError, suggest

FER2013 = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
FERPLUS_7 = FERPLUS[:7]
RAFDB = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
AFFECTNET = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
AFFECTNET_7 = AFFECTNET[:7]
AFFECT = ("valence", "arousal")  # what the affect head answers, in this order
# RAF-DB's compound emotions (Li et al. 2017) in its order, and the two basic ones that each is made of.
COMPOUND: dict[str, tuple[str, str]] = {
    "happily surprised": ("happiness", "surprise"),
    "happily disgusted": ("happiness", "disgust"),
    "sadly fearful": ("sadness", "fear"),
    "sadly angry": ("sadness", "anger"),
    "sadly surprised": ("sadness", "surprise"),
    "sadly disgusted": ("sadness", "disgust"),
    "fearfully angry": ("fear", "anger"),
    "fearfully surprised": ("fear", "surprise"),
    "angrily surprised": ("anger", "surprise"),
    "angrily disgusted": ("anger", "disgust"),
    "disgustedly surprised": ("disgust", "surprise"),
}
RAFDB_COMPOUND = tuple(COMPOUND)

# Canonical name -> other spellings seen in datasets, papers and folders. Compared in lower case, with runs of spaces,
# hyphens and underscores as one space.
ALIASES: dict[str, tuple[str, ...]] = {
    "neutral": ("neutrality", "natural", "calm"),
    "happiness": ("happy", "joy", "happily"),
    "surprise": ("surprised", "suprise", "surprize"),
    "sadness": ("sad", "sadly"),
    "anger": ("angry", "angrily"),
    "disgust": ("disgusted",),
    "fear": ("fearful", "afraid", "scared", "fearfully"),
    "contempt": ("contemptuous",),
}
CANONICAL = {alias: name for name, others in ALIASES.items() for alias in (name, *others)} | {n: n for n in COMPOUND}

# One colour a name, readable on white and by the colour-blind (Okabe and Ito 2008, with two greys).
COLOURS: dict[str, str] = {
    "neutral": "#777777", "happiness": "#E69F00", "surprise": "#56B4E9", "sadness": "#0072B2",
    "anger": "#D55E00", "disgust": "#009E73", "fear": "#CC79A7", "contempt": "#4D4D4D",
}  # fmt: skip


def _between(first: str, second: str) -> str:
    """The colour two fifths of the way from the first to the second, so that a pair and its reverse differ."""
    a, b = (int(COLOURS[name][1:], 16) for name in (first, second))
    return "#" + "".join(f"{round(0.6 * (a >> shift & 255) + 0.4 * (b >> shift & 255)):02X}" for shift in (16, 8, 0))


COLOURS |= {name: _between(*parts) for name, parts in COMPOUND.items()}


def canonical(name: str) -> str:
    """The canonical emotion name for any known spelling of it.

    Raises:
        LabelError: it is no text, or the name is not known; the message names the nearest one.
    """
    if not isinstance(name, str):  # from a file, where anything may stand
        raise LabelError(f"label must be an emotion name, got {name!r}; one of: {', '.join(ALIASES)}")
    folded = _folded(name)
    if folded not in CANONICAL:
        near = suggest(folded, CANONICAL) if len(folded) > 2 else ""
        near = near if near.startswith("did you mean") else "one of: " + ", ".join(ALIASES)
        raise LabelError(f"label must be an emotion name, got '{name}'; {near}")
    return CANONICAL[folded]


def canonical_set(names: Sequence[str]) -> tuple[str, ...]:
    """The canonical names of `names`, in their order; two spellings of one emotion are a LabelError."""
    result = tuple(canonical(name) for name in names)
    for i, name in enumerate(result):
        if name in result[:i]:
            first = names[result.index(name)]
            raise LabelError(f"labels must differ, got '{first}' and '{names[i]}', both '{name}'; keep one of them")
    return result


def check_labels(names: Sequence[str]) -> None:
    """Raise unless `names` are canonical emotion names or names of one's own, all different.

    A name of one's own is printable text of at most 64 characters that is no other spelling of an emotion: what means
    an emotion has its canonical name everywhere, or nothing could be mapped by name.

    Raises:
        LabelError: the first name that is neither.
    """
    for i, name in enumerate(names):
        if not isinstance(name, str) or not 0 < len(name) <= 64 or not name.isprintable() or name != name.strip():
            raise LabelError(f"label must be printable text of 1 to 64 characters, got {name!r}; rename it")
        if (meant := CANONICAL.get(_folded(name), name)) != name:
            raise LabelError(f"label '{name}' must have its canonical name; write '{meant}'")
        if _folded(name) in map(_folded, names[:i]):
            raise LabelError(f"labels must differ, got '{name}' twice; keep one of them")


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.strip().lower())


def class_map(source: Sequence[str], target: Sequence[str]) -> npt.NDArray[np.int64]:
    """For each name in `source` its index in `target`, shape (len(source),), -1 where `target` lacks the name.

    Names of one's own are compared as they are.
    """
    index = {CANONICAL.get(_folded(name), name): i for i, name in enumerate(target)}
    return np.array([index.get(CANONICAL.get(_folded(name), name), -1) for name in source], dtype=np.int64)
