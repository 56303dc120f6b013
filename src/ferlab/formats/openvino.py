"""OpenVINO's intermediate representation in float32. Needs no torch to read.

A file is a sealed zip archive of model.xml and model.bin, uncompressed: one file appears or does not, where a pair
could be torn apart by a crash between two renames, or by a user. It is read from memory; unzipped, it is what every
tool of OpenVINO takes. What `openvino_graph` lets through is data: known layers on the file's own weights.
"""

import functools
import importlib
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ferlab.errors import ExportError
from ferlab.formats.exported import Exported
from ferlab.formats.openvino_graph import cost, representation
from ferlab.formats.seal import Seal, seal_archive, unseal_archive
from ferlab.spec import Image

if TYPE_CHECKING:
    from ferlab.bundle import Bundle

PARTS = ("model.xml", "model.bin")


def write(bundle: "Bundle", seal: Seal, path: Path, calibration: Image, way: str) -> None:
    """Export a network in float32 with a dynamic batch.

    Args:
        bundle: the model.
        seal: what to write inside; `seal.graph` decides what the graph gives.
        path: the .openvino file.
        calibration, way: not used: nothing is calibrated, and there is one way.
    """
    from ferlab.formats.torch_export import program_of

    openvino, spec = _openvino(), bundle.spec
    model = openvino.convert_model(program_of(bundle, seal))
    model.reshape([-1, spec.channels, spec.size, spec.size])
    for output, head in zip(model.outputs, spec.heads, strict=True):
        output.set_names({head})
    with tempfile.TemporaryDirectory() as folder:
        openvino.save_model(model, Path(folder) / PARTS[0], compress_to_fp16=False)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name in PARTS:
                archive.writestr(zipfile.ZipInfo(name), (Path(folder) / name).read_bytes())
    seal_archive(path, seal)


def read(path: Path, threads: int) -> Exported:
    """Open a file that ferlab exported.

    Args:
        path: the .openvino file.
        threads: of OpenVINO.

    Raises:
        ExportError: missing, damaged, changed or foreign.
    """
    found = unseal_archive(path, prefixed=False)
    if foreign := sorted({*found.parts} ^ {*PARTS}):
        raise ExportError(f"{path} must hold {', '.join(PARTS)}, got {foreign[0]!r}; export it again")
    xml, weights = (found.parts[name] for name in PARTS)
    openvino = _openvino()
    # Some CPUs would compute in bfloat16 by themselves, which is faster and answers otherwise.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    try:
        core = _core()
        model = core.read_model(representation(xml), openvino.Tensor(np.frombuffer(weights, np.uint8)))
        affordable = functools.cache(lambda faces: cost(model, found.seal.spec, faces))
        affordable(1)
        compiled = core.compile_model(model, "CPU", settings)
    except ExportError as error:
        raise ExportError(f"{path}: {error}") from error
    except (RuntimeError, ValueError, TypeError) as error:
        raise ExportError(f"OpenVINO cannot open {path}: {' '.join(str(error).split())[:200]}") from error
    heads = found.seal.spec.heads
    if [output.any_name for output in compiled.outputs] != list(heads) or len(compiled.inputs) != 1:
        raise ExportError(f"{path} must take images and give {list(heads)}, got other names; export it again")

    def call(images: Image) -> Mapping[str, npt.NDArray[np.floating[Any]]]:
        affordable(len(images))
        answers = compiled(images)
        return {head: np.array(answers[head]) for head in heads}  # its own memory is used again by the next call

    return Exported(path, found.seal, call)


@functools.cache
def _core() -> Any:
    """The one Core of this process.

    Each puts up a stack for signal handlers and, when it ends, the one before it. Of two that end in the order in
    which they began, the second leaves a stack that is gone: Ctrl-C or a worker's end then kills the process.
    """
    return _openvino().Core()


def _openvino() -> Any:
    """The package, which on import reports to Google Analytics that it was, unless it finds no telemetry to do so."""
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    hidden = sys.modules.get("openvino_telemetry")
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # its import fails, which OpenVINO allows for
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules["openvino_telemetry"]
        if hidden is not None:
            sys.modules["openvino_telemetry"] = hidden
