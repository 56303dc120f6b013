"""TFLite in 8 bit: static, weights per channel; read like any TFLite file.

All is integer from the pixels, uint8, to the last layer. The softmax and tanh after it stay in float32, as do the
answers: in 8 bit a probability would be a multiple of 1/256, and 0 below half of that. Of transformers the layers alone
are integer; see `floating`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ferlab.errors import ExportError
from ferlab.formats.harm import JUDGES, most_harmful
from ferlab.formats.seal import Seal
from ferlab.formats.tflite import SIGNATURE, model_of, one_line, quiet, runner, save
from ferlab.spec import Image

if TYPE_CHECKING:
    from ferlab.bundle import Bundle

Ranges = Mapping[str, Mapping[str, npt.NDArray[np.floating[Any]]]]

LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL")
# Of the calibration faces' extremes of an activation, the share that its range holds; the rest is clipped.
COVERED = {"percentile": 0.95, "minmax": 1.0, "float_layers": 0.95}


def write(bundle: "Bundle", seal: Seal, path: Path, calibration: Image, way: str) -> None:
    """Export a network with its layers in 8 bit and its answers in float32.

    Args:
        bundle: the model.
        seal: what to write inside; `seal.graph` decides what the graph gives, `seal.layout` what it takes.
        path: the .tflite file.
        calibration: (n, c, s, s) uint8, prepared faces; activations take their ranges from them.
        way: "percentile", "minmax", or "float_layers": percentile with the most harmful layers left in float32.

    Raises:
        ExportError: the network cannot be converted or quantised, or the quantizer left a layer in float32.
    """
    model = model_of(bundle, seal, "float32")
    images = calibration.transpose(0, 2, 3, 1) if seal.layout == "nhwc" else calibration
    faces = np.ascontiguousarray(images, np.float32)
    with one_line("ai-edge-quantizer cannot quantise", bundle):
        ranges = calibrated(model, faces, COVERED[way])
        kept = [*floating(model), *(harmful(model, faces, ranges, path) if way == "float_layers" else [])]
        quantised = quantise(model, ranges, kept)
    check(quantised, kept, path)
    save(taking_pixels(quantised), seal, path)


def calibrated(model: bytes, faces: npt.NDArray[np.float32], covered: float) -> Ranges:
    """The range of each activation: what holds the extremes of this share of the faces; of the pixels, 0 to 255.

    Of what the last layers give it holds all: clipped there, a clear face would answer like a doubtful one. The
    quantizer by itself takes a moving average of the extremes, which clips half of the faces and the answers too.
    """
    with quiet():
        from ai_edge_quantizer.calibrator import CalibrationMode, Calibrator
        from ai_edge_quantizer.recipe import static_wi8_ai8
        from ai_edge_quantizer.recipe_manager import RecipeManager

        recipe = RecipeManager()
        recipe.load_quantization_recipe(static_wi8_ai8())
        mode = CalibrationMode.CALIBRATION_PRESERVE_ALL_TENSORS
        calibrator = Calibrator(model, num_threads=1, mode=mode, qsv_update_func=_side_by_side)
        calibrator.calibrate({SIGNATURE: [{"images": face[None]} for face in faces]}, recipe)
    ranges = {f"{SIGNATURE}_images": {"min": np.array([0.0]), "max": np.array([255.0])}}
    last = last_given(model)
    for name, seen in calibrator.get_model_qsvs().items():
        share = 1.0 if name in last else covered
        found = {"min": np.quantile(seen["min"], [1 - share]), "max": np.quantile(seen["max"], [share])}
        ranges.setdefault(name, found)
    return ranges


def _side_by_side(seen: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {end: np.append(seen[end], new[end]) for end in ("min", "max")}


def quantise(model: bytes, ranges: Ranges, kept: Collection[str], only: str | None = None) -> bytes:
    """The flatbuffer in 8 bit, with images and answers in float32.

    Args:
        model: in float32.
        ranges: of its activations.
        kept: scopes of operations that stay in float32.
        only: scope of the operation to quantise; all by default.
    """
    with quiet():
        from ai_edge_quantizer.qtyping import TFLOperationName
        from ai_edge_quantizer.quantizer import AlgorithmName, Quantizer

        everything, left = TFLOperationName.ALL_SUPPORTED, AlgorithmName.NO_QUANTIZE
        quantizer = Quantizer(model)
        quantizer.add_static_config(".*" if only is None else _one_of([only]), everything, 8, 8)
        if kept:
            quantizer.update_quantization_recipe(_one_of(kept), everything, algorithm_key=left)
        for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            quantizer.update_quantization_recipe(".*|", end, algorithm_key=left)
        return bytes(quantizer.quantize(ranges, enable_progress_report=False).quantized_model)


def _one_of(scopes: Collection[str]) -> str:
    """A pattern of these scopes; a single one, for the quantizer tries every pattern on every operation."""
    return f"^(?:{'|'.join(map(re.escape, scopes))})$"


def floating(model: bytes) -> list[str]:
    """Scopes of the operations that stay in float32 in every way of quantising.

    They are those that no layer comes after: the softmax and tanh of the answers. In a network with layer
    normalisation they are all but the layers and what comes before the first: with variances in 8 bit, a vision
    transformer's answers were seven times further off.
    """
    every, feeding = operations(model), set[int]()
    normalised = any(operation.name == "RSQRT" for operation in every)
    first = next(place for place, operation in enumerate(every) if operation.name in LAYERS)
    found = []
    for place, operation in reversed(list(enumerate(every))):
        layer = operation.name in LAYERS
        before = layer or bool(feeding & set(operation.outputs))
        if before:
            feeding |= set(operation.inputs)
        if not before or (normalised and not layer and place > first):
            found.append(operation.scope)
    return found


def last_given(model: bytes) -> set[str]:
    """Names of the tensors in 8 bit that no operation in 8 bit takes: the answers before their softmax or tanh."""
    left = floating(model)
    integer = [operation for operation in operations(model) if operation.scope not in left]
    taken = {tensor for operation in integer for tensor in operation.inputs}
    return {operation.scope.removesuffix(";") for operation in integer if not taken & set(operation.outputs)}


def harmful(model: bytes, faces: npt.NDArray[np.float32], ranges: Ranges, path: Path) -> list[str]:
    """Scopes of the layers that hurt most in 8 bit; see `most_harmful`."""
    layers = [operation.scope for operation in operations(model) if operation.name in LAYERS]

    def quantised_alone(scope: str) -> npt.NDArray[np.float32]:
        return _answers(quantise(model, ranges, [], scope), faces[:JUDGES], path)

    return most_harmful(layers, _answers(model, faces[:JUDGES], path), quantised_alone)


def _answers(model: bytes, faces: npt.NDArray[np.float32], path: Path) -> npt.NDArray[np.float32]:
    """Every answer of a model that takes float images, side by side, (n, …)."""
    run = runner(model, 1, path)
    answers = [run(images=face[None]) for face in faces]
    return np.concatenate([np.concatenate([answer[head] for head in sorted(answer)], axis=1) for answer in answers])


def check(model: bytes, kept: Collection[str], path: Path) -> None:
    """Raise ExportError unless every layer but those kept takes, holds and gives int8: the quantizer does not say."""
    for operation in operations(model):
        if operation.name in LAYERS and operation.scope not in kept and set(operation.types) != {"INT8"}:
            types = ", ".join(operation.types)
            raise ExportError(f"{path} must have its layers in int8, got {types} in {operation}; use another format")


def taking_pixels(model: bytes) -> bytes:
    """The flatbuffer with its float images, which it quantises first, as uint8 of scale 1: the pixels themselves."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools.flatbuffer_utils import convert_object_to_bytearray, read_model_from_bytearray

    unpacked = read_model_from_bytearray(model)
    graph = unpacked.subgraphs[0]
    images = graph.tensors[graph.inputs[0]]
    images.type = schema.TensorType.UINT8
    images.quantization = schema.QuantizationParametersT()
    images.quantization.scale, images.quantization.zeroPoint = [1.0], [0]
    return bytes(convert_object_to_bytearray(unpacked))


@dataclass(frozen=True)
class Operation:
    """One operation of a flatbuffer.

    Attributes:
        name: as TFLite's schema has it.
        scope: what the quantizer's recipes call it: the names of its outputs.
        inputs, outputs: numbers of its tensors.
        types: of its first two inputs, which of a layer are activations and weights, and of its outputs.
    """

    name: str
    scope: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    types: Sequence[str]


def operations(model: bytes) -> list[Operation]:
    """The operations of a flatbuffer in the order in which they run."""
    from ai_edge_litert.tools import flatbuffer_utils as flatbuffer
    from ai_edge_quantizer.utils.tfl_flatbuffer_utils import get_op_scope

    unpacked = flatbuffer.read_model_from_bytearray(model)
    tensors = unpacked.subgraphs[0].tensors
    found = []
    for each in unpacked.subgraphs[0].operators:
        name = flatbuffer.opcode_to_name(unpacked, each.opcodeIndex)
        types = [flatbuffer.type_to_name(tensors[i].type) for i in [*each.inputs[:2], *each.outputs] if i >= 0]
        found.append(Operation(name, get_op_scope(each, tensors), each.inputs, each.outputs, types))
    return found
