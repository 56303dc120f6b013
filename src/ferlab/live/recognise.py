"""Whose face it is, as numbers: SFace (Zhong et al. 2021, arXiv:2205.12010), ArcFace or a network like them, by ONNX.

The face is first turned and scaled so that its five landmarks lie as in ArcFace's training (Deng et al. 2019,
arXiv:1801.07698). Needs no torch.
"""

import hashlib
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ferlab.data.cache import cache_root
from ferlab.errors import ConfigError, ExportError
from ferlab.files import read_bytes
from ferlab.formats.onnx_graph import cost, parsed
from ferlab.live.download import download
from ferlab.spec import Image, ModelSpec

FILE = "face_recognition_sface_2021dec.onnx"  # of OpenCV's model zoo, under Apache-2.0
URL = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_recognition_sface/{FILE}"
SHA256 = "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79"
LARGEST = 512 * 2**20  # bytes of such a file; SFace has 37 MiB, ArcFace's largest 249
SIDE = 112  # pixels
# Where the landmarks of `frame.LANDMARKS` lie in SIDE × SIDE pixels, x and y: insightface's `arcface_dst`.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
INPUT = ModelSpec((), affect=True, size=SIDE, colour="rgb", mean=(0.5,) * 3, std=(0.5,) * 3)  # what it takes, alone

Floats = npt.NDArray[np.float32]


class Recogniser:
    """Turns faces into embeddings, whose cosine says how alike two faces are.

    Attributes:
        digest: SHA-256 of the file, in hex: embeddings of two networks cannot be compared.

    Args:
        path: the .onnx file: in goes (1, 3, 112, 112) float32 RGB, from -1 to 1, or from 0 to 255 if it subtracts and
            multiplies before its first convolution; out comes (1, d).
        threads: of onnxruntime.

    Raises:
        ConfigError: a file that cannot be read or is another network.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        try:
            content = read_bytes(path, LARGEST)
        except OSError as error:
            raise ConfigError(f"cannot read the recogniser {path}: {error.strerror or error}; check the path") \
                from error  # fmt: skip
        self.digest = hashlib.sha256(content).hexdigest()
        self._run, self._normalised = _opened(content, path, self.digest, threads)
        self.width = len(self._embed(np.zeros((SIDE, SIDE, 3), np.uint8)))

    def __call__(self, image: Image, landmarks: Floats) -> Floats:
        """The embedding of one face, (d,) float32 of length 1.

        Args:
            image: (h, w, 3) uint8 RGB.
            landmarks: (5, 2) x and y of `frame.LANDMARKS` in pixels.
        """
        return self._embed(aligned(image, landmarks))

    def _embed(self, face: Image) -> Floats:
        pixels = face.transpose(2, 0, 1)[None].astype(np.float32)
        found = self._run(pixels if self._normalised else (pixels - 127.5) / 127.5)
        length = float(np.linalg.norm(found))
        if not np.isfinite(length):
            raise ConfigError("a recogniser must answer finite numbers, got NaN or infinity; use another file")
        result: Floats = found / max(length, 1e-12)
        return result


def recogniser(file: str | None, say: Callable[[str], None]) -> Recogniser:
    """The recogniser in a file, or SFace, which is downloaded once; ConfigError if it cannot be had."""
    path = Path(file).expanduser() if file else cache_root() / "recognisers" / FILE
    if file is None and not path.exists():
        say(f"downloading {URL} to {path}, 37 MB")
        download(URL, SHA256, LARGEST, path, f"give identity_file=… ({FILE} from OpenCV's model zoo)")
    return Recogniser(path)


def aligned(image: Image, landmarks: Floats) -> Image:
    """The face turned, scaled and moved onto TEMPLATE, (112, 112, 3) uint8; black where it leaves the picture."""
    turn = similarity(landmarks.astype(np.float64), TEMPLATE)
    return cv2.warpAffine(image, turn, (SIDE, SIDE), flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


def similarity(points: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The rotation, scale and shift (2, 3) that bring points (n, 2) nearest to target (n, 2) in least squares.

    As complex numbers p and q about their means, q = a p has the least-squares solution a = Σ p̄ q / Σ |p|². It is
    Umeyama's (1991) without reflections.
    """
    p, q = (each @ np.array([1, 1j]) for each in (points, target))
    mean = p.mean()
    about = p - mean
    a = (about.conj() * (q - q.mean())).sum() / max(float((np.abs(about) ** 2).sum()), 1e-12)
    shift = q.mean() - a * mean
    return np.array([[a.real, -a.imag, shift.real], [a.imag, a.real, shift.imag]])


def _opened(content: bytes, path: Path, digest: str, threads: int) -> tuple[Callable[[Floats], Floats], bool]:
    """What runs the network on (1, 3, 112, 112) and gives (d,), and whether it normalises by itself."""
    import onnxruntime

    normalised = digest == SHA256
    if digest != SHA256:  # of SFace's own file nothing has to be guarded against
        try:
            model = parsed(content)
            cost(model, INPUT, 1)
        except ExportError as error:
            raise ConfigError(f"{path} must be a network for faces of {SIDE} pixels: {error}") from error
        # Later ones may be parts of an activation.
        before = {node.op_type for node in takewhile(lambda node: node.op_type != "Conv", model.graph.node)}
        normalised = {"Sub", "Mul"} <= before or {"Sub", "Div"} <= before
        content = model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def run(pixels: Floats) -> Floats:
            (found,) = session.run(None, {name: pixels})
            if found.shape[:1] != (1,) or found.ndim != 2 or found.dtype != np.float32:
                raise ValueError(f"it gives {found.dtype} of the shape {list(found.shape)}")
            vector: Floats = found[0]
            return vector

        run(np.zeros((1, 3, SIDE, SIDE), np.float32))
    except Exception as error:  # onnxruntime has an exception class for each kind of fault, without a common base
        raise ConfigError(
            f"{path} must take (1, 3, {SIDE}, {SIDE}) and give (1, d) float32: {' '.join(str(error).split())[:150]}; "
            "use SFace's or ArcFace's file"
        ) from error
    return run, normalised
