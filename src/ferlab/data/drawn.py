"""One drawn face: what its features do, what it looks like, how it is drawn, and the affect that follows from it.

Positions are in head units: the origin is the middle of the head, x runs right, y down, and the chin is at y = 1.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.spec import Image

Points = npt.NDArray[np.float64]
Colour = tuple[float, float, float]
SUPERSAMPLING = 2  # drawn at twice the size with antialiased edges, then averaged
SHIFT = 4  # cv2 takes points in sixteenths of a pixel
_ANGLES = np.linspace(0, 2 * np.pi, 28, endpoint=False)
CIRCLE: Points = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)
ALONG: Points = np.linspace(-1, 1, 11)  # from one corner of an eye or of the mouth to the other
ARCH: Points = 1 - ALONG**2
EYES, EYE_HALF, EYE_LEVEL = (-0.33, 0.33), 0.17, -0.12  # x of the middles, half the width, y of the corners


@dataclass(frozen=True, slots=True)
class Expression:
    """What the features do; all zeros but `eyes` = 0.5 is a face at rest.

    Attributes:
        curve: corners of the mouth, -1 down to 1 up.
        opening: of the mouth, 0 to 1.
        width: of the mouth, -1 narrow to 1 wide.
        brow_height: -1 lowered to 1 raised.
        brow_angle: -1 inner ends up (sorrow) to 1 inner ends down (anger).
        eyes: upper lids, 0 shut to 1 wide open.
        lids: lower lids, 0 relaxed to 1 pushed up.
        wrinkle: of the nose, 0 to 1.
        smirk: one corner of the mouth pulled up, -1 left to 1 right in the picture.
    """

    curve: float = 0.0
    opening: float = 0.0
    width: float = 0.0
    brow_height: float = 0.0
    brow_angle: float = 0.0
    eyes: float = 0.5
    lids: float = 0.0
    wrinkle: float = 0.0
    smirk: float = 0.0

    @property
    def valence(self) -> float:
        """0.9 curve - 0.3 |brow_angle| - 0.3 wrinkle - 0.5 |smirk|, cut to [-1, 1]: a smile is all that pleases."""
        value = 0.9 * self.curve - 0.3 * abs(self.brow_angle) - 0.3 * self.wrinkle - 0.5 * abs(self.smirk)
        return max(-1.0, min(1.0, value))

    @property
    def arousal(self) -> float:
        """How far the features are from rest, cut to [-1, 1]; only drooping lids calm.

        0.6 opening + 0.8 (eyes - 0.5) + 0.2 max(brow_height, 0) + 0.5 max(brow_angle, 0) + 0.3 max(curve, 0)
        + 0.4 wrinkle + 0.3 |smirk|.
        """
        value = 0.6 * self.opening + 0.8 * (self.eyes - 0.5) + 0.2 * max(self.brow_height, 0.0)
        value += 0.5 * max(self.brow_angle, 0.0) + 0.3 * max(self.curve, 0.0) + 0.4 * self.wrinkle
        return max(-1.0, min(1.0, value + 0.3 * abs(self.smirk)))


@dataclass(frozen=True, slots=True)
class Looks:
    """What does not depend on the expression.

    Attributes:
        skin, hair, iris, shirt, background: RGB, 0-255.
        head_width: half the head's width, in head units.
        jaw: how much it narrows, 0 to 1.
        clutter: discs behind the head: x, y, radius, and how light, each.
        hairline: y of the fringe, in head units; above -1 is bald.
        long_hair: whether it falls beside the face.
        glasses: whether there are any.
        brow_weight: thickness of the brows, in head units.
        gaze: x and y of the pupils, -1 to 1.
        yaw, pitch, roll: of the head, in radians.
        scale: half the head's height, as a fraction of half the picture.
        shift: of the head, x and y, as a fraction of half the picture.
        light: angle of the light in the picture in radians, and its strength, 0 to 1.
        exposure: factor on all pixels.
        noise: standard deviation of the sensor, in grey levels.
    """

    skin: Colour
    hair: Colour
    iris: Colour
    shirt: Colour
    background: Colour
    clutter: tuple[tuple[float, float, float, float], ...] = ()
    head_width: float = 0.74
    jaw: float = 0.3
    hairline: float = -0.6
    long_hair: bool = False
    glasses: bool = False
    brow_weight: float = 0.07
    gaze: tuple[float, float] = (0.0, 0.0)
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 0.85
    shift: tuple[float, float] = (0.0, 0.0)
    light: tuple[float, float] = (0.0, 0.0)
    exposure: float = 1.0
    noise: float = 0.0


def draw(expression: Expression, looks: Looks, size: int, rng: np.random.Generator) -> Image:
    """The face, (size, size, 3) uint8 RGB; `rng` gives the sensor's noise."""
    side = size * SUPERSAMPLING
    canvas: Any = np.empty((side, side, 3), np.uint8)
    canvas[:] = np.array(looks.background, np.uint8)
    pen = Pen(canvas, looks)
    for x, y, radius, lightness in looks.clutter:
        pen.fill(CIRCLE * radius + (x, y), shade(looks.background, lightness), flat=True)
    _head(pen, looks)
    for middle in EYES:
        _eye(pen, middle, expression, looks)
        _brow(pen, middle, expression, looks)
    _nose(pen, expression, looks)
    _mouth(pen, expression, looks)
    if looks.glasses:
        for middle in EYES:
            pen.line(CIRCLE * (0.24, 0.2) + (middle, -0.12), (40, 40, 45), 0.03, closed=True)
        pen.line(np.array([(-0.1, -0.14), (0.1, -0.14)]), (40, 40, 45), 0.03)
    return _photograph(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA), looks, size, rng)


