"""Export formats: one module a format, with `write` and `read`, and one dict. Needs no torch to read ONNX or TFLite."""

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ferlab.box import located
from ferlab.errors import ConfigError, ExportError, suggest

if TYPE_CHECKING:
    from ferlab.formats.exported import Exported
    from ferlab.formats.seal import Layout
    from ferlab.runner import Runner


@dataclass(frozen=True)
class Tolerance:
    """How far an exported file may be from its bundle, over the faces of a verification.

    Attributes:
        answer: largest difference of a probability, or of valence or arousal.
        agreement: smallest share of faces with the same likeliest label.
        loss: most points of accuracy that may be lost.
    """

    answer: float
    agreement: float
    loss: float


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        module: under `ferlab.formats`; it has `write` and `read`.
        file: what an exported file is called.
        packages: that must be installed, by the name that is imported.
        extra: of ferlab, which installs them; None if they always are.
        tolerance: what verification allows.
        summary: one line of help.
        ways: of writing it, tried in this order until one is within the tolerance.
        layouts: that the images may have; the first by default.
        calibrated: whether it takes ranges from faces of the train split.
    """

    module: str
    file: str
    packages: tuple[str, ...]
    extra: str | None
    tolerance: Tolerance
    summary: str
    ways: tuple[str, ...] = ("",)
    layouts: "tuple[Layout, ...]" = ("nchw",)
    calibrated: bool = False


EXACT = Tolerance(answer=1e-4, agreement=1.0, loss=0.0)  # float32 in another order of summation
HALF = Tolerance(answer=1e-2, agreement=0.995, loss=0.2)
INT8 = Tolerance(answer=1.0, agreement=0.95, loss=0.5)  # single answers move; what counts is how many labels change

ONNX = ("onnx", "onnxscript", "onnxruntime")
ONNX_WAYS = ("minmax", "percentile", "float_layers")
TFLITE = ("litert_torch", "ai_edge_litert", "ai_edge_quantizer"), "tflite"
TFLITE_WAYS = ("percentile", "minmax", "float_layers")
LAST_OR_FIRST: "tuple[Layout, ...]" = ("nhwc", "nchw")
FORMATS: dict[str, Format] = {
    "onnx": Format("onnx", "model.onnx", ONNX, "onnx", EXACT, "ONNX, float32"),
    "onnx_int8": Format("onnx_int8", "model_int8.onnx", ONNX, "onnx", INT8, "ONNX, 8 bit", ONNX_WAYS, calibrated=True),
    "torchscript": Format("torchscript", "model.torchscript", (), None, EXACT, "TorchScript, traced and frozen"),
    "torch_export": Format("torch_export", "model.pt2", (), None, EXACT, "torch.export, float32"),
    "openvino": Format("openvino", "model.openvino", ("openvino",), "openvino", EXACT, "OpenVINO, float32"),
    "tflite": Format("tflite", "model.tflite", *TFLITE, EXACT, "TFLite, float32", layouts=LAST_OR_FIRST),
    "tflite_fp16": Format(
        "tflite_fp16", "model_fp16.tflite", *TFLITE, HALF, "TFLite, weights in float16", layouts=LAST_OR_FIRST
    ),
    "tflite_int8": Format(
        "tflite_int8", "model_int8.tflite", *TFLITE, INT8, "TFLite, 8 bit", TFLITE_WAYS, LAST_OR_FIRST, True
    ),
}


@dataclass(frozen=True)
class Runtime:
    """What reads files of one suffix.

    Attributes:
        module: under `ferlab.formats`.
        packages, extra: that it needs, as for `Format`.
        looped: whether it takes one face at a time, so that a batch is a loop.
    """

    module: str
    packages: tuple[str, ...]
    extra: str | None
    looped: bool = False


RUNTIMES: dict[str, Runtime] = {
    ".onnx": Runtime("onnx", ("onnx", "onnxruntime"), None),
    ".torchscript": Runtime("torchscript", (), None),
    ".pt2": Runtime("torch_export", (), None),
    ".openvino": Runtime("openvino", ("openvino",), "openvino"),
    ".tflite": Runtime("tflite", ("ai_edge_litert",), "tflite", looped=True),
}
LITERT_TORCH = (("linux", "x86_64"), ("darwin", "arm64"))  # where its converter has wheels; LiteRT has them everywhere
DEVICES = ("auto", "cpu", "cuda", "mps")  # of bundles
LARGEST = 2**31  # bytes; protobuf and flatbuffers end there, and a file is read whole before a runtime sees it


def check(name: str) -> Format:
    """The format called `name`, once what it needs is installed.

    Raises:
        ConfigError: no such format.
        ExportError: a package is missing; says which extra has it.
    """
    if name not in FORMATS:
        raise ConfigError(f"unknown format '{name}'; {suggest(name, FORMATS)}")
    found = FORMATS[name]
    _need(name, found.packages, found.extra)
    return found


def read(path: str | Path, threads: int = 1) -> "Exported":
    """Open an exported file; its suffix says how.

    Raises:
        ExportError: no such file, no such format, a missing package, or a file that is damaged, changed or foreign.
    """
    file = Path(path)
    if not file.is_file():
        raise ExportError(f"an exported file must be a file, got {file}, which is none; check the path")
    if file.stat().st_size > LARGEST:
        raise ExportError(f"{file} must have at most {LARGEST:,} bytes, got {file.stat().st_size:,}; export it again")
    if file.suffix not in RUNTIMES:
        raise ExportError(f"{file} must end in one of {', '.join(RUNTIMES)}; give a file of ferlab export")
    runtime = RUNTIMES[file.suffix]
    _need(f"a {file.suffix} file", runtime.packages, runtime.extra)
    reader = cast("Callable[[Path, int], Exported]", import_module(f"ferlab.formats.{runtime.module}").read)
    return reader(file, threads)


def open_model(path: str | Path, device: str = "cpu", threads: int = 1) -> "Runner":
    """A bundle, by its or its run's folder, or an exported file: `ferlab.load`.

    Args:
        path: where it is, or its name in the box: "ferplus", "ferplus_int8".
        device: of a bundle, see `load_bundle`; exported files run on the CPU.
        threads: of an exported file; a bundle takes torch's.

    Returns:
        What has `spec`, `labels`, `card`, `predict` and `answers`, and `embeddings` where the weights are there.

    Raises:
        BundleError, ExportError: nothing there, or not what it claims to be.
        ConfigError: an unknown device.
    """
    found = located(path)
    if found.suffix and not found.is_dir():
        if (kind := device.partition(":")[0]) not in DEVICES:  # it is not used, but may be mistyped
            raise ConfigError(f"unknown device '{device}'; {suggest(kind, DEVICES)}")
        return read(found, threads)
    from ferlab.bundle import load_bundle

    return load_bundle(found, device)


def _need(what: str, packages: tuple[str, ...], extra: str | None) -> None:
    missing = [package for package in packages if find_spec(package.partition(".")[0]) is None]
    if "litert_torch" in missing and (sys.platform, platform.machine()) not in LITERT_TORCH:
        here = f"{platform.system()} on {platform.machine()}"
        raise ExportError(f"{what} must be written on Linux on x86-64 or macOS on arm64, got {here}; or use onnx_int8")
    if missing:
        by = f"'ferlab[{extra}]'" if extra else " ".join(missing)
        raise ExportError(f"{what} needs {', '.join(missing)}; install it by pip install {by}")
