"""What a TFLite model may hold, and what it costs: one graph of known operators whose sizes are all written down."""

import math
import struct
from collections.abc import Sequence
from typing import Any

from ferlab.errors import ExportError
from ferlab.limits import STEPS, Budget

# What the networks of timm come to; no other graph is called, and no result's size depends on data.
_OPERATORS = """
    ABS ADD AVERAGE_POOL_2D BATCH_MATMUL CAST CONCATENATION CONV_2D COS DEPTHWISE_CONV_2D DEQUANTIZE DIV ELU EXP
    EXPAND_DIMS FLOOR FULLY_CONNECTED GATHER GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D
    MEAN MINIMUM MUL NEG PACK PAD PADV2 POW PRELU QUANTIZE REDUCE_MAX RELU RELU6 RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR RSQRT SELECT_V2 SIN SLICE SOFTMAX SPLIT SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE
    SUB SUM TANH TRANSPOSE UNPACK
"""
OPERATORS = frozenset(_OPERATORS.split())
# Their inputs from this one on say how large the result is: they must be constants.
SIZED = {
    "EXPAND_DIMS": 1, "MEAN": 1, "PAD": 1, "PADV2": 1, "REDUCE_MAX": 1, "RESHAPE": 1, "RESIZE_BILINEAR": 1,
    "RESIZE_NEAREST_NEIGHBOR": 1, "SLICE": 1, "STRIDED_SLICE": 1, "SUM": 1, "TRANSPOSE": 1,
}  # fmt: skip
POOLS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")
STRIDED = {
    "CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions", **dict.fromkeys(POOLS, "Pool2DOptions"),
}  # fmt: skip
# Bytes of a number by its type: float32, float16, int32, uint8, int64, bool, int16, int8.
BYTES = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 9: 1}
MOST = 16  # dimensions of a tensor, inputs and outputs of an operator

Shapes = list[tuple[int, ...]]


def shapes(content: bytes) -> Shapes:
    """The shape of each tensor of a flatbuffer, once it is known that they cost no more than `Budget` has.

    LiteRT computes shapes of its own: they must be these, before anything is run.

    Raises:
        ExportError: more than one graph, an unknown operator, a size that is not written down, or too large a cost.
    """
    try:
        return _shapes(content)
    except (struct.error, IndexError, ValueError, TypeError, AttributeError, KeyError) as error:
        reason = " ".join(repr(error).split())[:100]
        raise ExportError(f"it must be a TFLite model of this graph, got {reason}; export it again") from error


def _shapes(content: bytes) -> Shapes:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    if model.SubgraphsLength() != 1:
        raise ExportError(f"it must hold one graph, got {model.SubgraphsLength()}; export it again")
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    graph = model.Subgraphs(0)
    counts = (graph.TensorsLength(), graph.OperatorsLength(), model.OperatorCodesLength(), model.BuffersLength())
    if max(counts) > 4 * STEPS:
        raise ExportError(f"it must have at most {4 * STEPS:,} tensors, got {max(counts):,}; use another model")
    constant = [_length(model.Buffers(i), len(content)) > 0 for i in range(model.BuffersLength())]
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    found = [_shape(tensor) for tensor in tensors]
    budget = Budget()
    for place in range(graph.OperatorsLength()):
        operator = graph.Operators(place)
        code = model.OperatorCodes(operator.OpcodeIndex())
        name = names.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "?")
        if name not in OPERATORS or code.CustomCode() is not None:
            raise ExportError(f"its graph must use known operators alone, got {name!r}; export it again")
        if max(operator.InputsLength(), operator.OutputsLength()) > MOST * MOST:
            raise ExportError(f"an operator must have few inputs, got {operator.InputsLength():,}; export it again")
        given = [operator.Inputs(i) for i in range(operator.InputsLength())]
        if any(i >= 0 and not constant[tensors[i].Buffer()] for i in given[SIZED.get(name, len(given)) :]):
            raise ExportError(f"its sizes must be known beforehand, got none of {name}; export it again")
        products = _products(name, operator, [found[i] for i in given if i >= 0], found[operator.Outputs(0)], schema)
        for i in range(operator.OutputsLength()):
            result = operator.Outputs(i)
            budget.spend(name, found[result], BYTES[tensors[result].Type()], products)
            products = 0
    return found


def _length(buffer: Any, file: int) -> int:
    """Bytes of a buffer; those of large models lie behind the flatbuffer, in the same file of `file` bytes."""
    if buffer.Offset() + buffer.Size() > file:
        raise ExportError("it must hold its weights itself, got some outside of the model; export it again")
    return int(buffer.DataLength()) or int(buffer.Size())


def _shape(tensor: Any) -> tuple[int, ...]:
    if tensor.ShapeLength() > MOST or tensor.ShapeSignatureLength() > MOST or tensor.Sparsity() is not None:
        raise ExportError("a tensor must have few dimensions, got many or sparse ones; export it again")
    dims = tuple(int(tensor.Shape(i)) for i in range(tensor.ShapeLength()))
    signature = [tensor.ShapeSignature(i) for i in range(tensor.ShapeSignatureLength())]
    if min([*dims, *signature], default=0) < 0:
        raise ExportError(f"its sizes must be known beforehand, got {list(dims)}; export it again")
    return dims


def _products(name: str, operator: Any, given: Shapes, result: Sequence[int], schema: Any) -> int:
    """Multiplications of an operator beyond one for each number of its result."""
    products, made, window = sum(map(math.prod, given)), math.prod(result), 1
    if name in STRIDED:
        options = getattr(schema, STRIDED[name])()
        table = operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        if min(options.StrideH(), options.StrideW()) < 1:  # by which runtimes divide
            raise ExportError(f"the stride of {name} must be positive, got less; export it again")
        window = options.FilterHeight() * options.FilterWidth() if name in POOLS else 1
    if name == "CONV_2D":
        window = math.prod(given[1][1:])
    elif name == "DEPTHWISE_CONV_2D":
        window = math.prod(given[1][1:3])
    elif name == "FULLY_CONNECTED":
        window = given[1][-1]
    elif name == "BATCH_MATMUL":
        window = max(given[0][-2:])
    return products + made * max(window, 1)
