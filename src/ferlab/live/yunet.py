"""YuNet (Wu, Peng & Yu 2023, doi:10.1007/s11633-023-1423-y) by onnxruntime: boxes and five landmarks. Needs no torch.

Its decoding is written out here because OpenCV's own takes three times as long; the file is OpenCV's, under MIT.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.errors import ConfigError
from ferlab.files import read_bytes
from ferlab.live.frame import LANDMARKS, Faces, Frame

FILE = "face_detection_yunet_2026may.onnx"
SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
LARGEST = 4 * 2**20  # bytes of such a file, which has 0.2 MiB
STRIDES = (8, 16, 32)
PARTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 2 * len(LANDMARKS)}  # outputs a stride -> numbers a cell
OUTPUTS = [f"{part}_{stride}" for part in PARTS for stride in STRIDES]
OVERLAP = 0.3  # of two boxes, intersection over union, from which they are one face
PHOTO = (320, 1280)  # longer sides to search a photograph at: large faces are found in the one, small ones in the other
LIVE = (640,)  # longer side for a camera, whose faces are neither

Floats = npt.NDArray[np.float32]


class YuNet:
    """Finds faces: nearly all of 64 to 400 pixels in the picture that it searches.

    Args:
        path: the .onnx file.
        score: what a face must reach, √(class · objectness) in [0, 1].
        smallest: longer side of the smallest face to report, pixels of the picture.
        sides: longer sides, in pixels, to which a larger picture is scaled, each searched.
        threads: of onnxruntime.

    Raises:
        ConfigError: a file that cannot be read or is another model.
    """

    name = "yunet"

    def __init__(
        self, path: Path, score: float = 0.6, smallest: int = 40, sides: Sequence[int] = PHOTO, threads: int = 1
    ) -> None:
        self.score, self.smallest, self.sides = score, smallest, sides
        self._session = _open(path, threads)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, frame: Frame) -> Faces:
        """The faces in a frame, best first."""
        found = [self._search(frame.image, scale) for scale in self._scales(frame.image)]
        boxes, scores, points = (np.concatenate(parts) for parts in zip(*found, strict=True))
        large = boxes[:, 2:].max(1, initial=0) >= self.smallest
        boxes, scores, points = boxes[large], scores[large], points[large]
        kept = np.asarray(cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), self.score, OVERLAP), np.int64).reshape(-1)
        return Faces.found(boxes[kept], scores[kept], points[kept])

    def _scales(self, image: npt.NDArray[np.uint8]) -> list[float]:
        """By what the picture is scaled for each search: never up, and not twice alike."""
        return list(dict.fromkeys(min(1.0, side / max(image.shape[:2])) for side in self.sides))

    def _search(self, image: npt.NDArray[np.uint8], scale: float) -> tuple[Floats, Floats, Floats]:
        """Boxes (n, 4), scores (n,) and landmarks (n, 5, 2) in pixels of the picture, found in it scaled."""
        small = image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = small.shape[:2]
        whole = np.zeros((1, 3, -(-height // 32) * 32, -(-width // 32) * 32), np.float32)
        whole[0, ::-1, :height, :width] = cv2.split(small)  # by far the quickest way; it was trained on BGR
        found = self._session.run(OUTPUTS, {self._input: whole})
        boxes, scores, points = decode(dict(zip(OUTPUTS, found, strict=True)), whole.shape[3], self.score)
        # Scaled by what cv2 made of it, whose sides are whole pixels.
        back = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        return boxes * np.tile(back, 2), scores, points * back


def decode(outputs: Mapping[str, Floats], width: int, least: float) -> tuple[Floats, Floats, Floats]:
    """What YuNet's outputs mean, before overlapping boxes are joined.

    For cell (r, c) of the grid of a stride s: score = √(cls · obj); centre = ((c, r) + bbox₀₁) s; size = exp(bbox₂₃) s;
    landmark = ((c, r) + kps) s.

    Args:
        outputs: OUTPUTS by name, each (1, cells, numbers).
        width: of its input, pixels.
        least: score that a face must reach.

    Returns:
        Boxes (n, 4), scores (n,) and landmarks (n, 5, 2), float32, in pixels of the input.
    """
    found = []
    for stride in STRIDES:
        cls, obj, box, kps = (outputs[f"{part}_{stride}"][0] for part in PARTS)
        score = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))[:, 0]
        rows = np.flatnonzero(score >= least)
        cells = np.stack([rows % (width // stride), rows // (width // stride)], 1).astype(np.float32)
        size = np.exp(np.minimum(box[rows, 2:], 10)) * stride
        corner = (cells + box[rows, :2]) * stride - size / 2
        points = (cells[:, None] + kps[rows].reshape(-1, len(LANDMARKS), 2)) * stride
        found.append((np.concatenate([corner, size], 1), score[rows], points))
    boxes, scores, landmarks = (np.concatenate(parts).astype(np.float32) for parts in zip(*found, strict=True))
    sound = np.isfinite(boxes).all(1) & np.isfinite(landmarks).all((1, 2))
    return boxes[sound], scores[sound], landmarks[sound]


def _open(path: Path, threads: int) -> Any:
    """A session of onnxruntime on YuNet's file; ConfigError for any other file."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("detect=yunet needs onnxruntime, got none; pip install it, or detect=haar") from error
    try:
        content = read_bytes(path, LARGEST)
    except OSError as error:
        raise ConfigError(f"cannot read the detector {path}: {error.strerror or error}; check the path") from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ConfigError(
            f"{path} must be OpenCV's {FILE}, sha256 {SHA256[:12]}…, got another file of {len(content):,} bytes; "
            "download it again"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
