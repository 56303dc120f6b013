"""TFLite with float16 weights and float32 arithmetic: half the size; read like any TFLite file."""

from pathlib import Path
from typing import TYPE_CHECKING

from ferlab.formats.seal import Seal
from ferlab.formats.tflite import model_of, one_line, quiet, save
from ferlab.spec import Image

if TYPE_CHECKING:
    from ferlab.bundle import Bundle


def write(bundle: "Bundle", seal: Seal, path: Path, calibration: Image, way: str) -> None:
    """Export a network with its weights in float16; the arguments and errors are those of `tflite.write`."""
    model = model_of(bundle, seal)
    with one_line("ai-edge-quantizer cannot halve", bundle):
        content = halved(model)
    save(content, seal, path)


def halved(model: bytes) -> bytes:
    """The flatbuffer with the weights of its layers in float16."""
    with quiet():
        from ai_edge_quantizer.qtyping import (
            ComputePrecision,
            OpQuantizationConfig,
            TensorDataType,
            TensorQuantizationConfig,
            TFLOperationName,
        )
        from ai_edge_quantizer.quantizer import AlgorithmName, Quantizer

        half = OpQuantizationConfig(
            weight_tensor_config=TensorQuantizationConfig(num_bits=16, dtype=TensorDataType.FLOAT),
            compute_precision=ComputePrecision.FLOAT,
        )
        quantizer = Quantizer(model)
        quantizer.update_quantization_recipe(".*", TFLOperationName.ALL_SUPPORTED, half, AlgorithmName.FLOAT_CASTING)
        return bytes(quantizer.quantize(enable_progress_report=False).quantized_model)
