"""What Chromium plays as its camera: drawn faces that change, and in each frame its number as a strip of blocks."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from ferlab.data.drawn import Looks, draw
from ferlab.data.synthetic import PROTOTYPES
from ferlab.spec import Image

FPS = 30  # at which Chromium plays such a file, in a circle
# At the lower edge, from left to right: white, sixteen bits of the number, two of how many of these are set, black.
BLOCKS, BITS = 20, 16
STRIP = 1 / 15  # of the height
# The brightness of each block of a canvas or a video, 0 to 255, as `number_of` takes it. It is looked up on a canvas of
# its own, so that the page's stays as fast as it is.
LEVELS = f"""(() => {{
  const probe = new OffscreenCanvas({BLOCKS}, 1).getContext("2d", {{willReadFrequently: true}});
  probe.imageSmoothingEnabled = false;
  return (source) => {{
    const width = source.videoWidth ?? source.width, height = source.videoHeight ?? source.height;
    probe.drawImage(source, 0, Math.floor(height * (1 - {STRIP} / 2)), width, 1, 0, 0, {BLOCKS}, 1);
    const {{data}} = probe.getImageData(0, 0, {BLOCKS}, 1);
    return Array.from({{length: {BLOCKS}}}, (_, i) => data[4 * i]);
  }};
}})()"""
# Both detectors find this face, and the model in the box tells its surprise from its rest.
LOOKS = Looks(
    (250, 221, 200), (28, 24, 24), (70, 45, 30), (60, 80, 120), (180, 180, 180),
    head_width=0.79, jaw=0.39, hairline=-0.7, brow_weight=0.1,
)  # fmt: skip
SHOWN = ("neutral", "surprise")
SHOWN_S = 2.0  # of each


def write(path: Path, frames: Iterable[Image], quality: int = 90) -> Path:
    """A file for Chromium of pictures (h, w, 3) uint8 RGB: JPEGs, one after another."""
    with path.open("wb") as file:
        for image in frames:
            file.write(cv2.imencode(".jpg", image[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))[1].data)
    return path


def write_clip(path: Path, seconds: float) -> Path:
    """A video for OpenCV of the drawn face, from its first frame on as often as it takes."""
    frames = list(drawn())
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (width, height))
    for number in range(round(seconds * FPS)):
        writer.write(frames[number % len(frames)][:, :, ::-1])
    writer.release()
    return path


def drawn(
    width: int = 320,
    height: int = 240,
    labels: Sequence[str] = SHOWN,
    seconds: float = SHOWN_S,
    numbers: bool = True,
) -> Iterator[Image]:
    """A face left of the middle that sways a little and shows each label in turn; frames are numbered from 0."""
    side = min(width, height) * 4 // 5
    faces = [draw(PROTOTYPES[label], LOOKS, side, np.random.default_rng(0)) for label in labels]
    each = round(seconds * FPS)
    for number in range(len(labels) * each):
        image = np.full((height, width, 3), LOOKS.background, np.uint8)
        left = round((width - side) * (0.2 + 0.1 * np.sin(2 * np.pi * number / each)))
        top = (height - side) // 3
        image[top : top + side, left : left + side] = faces[number // each]
        yield numbered(image, number) if numbers else image


def numbered(image: Image, number: int) -> Image:
    """The picture with the strip of this number, from 0 to 65,535, in its lower edge; changed in place."""
    height, width = image.shape[:2]
    bits = [number >> i & 1 for i in reversed(range(BITS))]
    blocks = [1, *bits, sum(bits) >> 1 & 1, sum(bits) & 1, 0]
    across = np.arange(width) * BLOCKS // width
    image[round(height * (1 - STRIP)) :] = 255 * np.array(blocks, np.uint8)[across][None, :, None]
    return image


def number_of(levels: Sequence[float]) -> int | None:
    """The number in the brightness of a strip's blocks, mirrored or not; None if there is none."""
    blocks = [level > 127 for level in levels]
    if not blocks[0]:
        blocks.reverse()
    bits = blocks[1 : 1 + BITS]
    if not blocks[0] or blocks[-1] or sum(bits) % 4 != 2 * blocks[-3] + blocks[-2]:
        return None
    return sum(bit << i for i, bit in enumerate(reversed(bits)))


def number_in(image: Image) -> int | None:
    """The number in a picture's strip; None if there is none."""
    height, width = image.shape[:2]
    columns = ((np.arange(BLOCKS) + 0.5) * width / BLOCKS).astype(int)
    return number_of(image[int(height * (1 - STRIP / 2)), columns].mean(1).tolist())