def landmarks(expression: Expression, looks: Looks, size: int) -> Points:
    """The 68 points of iBUG (Sagonas et al. 2013) on the face that `draw` draws, (68, 2) x and y in pixels.

    Eyes, tip of the nose and corners of the mouth are those that are drawn; the rest is roughly so.
    """
    fifth, third = np.linspace(-1, 1, 5), np.array([-1, -1 / 3, 1 / 3, 1])
    angles = np.linspace(np.pi, 0, 17)  # from ear to ear over the chin
    jaw = np.stack([looks.head_width * np.cos(angles), np.sin(angles)], 1) * (1, 0.98)
    brows = [np.stack([middle + 0.22 * fifth, np.full(5, -0.42 - 0.13 * expression.brow_height)], 1) for middle in EYES]
    bridge = np.stack([np.zeros(4), np.linspace(EYE_LEVEL, _tip(expression) + 0.05, 4)], 1)
    nostrils = np.stack([0.13 * fifth, 0.24 + 0.05 * (1 - fifth**2)], 1)
    eyes = []
    for middle in EYES:
        above, below = _lids(expression, third)
        x = middle + EYE_HALF * third
        eyes += [np.stack([x, above], 1), np.stack([x, below], 1)[2:0:-1]]
    around = np.linspace(np.pi, 3 * np.pi, 12, endpoint=False)  # from the left corner over the upper lip
    corners = _lips(expression)[[0, -1]]
    x = corners[1, 0] * np.cos(around)
    lips = np.stack([x, np.interp(x, *corners.T) + 0.1 * np.sin(around)], 1)
    inner = lips[[0, 2, 3, 4, 6, 8, 9, 10]] * (0.8, 1)
    points = np.concatenate([jaw, *brows, bridge, nostrils, *eyes, lips, inner])
    return Pen(np.empty((size * SUPERSAMPLING, 0, 3), np.uint8), looks).pixels(points)


