"""What is left of a model's accuracy when faces come from a camera: in poor light, out of focus, far away, cut loosely.

The changes are made here of a face's own pixels, before it is prepared, and share no code with the augmentation of
`ferlab.data.augment.CameraAugment`; JPEG is in no augmentation at all. After Hendrycks & Dietterich 2019
(arXiv:1903.12261), with one strength each, chosen so that a person still names the expression.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.data.source import Split
from ferlab.evaluation.predictions import Predictions
from ferlab.runner import Runner
from ferlab.spec import Image

Change = Callable[[Image, np.random.Generator], Image]
FAR = 20  # pixels that are left of a face's side


@dataclass(frozen=True)
class Camera:
    """Scores under each change, in [0, 1].

    Attributes:
        faces: how many, the same under each.
        clean: accuracy and mean recall of the faces as they are.
        changed: change -> the same scores.
        mean_accuracy: over the changes.
    """

    faces: int
    clean: dict[str, float]
    changed: dict[str, dict[str, float]]
    mean_accuracy: float


def dark(face: Image, rng: np.random.Generator) -> Image:
    """Half of the light, and a gamma of 1.5."""
    return _pixels(127.5 * (face / 255.0) ** 1.5)


def bright(face: Image, rng: np.random.Generator) -> Image:
    """1.6 times the light; what is too bright is white."""
    return _pixels(1.6 * face.astype(np.float64))


def flat(face: Image, rng: np.random.Generator) -> Image:
    """A third of the contrast about the face's mean."""
    mean = face.mean()
    return _pixels(mean + (face - mean) / 3)


def side_light(face: Image, rng: np.random.Generator) -> Image:
    """0.3 times the light on one side to 1.7 times on the other."""
    ramp = np.linspace(0.3, 1.7, face.shape[1])[None, :, None]
    return _pixels(face * (ramp if rng.random() < 0.5 else ramp[:, ::-1]))


def unfocused(face: Image, rng: np.random.Generator) -> Image:
    """A Gaussian of 3.5 % of the side."""
    return cv2.GaussianBlur(face, (0, 0), 0.035 * len(face), borderType=cv2.BORDER_REPLICATE).astype(np.uint8)


def moving(face: Image, rng: np.random.Generator) -> Image:
    """The mean along a straight line of an eighth of the side, in a random direction."""
    taps = 2 * max(1, round(len(face) / 16)) + 1
    line = np.zeros((taps, taps), np.float32)
    reach, angle = taps // 2, np.pi * rng.random()
    for step in np.linspace(-reach, reach, 4 * taps):
        line[round(reach + step * np.sin(angle)), round(reach + step * np.cos(angle))] += 1
    return cv2.filter2D(face, -1, line / line.sum(), borderType=cv2.BORDER_REPLICATE).astype(np.uint8)


def far(face: Image, rng: np.random.Generator) -> Image:
    """20 pixels a side, enlarged again."""
    small = cv2.resize(face, (FAR, FAR), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, face.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def noisy(face: Image, rng: np.random.Generator) -> Image:
    """White noise of 6 % of the range in each channel, averaged over pixels where the face is larger than 48."""
    side = min(48, len(face))
    noise = cv2.resize(rng.normal(0, 0.06 * 255, (side, side, 3)), face.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return _pixels(face + noise)


def jpeg(face: Image, rng: np.random.Generator) -> Image:
    """JPEG at quality 15, at 96 pixels a side: a video call's blocks are larger than a small face's."""
    larger = cv2.resize(face, (96, 96), interpolation=cv2.INTER_LINEAR)
    decoded = cv2.imdecode(cv2.imencode(".jpg", larger, [cv2.IMWRITE_JPEG_QUALITY, 15])[1], cv2.IMREAD_COLOR)
    assert decoded is not None, "it was encoded a moment ago"
    return cv2.resize(decoded, face.shape[1::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)


def badly_cut(face: Image, rng: np.random.Generator) -> Image:
    """Shifted by 8 % of the side in a random direction, and 12 % tighter or looser; edges are repeated."""
    angle, scale = 2 * np.pi * rng.random(), rng.choice([0.88, 1.12])
    return _warped(face, 0.0, scale, 0.08 * np.cos(angle), 0.08 * np.sin(angle))


def tilted(face: Image, rng: np.random.Generator) -> Image:
    """Turned by 15°, either way."""
    return _warped(face, float(rng.choice([-15, 15])), 1.0, 0.0, 0.0)


CHANGES: dict[str, Change] = {
    "dark": dark, "bright": bright, "flat": flat, "side light": side_light, "out of focus": unfocused,
    "moving": moving, "far": far, "noisy": noisy, "JPEG": jpeg, "badly cut": badly_cut, "tilted": tilted,
}  # fmt: skip


def score_camera(
    predictions: Predictions,
    model: Runner,
    split: Split,
    batch_size: int = 256,
    watch: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> Camera:
    """Score the expressions of labelled faces under each change, plainly, whatever views the predictions have.

    Args:
        predictions: of those faces; their rows and labels count.
        model: who answers.
        split: that they are of.
        batch_size: faces at a time.
        watch: wraps the changes, for a progress bar.
    """
    plain: dict[str, Change] = {"as they are": lambda face, _: face}
    scores = {}
    for name in watch([*plain, *CHANGES]):
        answers = _answers(predictions, model, split, (plain | CHANGES)[name], batch_size)
        right = answers == predictions.labels
        recalls = [right[predictions.labels == label].mean() for label in np.unique(predictions.labels)]
        scores[name] = {"accuracy": float(right.mean()), "mean_recall": float(np.mean(recalls))}
    clean = scores.pop("as they are")
    return Camera(len(predictions), clean, scores, float(np.mean([each["accuracy"] for each in scores.values()])))


def _answers(
    predictions: Predictions, model: Runner, split: Split, change: Change, batch_size: int
) -> npt.NDArray[np.int64]:
    """(n,) the likeliest label of each changed face; what is random in a change depends on the face's row alone."""
    found = []
    for start in range(0, len(predictions), batch_size):
        rows = [int(row) for row in predictions.rows[start : start + batch_size]]
        faces = [change(split.read(row), np.random.default_rng([row, 0])) for row in rows]
        found.append(model.logits(np.stack([model.spec.prepare(face) for face in faces]))["expression"].argmax(1))
    return np.concatenate(found)


def _pixels(values: npt.NDArray[np.floating[Any]]) -> Image:
    result: Image = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return result


def _warped(face: Image, degrees: float, scale: float, right: float, down: float) -> Image:
    height, width = face.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, scale)
    matrix[:, 2] += right * width, down * height
    result: Image = cv2.warpAffine(face, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)
    return result
