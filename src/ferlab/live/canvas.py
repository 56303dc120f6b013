"""A picture to draw on: shapes by OpenCV, text of any language by PIL. A few microseconds each."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

from ferlab.errors import printable
from ferlab.spec import Image

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]  # left, top, right and bottom in pixels
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
SEEN = 0.35  # share of the picture that is seen through a panel: white text on white is readable then
LIGHT = 165  # that a light panel adds: the darkest colour of a label is seen on black then
FONT = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"  # OpenCV's own letters are ASCII alone


def rgb(code: str) -> Colour:
    """The colour of a code such as #E69F00."""
    return (int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16))


def ink(ground: Colour) -> Colour:
    """Black or white, whichever has the larger contrast on a ground (WCAG 2.2, relative luminance)."""
    linear = [((v / 255 + 0.055) / 1.055) ** 2.4 if v > 10 else v / 255 / 12.92 for v in ground]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return BLACK if luminance > 0.179 else WHITE  # where (L + 0.05) / 0.05 = 1.05 / (L + 0.05)


def overlap(first: Box, second: Box) -> bool:
    """Whether two boxes share a pixel."""
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


class Letters:
    r"""The font of a set of names: DejaVu Sans, which comes with matplotlib, else one of this machine that has them.

    Args:
        names: that will be drawn.
        say: told of names that no font here can draw; their letters are drawn as escapes, such as \u6012.
    """

    def __init__(self, names: Sequence[str] = (), say: Callable[[str], None] = lambda line: None) -> None:
        self._font = FONT
        needed = frozenset(letter for name in names for letter in printable(name))
        if needed <= _letters(FONT):
            return
        if (found := _machines_font(needed)) is not None:
            self._font = found
            return
        strange = [name for name in names if _drawn(FONT, name) != name]
        say(f"no font here has the letters of {', '.join(strange)}; pictures show escapes, {_drawn(FONT, strange[0])}")

    def mask(self, text: str, size: int) -> Image:
        """Where the ink of a text is, (h, w) uint8; a line of it is `row(size)` pixels high."""
        return _mask(self._font, text, size)

    def width(self, text: str, size: int) -> int:
        """Of a text, in pixels."""
        return int(self.mask(text, size).shape[1])

    def fitting(self, text: str, size: int, width: int) -> str:
        """The text, its end cut off where it is wider than `width` pixels."""
        while len(text) > 1 and self.width(text, size) > width:
            text = f"{text.removesuffix('…')[:-1]}…"
        return text


def row(size: int) -> int:
    """Height of a line of text, pixels."""
    return round(1.35 * size)


class Canvas:
    """Draws on a picture.

    Args:
        image: (h, w, 3) uint8 RGB, which is changed.
        letters: for its text.
    """

    def __init__(self, image: Image, letters: Letters) -> None:
        self.image, self.letters = image, letters
        self.height, self.width = image.shape[:2]

    def outline(self, box: Box, colour: Colour, width: int) -> None:
        """A box whose lines are seen on any ground: dark about the colour. It may reach out of the picture."""
        corners = (box[0], box[1]), (box[2], box[3])
        cv2.rectangle(self.image, *corners, BLACK, width + 2)
        cv2.rectangle(self.image, *corners, colour, width)

    def fill(self, box: Box, colour: Colour) -> None:
        """A filled box; its right and bottom are beyond it."""
        part = self._part(box)
        part[:] = colour

    def panel(self, box: Box, light: bool = False) -> None:
        """A dark panel, for white text, or a light one, for the labels' colours; the picture is seen through it."""
        part = self._part(box)
        if part.size:
            part[:] = cv2.convertScaleAbs(part, alpha=SEEN, beta=LIGHT if light else 0)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: int = 1) -> None:
        """A line through points."""
        cv2.polylines(self.image, [np.array(points).round().astype(np.int32)], False, colour, width, cv2.LINE_AA)

    def dot(self, point: tuple[float, float], radius: int, colour: Colour) -> None:
        """A dot, dark about the colour."""
        middle = (round(point[0]), round(point[1]))
        cv2.circle(self.image, middle, radius + 1, BLACK, -1, cv2.LINE_AA)
        cv2.circle(self.image, middle, radius, colour, -1, cv2.LINE_AA)

    def text(self, left: int, top: int, text: str, size: int, colour: Colour = WHITE) -> None:
        """Text, a line below the other; what reaches out of the picture is left out."""
        mask = self.letters.mask(text, size)
        part = self._part((left, top, left + mask.shape[1], top + mask.shape[0]))
        if part.size:
            x, y = max(0, -left), max(0, -top)
            share = mask[y : y + part.shape[0], x : x + part.shape[1], None].astype(np.uint16)
            part[:] = (part * (255 - share) + np.array(colour, np.uint16) * share + 127) // 255

    def _part(self, box: Box) -> Image:
        left, top, right, bottom = (max(0, value) for value in box)
        return self.image[top:bottom, left:right]


@cache
def _letters(font: str) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    return frozenset(map(chr, FT2Font(font).get_charmap()))


@cache
def _machines_font(needed: frozenset[str]) -> str | None:
    """The file of a font on this machine that has all these letters."""
    from matplotlib.font_manager import findSystemFonts

    for file in sorted(findSystemFonts()):
        try:
            if needed <= _letters(file):
                _loaded(file, 16)
                return file
        except (OSError, RuntimeError):  # bitmaps alone, or damaged
            continue
    return None


def _drawn(font: str, line: str) -> str:
    """A line with what the font lacks, or what could turn it around, as escapes."""
    has = _letters(font)
    return "".join(c if c in has else c.encode("unicode_escape").decode() for c in printable(line))


@cache
def _loaded(font: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font, size)


@lru_cache(4096)  # a person's numbers are of a few hundred texts
def _mask(font: str, text: str, size: int) -> Image:
    loaded, lines = _loaded(font, size), [_drawn(font, line) for line in text.split("\n")]
    width = max(1, *(int(np.ceil(loaded.getlength(line))) for line in lines))
    picture = Pictures.new("L", (width, row(size) * len(lines)))
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        pen.text((0, row(size) * (number + 0.5)), line, fill=255, font=loaded, anchor="lm")
    mask: npt.NDArray[np.uint8] = np.asarray(picture)
    return mask