class Pen:
    """Draws head units onto a canvas, (side, side, 3) uint8, in place."""

    def __init__(self, canvas: Any, looks: Looks) -> None:
        self.canvas = canvas
        half = len(canvas) / 2
        self.unit = looks.scale * half  # pixels a head unit
        c, s = np.cos(looks.roll) * self.unit, np.sin(looks.roll) * self.unit
        self.flat = np.array([(c, s), (-s, c)]) * (1 << SHIFT)
        self.origin = (half + np.array(looks.shift) * half - 0.5) * (1 << SHIFT)
        self.turned = np.diag((np.cos(looks.yaw), np.cos(looks.pitch))) @ self.flat
        self.towards = np.array([(np.sin(looks.yaw), np.sin(looks.pitch))]) @ self.flat * looks.head_width
        self.bulge = np.array([(looks.head_width**-2,), (0.64,)])  # the front of the head is an ellipsoid

    def fill(self, points: Points, colour: Colour, flat: bool = False) -> None:
        """Fill the polygon `points`, (m, 2); `flat` for the outline of the head, which turning leaves alone."""
        cv2.fillPoly(self.canvas, [self._place(points, flat)], colour, cv2.LINE_AA, SHIFT)

    def line(self, points: Points, colour: Colour, width: float, closed: bool = False) -> None:
        """Draw the line through `points`, (m, 2), `width` head units wide."""
        pixels = max(1, round(width * self.unit))
        cv2.polylines(self.canvas, [self._place(points, False)], closed, colour, pixels, cv2.LINE_AA, SHIFT)

    def pixels(self, points: Points) -> Points:
        """Where `points` lie in the finished picture, (m, 2) x and y in pixels; a pixel's middle is a whole number."""
        return (self._place(points, False) / (1 << SHIFT) + 0.5) / SUPERSAMPLING - 0.5

    def _place(self, points: Points, flat: bool) -> npt.NDArray[np.int32]:
        """Turn the head, unless `flat`, then roll, scale and shift it: cv2's fixed-point pixels, (m, 2)."""
        if flat:
            placed = points @ self.flat
        else:
            depth = np.sqrt(np.maximum(1 - points**2 @ self.bulge, 0.0))
            placed = points @ self.turned + depth * self.towards
        pixels: npt.NDArray[np.int32] = np.rint(placed + self.origin).astype(np.int32)
        return pixels


def shade(colour: Colour, factor: float) -> Colour:
    """`colour`, lighter or darker."""
    return (min(255.0, colour[0] * factor), min(255.0, colour[1] * factor), min(255.0, colour[2] * factor))


def _head(pen: Pen, looks: Looks) -> None:
    width = looks.head_width
    has_hair = looks.hairline > -1
    if has_hair and looks.long_hair:
        locks = np.sign(CIRCLE) * np.abs(CIRCLE) ** 0.7  # squarer than an ellipse
        pen.fill(locks * (width + 0.13, 1.05) + (0, -0.02), looks.hair, flat=True)
    elif has_hair:
        pen.fill(CIRCLE * (width + 0.07, 0.75) + (0, -0.37), looks.hair, flat=True)
    pen.fill(np.array([(-0.32, 0.6), (0.32, 0.6), (0.36, 1.4), (-0.36, 1.4)]), shade(looks.skin, 0.8), flat=True)
    pen.fill(CIRCLE * (1.2, 0.7) + (0, 1.75), looks.shirt, flat=True)
    for side in (-1, 1):
        pen.fill(CIRCLE * (0.1, 0.17) + (side * width, -0.02), shade(looks.skin, 0.88), flat=True)
    outline = CIRCLE.copy()
    outline[:, 0] *= width * (1 - looks.jaw * 0.6 * np.maximum(outline[:, 1], 0) ** 2)
    pen.fill(outline, looks.skin, flat=True)
    if has_hair:
        top = outline[outline[:, 1] <= looks.hairline + 0.05] * 1.04
        fringe = np.array([(0.35 * width, looks.hairline - 0.05), (-0.3 * width, looks.hairline + 0.05)])
        pen.fill(np.concatenate([top, fringe]) if len(top) else fringe, looks.hair, flat=True)


def _eye(pen: Pen, middle: float, expression: Expression, looks: Looks) -> None:
    above, below = _lids(expression, ALONG)
    x = middle + EYE_HALF * ALONG
    upper, lower = np.stack([x, above], 1), np.stack([x, below], 1)
    pen.fill(np.concatenate([upper, lower[::-1]]), (235, 232, 228))
    for radius, colour in ((0.09, looks.iris), (0.04, (15.0, 12.0, 12.0))):  # cut by the lids, as eyes are
        disc = CIRCLE * radius + (middle + 0.06 * looks.gaze[0], EYE_LEVEL - 0.03 + 0.03 * looks.gaze[1])
        disc[:, 1] = np.clip(disc[:, 1], np.interp(disc[:, 0], x, above), np.interp(disc[:, 0], x, below))
        pen.fill(disc, colour)
    pen.line(upper, shade(looks.skin, 0.3), 0.035)
    lower[:, 1] += 0.01
    pen.line(lower, shade(looks.skin, 0.75 - 0.2 * expression.lids), 0.02)


