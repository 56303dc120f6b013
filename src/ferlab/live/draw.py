"""Boxes, labels and numbers on a picture, in the emotions' colours."""

from collections.abc import Sequence
from functools import cache

import matplotlib
import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

from ferlab.errors import printable
from ferlab.labels import COLOURS
from ferlab.runner import Prediction
from ferlab.spec import Image

OTHER = "#0B7285"  # of labels that are no emotions
SHARE = 28  # of the picture's shorter side: the height of the text, and of the smallest


def annotate(image: Image, boxes: Sequence[Sequence[float]], answers: Sequence[Prediction]) -> Image:
    """A copy of a picture with a box and the likeliest label of every face.

    Args:
        image: (h, w, 3) uint8 RGB.
        boxes: left, top, width and height of each face, in pixels.
        answers: of the model, one a face.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    picture = Pictures.fromarray(image)
    pen = ImageDraw.Draw(picture)
    size = max(11, min(image.shape[:2]) // SHARE)
    for box, answer in zip(boxes, answers, strict=True):
        left, top, width, height = box
        colour = COLOURS.get(answer.label or "", OTHER)
        pen.rectangle((left, top, left + width, top + height), outline=colour, width=max(2, size // 6))
        _write(pen, said(answer), left, top, colour, size, image.shape[1])
    return np.asarray(picture)


def said(answer: Prediction) -> str:
    """The likeliest label with its probability, and valence and arousal, in a few characters."""
    parts = [f"{printable(answer.label)} {100 * answer.expression[answer.label]:.0f} %"] if answer.label else []
    affect = {"V": answer.valence, "A": answer.arousal}
    return "  ".join(parts + [f"{name} {value:+.2f}" for name, value in affect.items() if value is not None])


def _write(pen: ImageDraw.ImageDraw, text: str, left: float, top: float, colour: str, size: int, width: int) -> None:
    """White text on a ground of `colour`, above the point, or below it where the picture ends; always inside."""
    letters = _font(size)
    ground = size + size // 2
    wide = pen.textlength(text, font=letters) + size // 2
    x = max(0.0, min(left, width - wide))
    y = top - ground if top >= ground else max(top, 0.0)
    pen.rectangle((x, y, x + wide, y + ground), fill=colour)
    pen.text((x + size // 4, y + ground / 2), text, fill="white", font=letters, anchor="lm")


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # OpenCV's own letters are ASCII alone; these come with matplotlib.
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
