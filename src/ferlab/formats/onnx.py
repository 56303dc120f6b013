"""ONNX by torch's dynamo exporter, run by onnxruntime. The seal is an entry of the model's metadata."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ferlab.errors import ExportError
from ferlab.files import read_bytes
from ferlab.formats import LARGEST
from ferlab.formats.exported import Exported
from ferlab.formats.onnx_graph import cost, parsed
from ferlab.formats.seal import ENTRY, Seal, digest, parse, unsealed
from ferlab.spec import Image

if TYPE_CHECKING:
    from ferlab.bundle import Bundle

# ModelProto.metadata_props is field 14; protobuf takes what follows a message for more of its fields.
FIELD = b"\x72"
KEY = b"\x0a" + bytes([len(ENTRY)]) + ENTRY.encode() + b"\x12"


def write(bundle: "Bundle", seal: Seal, path: Path, calibration: Image, way: str) -> None:
    """Export a network in float32 with a dynamic batch.

    Args:
        bundle: the model.
        seal: what to write inside; `seal.graph` decides what the graph gives.
        path: the .onnx file.
        calibration, way: not used: nothing is calibrated, and there is one way.
    """
    save(model_of(bundle, seal), seal, path)


def model_of(bundle: "Bundle", seal: Seal) -> Any:
    """The onnx.ModelProto: "images" (n, c, s, s) uint8 -> the heads by name, for any n."""
    import torch

    from ferlab.formats.graph import Answers

    spec = bundle.spec
    example = torch.zeros(2, spec.channels, spec.size, spec.size, dtype=torch.uint8)  # of 1 the batch would be fixed
    program: Any = torch.onnx.export(
        Answers(bundle, seal.graph),
        (example,),
        dynamo=True,
        dynamic_shapes=({0: "batch"},),
        input_names=["images"],
        output_names=list(spec.heads),
        external_data=False,
        verbose=False,
    )
    return without_notes(program.model_proto)


def without_notes(model: Any) -> Any:
    """The model without what torch notes of every node: stack traces with the paths of this machine, half its size."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def save(model: Any, seal: Seal, path: Path) -> None:
    """Check a ModelProto and write it, sealed."""
    import onnx

    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    path.write_bytes(content + metadata(seal.text(digest(content)).encode()))


def read(path: Path, threads: int) -> Exported:
    """Open a file that ferlab exported.

    Args:
        path: the .onnx file.
        threads: of onnxruntime.

    Raises:
        ExportError: missing, damaged, changed or foreign.
    """
    import onnxruntime

    try:
        data = read_bytes(path, LARGEST)
    except OSError as error:
        raise ExportError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    seal, content = unsealed_data(data, path)
    try:
        model = parsed(content)
        affordable = functools.cache(lambda faces: cost(model, seal.spec, faces))
        affordable(1)
    except ExportError as error:
        raise ExportError(f"{path}: {error}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.load_model_format", "ONNX")  # by itself it opens its own format too
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has an exception class for each kind of fault, without a common base
        raise ExportError(f"onnxruntime cannot open {path}: {' '.join(str(error).split())[:200]}") from error
    heads = seal.spec.heads
    if [output.name for output in session.get_outputs()] != list(heads) or len(session.get_inputs()) != 1:
        raise ExportError(f"{path} must take images and give {list(heads)}, got other names; export it again")
    name = session.get_inputs()[0].name

    def call(images: Image) -> Mapping[str, npt.NDArray[np.floating[Any]]]:
        affordable(len(images))
        return dict(zip(heads, session.run(None, {name: images}), strict=True))

    return Exported(path, seal, call)


def unsealed_data(data: bytes, path: Path) -> tuple[Seal, bytes]:
    """The seal at the end of an ONNX model, and the model before it, verified; ExportError otherwise."""
    start = data.rfind(KEY)
    if start < 0:
        raise unsealed(path)
    text = data[_varint_end(data, start + len(KEY)) :]
    entry = metadata(text)
    if not data.endswith(entry):
        raise unsealed(path)
    content = data[: -len(entry)]
    return parse(text, digest(content), path), content


def metadata(text: bytes) -> bytes:
    """`text` as the entry ENTRY of a ModelProto's metadata, in protobuf's encoding."""
    entry = KEY + _varint(len(text)) + text
    return FIELD + _varint(len(entry)) + entry


def _varint(number: int) -> bytes:
    groups = []
    while True:
        number, low = number >> 7, number & 127
        groups.append(low | 128 * bool(number))
        if not number:
            return bytes(groups)


def _varint_end(data: bytes, start: int) -> int:
    end = start
    while end < len(data) and data[end] & 128:
        end += 1
    return end + 1