def _lids(expression: Expression, along: Points) -> tuple[Points, Points]:
    """The height of the upper and the lower lid at `along`, -1 to 1 from one corner to the other."""
    arch = 1 - along**2
    above = EYE_LEVEL - (0.015 + 0.15 * expression.eyes) * arch
    below = EYE_LEVEL + 0.075 * (1 - 0.85 * expression.lids) * arch
    return above, below


def _brow(pen: Pen, middle: float, expression: Expression, looks: Looks) -> None:
    inward = -ALONG * np.sign(middle)  # -1 at the temple, 1 at the nose
    x = middle + 0.22 * ALONG
    y = -0.42 - 0.13 * expression.brow_height + 0.11 * expression.brow_angle * inward - 0.04 * ARCH
    pen.line(np.stack([x, y], 1), shade(looks.hair, 0.75), looks.brow_weight)


def _nose(pen: Pen, expression: Expression, looks: Looks) -> None:
    dark = shade(looks.skin, 0.68)
    tip = _tip(expression)
    pen.line(np.array([(-0.05, -0.08), (-0.08, 0.1), (-0.13, tip), (0.0, tip + 0.05), (0.13, tip)]), dark, 0.03)
    if expression.wrinkle > 0.1:
        crease = shade(looks.skin, 1 - 0.45 * expression.wrinkle)
        for y in (-0.22, -0.12):
            pen.line(np.array([(-0.09, y), (0.0, y - 0.04), (0.09, y)]), crease, 0.03)
        for side in (-1, 1):
            pen.line(np.array([(side * 0.18, tip - 0.03), (side * 0.34, tip + 0.2)]), crease, 0.035)


def _tip(expression: Expression) -> float:
    """How low the wings of the nose are; its tip is 0.05 lower."""
    return 0.24 - 0.05 * expression.wrinkle


def _mouth(pen: Pen, expression: Expression, looks: Looks) -> None:
    x, middle = _lips(expression).T
    above = middle - 0.09 * expression.opening * ARCH
    below = middle + 0.26 * expression.opening * ARCH
    lips = np.stack([np.r_[x, x[::-1]], np.r_[above - 0.05 * ARCH, (below + 0.07 * ARCH)[::-1]]], 1)
    red = (min(255.0, 0.86 * looks.skin[0]), 0.52 * looks.skin[1], 0.55 * looks.skin[2])
    pen.fill(lips, red)
    if expression.opening > 0.08:
        pen.fill(np.stack([np.r_[x, x[::-1]], np.r_[above, below[::-1]]], 1), (60, 18, 22))
        teeth = np.minimum(above + 0.08, below)
        pen.fill(np.stack([np.r_[x, x[::-1]], np.r_[above, teeth[::-1]]], 1), (228, 224, 214))
    else:
        pen.line(np.stack([x, middle], 1), shade(red, 0.45), 0.03)


def _lips(expression: Expression) -> Points:
    """The line between the lips, from corner to corner, (11, 2)."""
    x = 0.29 * (1 + 0.35 * expression.width) * ALONG
    middle = 0.54 + 0.17 * expression.curve * (0.45 - ALONG**2)
    middle = middle - 0.2 * abs(expression.smirk) * np.maximum(ALONG * np.sign(expression.smirk), 0) ** 2
    return np.stack([x, middle], 1)


@lru_cache(maxsize=4)
def _grid(size: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Columns x (1, size) and rows y (size, 1) of the pixels, from -1 to 1."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    return line[None], line[:, None]


def _photograph(picture: Any, looks: Looks, size: int, rng: np.random.Generator) -> Image:
    """Light that falls off across the picture, exposure and the sensor's noise."""
    x, y = _grid(size)
    angle, strength = looks.light
    fall = np.float32(looks.exposure) * (1 + np.float32(0.7 * strength) * (np.cos(angle) * x + np.sin(angle) * y))
    values = picture * fall.astype(np.float32)[..., None]
    values += rng.standard_normal((size, size, 1), np.float32) * np.float32(looks.noise)
    result: Image = np.clip(values, 0, 255).astype(np.uint8)
    return result
