"""ONNX in 8 bit: static, with weights per channel and unsigned activations; read like any ONNX file.

Signed activations are four to six times slower than unsigned ones on CPUs with VNNI. Weights have 7 bits, -64 to 64:
CPUs with AVX2 and no VNNI add two products of an unsigned and a signed byte in 16 bits, which hold 255 × 64 × 2 and not
255 × 127 × 2; there a file with full weights saturates and answers otherwise than where it was verified.
"""

import contextlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ferlab.formats.harm import JUDGES, most_harmful
from ferlab.formats.onnx import model_of, save
from ferlab.formats.seal import Seal
from ferlab.spec import Image

if TYPE_CHECKING:
    from ferlab.bundle import Bundle

BATCH = 8  # faces; onnxruntime holds every activation of a batch
PERCENTILE = 99.99  # of the activations; what lies outside is clipped
QUANTISED = ("Conv", "Gemm", "MatMul", "Add", "Mul", "Relu", "Clip", "MaxPool", "AveragePool", "ReduceMean")


def write(bundle: "Bundle", seal: Seal, path: Path, calibration: Image, way: str) -> None:
    """Export a network with its layers in 8 bit and its answers in float32.

    Args:
        bundle: the model.
        seal: what to write inside; `seal.graph` decides what the graph gives.
        path: the .onnx file.
        calibration: (n, c, s, s) uint8, prepared faces; activations take their ranges from them.
        way: "minmax", "percentile", or "float_layers": percentile with the most harmful layers left in float32.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        plain, ready = Path(folder) / "plain.onnx", Path(folder) / "ready.onnx"
        onnx.save(model_of(bundle, seal), plain)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        excluded = harmful(ready, calibration) if way == "float_layers" else []
        save(quantise(ready, calibration, "minmax" if way == "minmax" else "percentile", excluded), seal, path)


def quantise(model: Path, calibration: Image, way: str, excluded: Sequence[str], only: Sequence[str] = ()) -> Any:
    """The model in 8 bit, an onnx.ModelProto.

    Args:
        model: in float32, preprocessed.
        calibration: as `write` takes it.
        way: "minmax" or "percentile".
        excluded: names of nodes that stay in float32.
        only: names of the nodes to quantise; all by default.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    method = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}[way]
    quantised = model.with_name("quantised.onnx")
    with contextlib.redirect_stdout(io.StringIO()):  # it narrates its calibration
        quantize_static(
            model,
            quantised,
            _reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_quantize=list(only) or None,
            nodes_to_exclude=list(excluded),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=method,
            # One batch at a time: percentiles would else hold the activations of all faces, tens of GiB at 224 px.
            extra_options={"CalibStridedMinMax": 1, "CalibPercentile": PERCENTILE},
        )
    result = onnx.load(quantised)
    keep_in_float(result, excluded)
    return result


def keep_in_float(model: Any, layers: Sequence[str]) -> None:
    """Make runtimes leave these layers in float32.

    onnxruntime gives a convolution or Gemm between a DequantizeLinear and a QuantizeLinear 8-bit weights of its own,
    one scale a tensor and in full range. An operation in between that changes nothing hides the QuantizeLinear.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    for place in range(len(graph.node) - 1, -1, -1):
        node = graph.node[place]
        if node.name in layers:
            given, hidden, lowest = node.output[0], f"{node.name}_in_float", f"{node.name}_lowest"
            node.output[0] = hidden
            graph.initializer.append(numpy_helper.from_array(np.array(np.finfo(np.float32).min), lowest))
            graph.node.insert(place + 1, helper.make_node("Max", [hidden, lowest], [given], f"{node.name}_as_it_is"))


def harmful(model: Path, calibration: Image) -> list[str]:
    """The layers that hurt most in 8 bit; see `most_harmful`."""
    import onnx

    layers = [node.name for node in onnx.load(model).graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    faces = calibration[:JUDGES]

    def quantised_alone(layer: str) -> npt.NDArray[np.floating[Any]]:
        return _answers(quantise(model, faces, "minmax", [], [layer]), faces)

    return most_harmful(layers, _answers(onnx.load(model), faces), quantised_alone)


def _answers(model: Any, faces: Image) -> npt.NDArray[np.floating[Any]]:
    """Every output for prepared faces, side by side, (n, …)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate(session.run(None, {"images": faces}), axis=1)


def _reader(faces: Image) -> Any:
    """The faces in batches, as onnxruntime wants to be fed."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = np.split(faces, range(BATCH, len(faces), BATCH))
            self.left: Iterator[Image] = iter(self.batches)

        def __len__(self) -> int:
            return len(self.batches)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.left = iter(self.batches[start_index:end_index])

        def get_next(self) -> dict[str, Image] | None:
            batch = next(self.left, None)
            return None if batch is None else {"images": batch}

    return Reader()
