"""Drawn faces, so that everything can be tried without a download. A score on them says nothing about real faces."""

import hashlib
from dataclasses import astuple, dataclass
from math import prod

import numpy as np

from ferlab.data.drawn import Colour, Expression, Looks, draw
from ferlab.data.source import SPLITS, Source, Split, SplitName
from ferlab.errors import ConfigError
from ferlab.labels import COMPOUND, FERPLUS
from ferlab.spec import Image

# What the features do at full strength, after the action units of Ekman and Friesen's prototypes (1978).
PROTOTYPES: dict[str, Expression] = {
    "neutral": Expression(),
    "happiness": Expression(curve=0.9, opening=0.4, width=0.6, brow_height=0.1, eyes=0.45, lids=0.6),
    "surprise": Expression(opening=0.8, width=-0.4, brow_height=0.9, eyes=0.95),
    "sadness": Expression(curve=-0.7, width=-0.2, brow_height=0.1, brow_angle=-0.8, eyes=0.25),
    "anger": Expression(curve=-0.5, opening=0.1, brow_height=-0.7, brow_angle=0.9, eyes=0.6, lids=0.3, wrinkle=0.2),
    "disgust": Expression(-0.45, 0.25, -0.1, brow_height=-0.4, brow_angle=0.4, eyes=0.3, lids=0.6, wrinkle=0.9),
    "fear": Expression(curve=-0.45, opening=0.5, width=0.4, brow_height=0.7, brow_angle=-0.7, eyes=0.95),
    "contempt": Expression(curve=0.05, brow_angle=0.1, eyes=0.45, lids=0.1, smirk=0.85),
}
# Shares of the classes: imbalanced as real faces are, if less.
SHARES: dict[str, float] = {
    "neutral": 0.20, "happiness": 0.20, "surprise": 0.14, "sadness": 0.13,
    "anger": 0.12, "disgust": 0.07, "fear": 0.08, "contempt": 0.06,
}  # fmt: skip
REST = np.array(astuple(Expression()))
LOWEST = np.array([-1, 0, -1, -1, -1, 0, 0, 0, -1.0])
SKINS: tuple[Colour, ...] = (
    (250, 221, 200), (238, 195, 165), (215, 165, 130), (178, 124, 88), (135, 90, 64), (98, 65, 48),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = ((28, 24, 24), (62, 42, 32), (105, 70, 45), (165, 120, 70), (150, 70, 40), (165, 165, 165))
IRISES: tuple[Colour, ...] = ((70, 45, 30), (95, 65, 35), (70, 105, 75), (75, 110, 150))


@dataclass(frozen=True)
class DrawnImages:
    """Drawn faces in memory.

    Attributes:
        pixels: (n, size, size, 3) uint8 RGB.
        title: of the collection, for names.
    """

    pixels: Image
    title: str

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, i: int) -> Image:
        picture: Image = self.pixels[i].copy()
        return picture

    def name(self, i: int) -> str:
        return f"{self.title}:{i}"

    def digest(self) -> str:
        return hashlib.sha256(self.pixels.data).hexdigest()


def synthetic(train: int = 2048, validation: int = 512, test: int = 512, size: int = 48, seed: int = 0) -> Source:
    """Faces drawn from a class, with valence and arousal that follow from the drawing.

    Face i of a split depends on the seed, the split and i alone, so a longer split begins with the shorter one.

    Args:
        train, validation, test: number of faces; 0 leaves the split out.
        size: height and width of the pictures, in pixels.
        seed: of everything.

    Raises:
        ConfigError: a negative number, no face at all, or a size outside 16 to 1024.
    """
    numbers: dict[SplitName, int] = {"train": train, "validation": validation, "test": test}
    if min(numbers.values()) < 0 or not any(numbers.values()):
        raise ConfigError(f"synthetic needs 0 or more faces a split and one at least, got {list(numbers.values())}")
    if not 16 <= size <= 1024:
        raise ConfigError(f"data.size must be 16 to 1024 pixels, got {size}")
    if seed < 0:
        raise ConfigError(f"data.seed must be 0 or more, got {seed}")
    return Source(
        name="synthetic",
        labels=FERPLUS,
        splits={name: draw_split(name, n, size, seed) for name, n in numbers.items() if n},
        absent={name: f"data.{name} is 0" for name, n in numbers.items() if not n},
        protocol=f"drawn faces, 8 classes, {size} px, seed {seed}; a score on them says nothing about real faces",
        licence="drawn by ferlab; Apache-2.0",
        origin="drawn by a program: on real faces the model is worth nothing",
        mapping={name: name for name in FERPLUS},
        official={name: n for name, n in numbers.items() if n},
    )


