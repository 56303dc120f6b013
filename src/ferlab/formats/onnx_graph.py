"""What an ONNX model may hold, and what it costs: checked on the parsed model, which the runtime then gets.

onnxruntime by itself would run loops and other models' operators, read weights from files that a model names, open its
own format in place of ONNX, and take whatever memory the sizes come to.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ferlab.errors import ExportError
from ferlab.limits import Budget
from ferlab.spec import ModelSpec

# Of the standard's; what the networks of timm come to. None has a graph inside, or a result whose size only data tells.
_OPERATORS = """
    Abs Add AveragePool BatchNormalization Cast CastLike Ceil Clip Concat Constant ConstantOfShape Conv Cos
    DequantizeLinear Div Elu Equal Erf Exp Expand Flatten Floor Gather Gelu Gemm GlobalAveragePool GlobalMaxPool
    GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Log LogSoftmax
    MatMul Max MaxPool Min Mish Mul Neg Pad Pow PRelu QuantizeLinear Range Reciprocal ReduceL2 ReduceMax ReduceMean
    ReduceSum Relu Reshape Resize Shape Sigmoid Sin Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Tanh Tile
    Transpose Unsqueeze Where
"""
OPERATORS = frozenset(_OPERATORS.split())
POSITIVE = ("strides", "dilations", "kernel_shape", "group", "num_groups")  # by which runtimes divide
FLOATS = (1, 10, 11, 16)  # onnx.TensorProto.DataType
KNOWN = 1024  # numbers of a constant, from which a size may follow


def parsed(content: bytes) -> Any:
    """The onnx.ModelProto, without what it claims of its sizes.

    Raises:
        ExportError: no ONNX, or more than known operators on weights of its own.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own, of a package that has no types
        raise ExportError("it must be an ONNX model, got something else; export it again") from error
    model.DiscardUnknownFields()
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    if any(each.name in weights for each in graph.input):  # as IR 3 has it, whose successor is the same without
        images = [each for each in graph.input if each.name not in weights]
        del graph.input[:]
        graph.input.extend(images)
        model.ir_version = max(model.ir_version, 4)
    if model.functions or model.training_info or graph.sparse_initializer or len(graph.input) != 1:
        raise ExportError("it must be one graph of known operators that takes images, got more; export it again")
    tensors = list(graph.initializer)
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            raise ExportError(f"its graph must use known operators alone, got {node.op_type[:50]!r}; export it again")
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs or attribute.sparse_tensors or attribute.ref_attr_name:
                raise ExportError(f"its graph must hold no other, got one in {node.op_type}; export it again")
            numbers = attribute.ints if attribute.type == onnx.AttributeProto.INTS else [attribute.i]
            if attribute.name in POSITIVE and min(numbers, default=1) < 1:
                raise ExportError(f"{attribute.name} of {node.op_type} must be positive, got less; export it again")
            tensors += [*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ExportError("it must hold its weights itself, got a reference to another file; export it again")
        if math.prod(tensor.dims) > len(content):
            raise ExportError(
                f"it must hold its weights, got {list(tensor.dims)[:6]} of {tensor.name[:50]!r}; export it again"
            )
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def cost(model: Any, spec: ModelSpec, faces: int) -> None:
    """Count what a batch of faces costs.

    Args:
        model: as `parsed` returns it.
        spec: what it is said to take.
        faces: of the batch.

    Raises:
        ExportError: more than `Budget` has, or a size that cannot be told beforehand.
    """
    import onnx

    light = onnx.ModelProto()
    light.CopyFrom(model)
    for tensor in light.graph.initializer:
        if math.prod(tensor.dims) > KNOWN:
            tensor.ClearField("raw_data")
    shape = light.graph.input[0].type.tensor_type.shape
    shape.ClearField("dim")
    for size in (faces, spec.channels, spec.size, spec.size):
        shape.dim.add().dim_value = size
    try:
        graph = onnx.shape_inference.infer_shapes(light, check_type=True, strict_mode=True, data_prop=True).graph
    except Exception as error:  # onnx has an exception class of its own, and raises others
        raise ExportError(
            f"its sizes must follow from its images, got {' '.join(str(error).split())[:150]}; export it again"
        ) from error
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    types = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        types[value.name] = value.type.tensor_type.elem_type
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            shapes[value.name] = [dim.dim_value for dim in dims]
    budget = Budget(faces)
    for node in graph.node:
        if node.op_type == "Div" and types.get(node.output[0]) not in FLOATS:  # by 0 it ends the process
            raise ExportError("its graph must divide none but fractions, got whole numbers; export it again")
        for name in (*node.input, *node.output):
            if name and (name not in shapes or min(shapes[name], default=0) < 0):
                raise ExportError(f"its sizes must be known beforehand, got none of {node.op_type}; export it again")
        products = _products(node, shapes)
        for name in filter(None, node.output):
            budget.spend(node.op_type, shapes[name], 8 if types.get(name) in (7, 11, 13) else 4, *products)
            products = (0, 0)


def _products(node: Any, shapes: Mapping[str, Sequence[int]]) -> tuple[int, int]:
    """Multiplications of a node, and numbers that it may lay out to compute them."""
    given, made = [shapes[name] for name in node.input if name], math.prod(shapes[node.output[0]])
    attributes = {attribute.name: attribute for attribute in node.attribute}
    products, workspace = sum(map(math.prod, given)), 0
    if node.op_type == "Conv":
        each = math.prod(given[1][1:])
        workspace = (
            each * math.prod(shapes[node.output[0]][2:]) * max(attributes["group"].i if "group" in attributes else 1, 1)
        )
        products += made * each
    elif node.op_type in ("Gemm", "MatMul"):
        transposed = "transA" in attributes and attributes["transA"].i
        products += made * given[0][0 if transposed else -1]
    elif "kernel_shape" in attributes:
        products += made * math.prod(attributes["kernel_shape"].ints)
    return products, workspace