def draw_split(name: SplitName, n: int, size: int, seed: int, labels: tuple[str, ...] = FERPLUS) -> Split:
    """`n` faces of the classes `labels`, basic or compound, with affect."""
    pixels = np.empty((n, size, size, 3), np.uint8)
    ids = np.empty(n, np.int64)
    affect = np.empty((n, 2), np.float32)
    for i in range(n):
        rng = face_rng(name, i, seed)
        ids[i], expression, looks = sample_face(labels, rng)
        pixels[i] = draw(expression, looks, size, rng)
        affect[i] = expression.valence, expression.arousal
    return Split(name, DrawnImages(pixels, f"synthetic seed {seed} {name}"), ids, affect=affect)


def face_rng(split: SplitName, i: int, seed: int) -> np.random.Generator:
    """The source of chance of one face."""
    return np.random.default_rng((seed, SPLITS.index(split), i))


def sample_face(labels: tuple[str, ...], rng: np.random.Generator) -> tuple[int, Expression, Looks]:
    """A class, as its position in `labels`, and what a face of it does and looks like.

    A compound class is as frequent, beside the others, as its two basic ones are together by chance.
    """
    bounds = np.cumsum([prod(SHARES[part] for part in COMPOUND.get(label, (label,))) for label in labels])
    i = int(np.searchsorted(bounds, rng.random() * bounds[-1], side="right"))
    return i, sample_expression(labels[i], rng), sample_looks(rng)


def sample_expression(label: str, rng: np.random.Generator) -> Expression:
    """One person's way to show `label`: anything from a hint of the prototype to more of it, with a habit of its own.

    The prototype of a compound class lies half-way between those of its two basic ones.
    The habits are small where a class is told by the feature alone: the smirk of contempt, the nose of disgust.
    """
    prototype = np.mean([astuple(PROTOTYPES[part]) for part in COMPOUND.get(label, (label,))], axis=0)
    strength = rng.uniform(0.6, 1.15)
    habit = rng.normal(0, 1, len(REST)) * (0.16, 0.08, 0.3, 0.25, 0.18, 0.1, 0.12, 0.05, 0.06)
    values = np.clip(REST + strength * (prototype - REST) + habit, LOWEST, 1)
    if rng.random() < 0.5:
        values[-1] *= -1
    return Expression(*values.tolist())


def sample_looks(rng: np.random.Generator) -> Looks:
    """A person, a pose and a light."""
    normal = rng.standard_normal(8).clip(-2.5, 2.5).tolist()
    u = rng.random(33).tolist()
    tint = rng.uniform(0.94, 1.06, 3).tolist()
    skin = SKINS[int(u[0] * len(SKINS))]
    hair = HAIRS[int(u[1] * len(HAIRS))]
    return Looks(
        skin=(min(255, skin[0] * tint[0]), min(255, skin[1] * tint[1]), min(255, skin[2] * tint[1])),
        hair=(hair[0] * tint[2], hair[1] * tint[2], hair[2] * tint[2]),
        iris=IRISES[int(u[2] * len(IRISES))],
        shirt=(30 + 200 * u[3], 30 + 200 * u[4], 30 + 200 * u[5]),
        background=(30 + 150 * u[20] + 50 * u[6], 30 + 150 * u[20] + 50 * u[7], 30 + 150 * u[20] + 50 * u[8]),
        clutter=tuple(
            (3 * a - 1.5, 3 * b - 1.5, 0.3 + c, 0.3 + 1.4 * d) for a, b, c, d in (u[21:25], u[25:29], u[29:33])
        ),
        head_width=0.68 + 0.12 * u[9],
        jaw=0.15 + 0.45 * u[10],
        hairline=-1.5 if u[11] < 0.1 else -0.8 + 0.22 * u[12],
        long_hair=u[13] < 0.4,
        glasses=u[14] < 0.12,
        brow_weight=0.05 + 0.05 * u[15],
        gaze=(0.5 * normal[0], 0.4 * normal[1]),
        yaw=0.16 * normal[2],
        pitch=0.08 * normal[3],
        roll=0.09 * normal[4],
        scale=0.86 + 0.05 * normal[5],
        shift=(0.04 * normal[6], 0.05 + 0.04 * normal[7]),
        light=(2 * np.pi * u[16], 0.6 * u[17]),
        exposure=0.7 + 0.35 * u[18],
        noise=2 + 7 * u[19] ** 2,
    )
