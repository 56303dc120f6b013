"""What an OpenVINO file's model.xml may hold, and what its graph costs.

OpenVINO goes by what a buffer looks like: it would take an ONNX model for one, and read the files that it names.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from ferlab.errors import ExportError
from ferlab.files import TEXT
from ferlab.limits import STEPS, Budget
from ferlab.spec import ModelSpec

_TAGS = """
    net layers layer data input output port dim edges edge rt_info attribute info Runtime_version conversion_parameters
    framework is_python_object
"""
TAGS = frozenset(_TAGS.split())
_LAYERS = """
    Abs Add AvgPool Clamp Concat Const Convert Convolution Cos Divide Elu Erf Exp Floor Gather Gelu GroupConvolution
    Broadcast GroupNormalization HSigmoid HSwish Interpolate Log LogSoftmax MVN MatMul MaxPool Maximum Minimum Mish
    Multiply Negative NormalizeL2 PReLU Pad Parameter Power ReLU ReduceL2 ReduceMax ReduceMean ReduceSum Reshape Result
    ScaledDotProductAttention Select ShapeOf Sigmoid Sin Slice SoftMax SoftPlus Split Sqrt SquaredDifference Squeeze
    StridedSlice Subtract Swish Tanh Transpose Unsqueeze VariadicSplit
"""
LAYERS = frozenset(_LAYERS.split())
# Their inputs from this one on say how large the result is.
_SIZED = """
    Broadcast Interpolate MVN Pad ReduceL2 ReduceMax ReduceMean ReduceSum Reshape Slice Split Squeeze StridedSlice
    Transpose Unsqueeze VariadicSplit
"""
SIZED = dict.fromkeys(_SIZED.split(), 1)
RANK = 16.0  # sizes that a tensor may have
SMALL = 1024  # numbers that may be computed from constants: sizes


def representation(xml: bytes) -> bytes:
    """OpenVINO's intermediate representation, written anew from what was read of it.

    Raises:
        ExportError: it is none, has layers that ferlab does not write, or computes something of constants alone: what
            the writer has done already, and a reader would do before anybody knows how large it is.
    """
    try:
        text = xml.decode("utf-8")
        if len(xml) > TEXT or "<!" in text:  # an entity may stand for any number of others
            raise ExportError("model.xml must be short and without declarations, got more; export it again")
        net = ElementTree.fromstring(text)
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ExportError(
            f"model.xml must be XML, got {' '.join(str(error).split())[:100]}; export it again"
        ) from error
    if foreign := {each.tag for each in net.iter()} - TAGS or {net.tag} - {"net"}:
        raise ExportError(f"model.xml must be OpenVINO's of one graph, got <{min(foreign)[:50]}>; export it again")
    layers = {each.get("id", ""): each for each in net.iter("layer")}
    if len(layers) > STEPS:
        raise ExportError(f"model.xml must have at most {STEPS:,} layers, got {len(layers):,}; use another model")
    for each in layers.values():
        if each.get("type") not in LAYERS or not each.get("version", "").startswith("opset"):
            said = f"{each.get('type', '')[:50]!r} of {each.get('version', '')[:20]!r}"
            raise ExportError(f"its graph must use known layers alone, got {said}; export it again")
    try:
        _check_sizes(layers, list(net.iter("edge")))
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ExportError(f"model.xml must have its layers in order, got {error!r:.50}; export it again") from error
    written: bytes = ElementTree.tostring(net, encoding="utf-8", xml_declaration=True)
    return written


def _check_sizes(layers: Mapping[str, Any], edges: Sequence[Any]) -> None:
    """Raise an ExportError unless whatever says how large a result is comes to SMALL numbers at most.

    OpenVINO computes such numbers when it reads a graph, before anybody can know how much that takes.
    """
    given: dict[str, dict[int, str]] = {}
    for edge in edges:
        given.setdefault(edge.get("to-layer", ""), {})[int(edge.get("to-port", ""))] = edge.get("from-layer", "")
    largest: dict[str, float] = {}  # numbers that are sizes or constants; infinity for what comes of images
    for name, layer in layers.items():
        sizes = [largest[before] for _, before in sorted(given.get(name, {}).items())]  # in the order of layers
        kind = layer.get("type")
        if any(size > SMALL for size in sizes[SIZED.get(kind, len(sizes)) :]):
            raise ExportError(f"its sizes must follow from its images' sizes, got others of {kind}; export it again")
        match kind:
            case "Const":
                shape = layer.find("data").get("shape", "")
                found = float(math.prod(int(size) for size in shape.split(",") if size.strip()))
            case "ShapeOf":
                found = RANK
            case "Concat":
                found = sum(sizes)
            case "Gather":
                found = sizes[0] * sizes[1]
            case "Convert":
                found = sizes[0]
            case "Parameter" | "Broadcast":
                found = math.inf
            case _ if sizes and max(sizes) == math.inf:
                found = math.inf
            case _:
                raise ExportError(f"its graph must compute of images, got {kind} of constants; export it again")
        if kind in ("Concat", "Gather") and SMALL < found < math.inf:
            raise ExportError(f"its graph must compute of images, got {kind} of constants; export it again")
        largest[name] = found


def cost(model: Any, spec: ModelSpec, faces: int) -> None:
    """Count what a batch of faces costs.

    Args:
        model: openvino.Model, of what `representation` returned.
        spec: what it is said to take.
        faces: of the batch.

    Raises:
        ExportError: more than `Budget` has, or a size that cannot be told beforehand.
    """
    fixed = model.clone()
    try:
        fixed.reshape([faces, spec.channels, spec.size, spec.size])
    except (RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise ExportError(f"its graph must take such images, got {reason}; export it again") from error
    budget = Budget(faces)
    for layer in fixed.get_ordered_ops():
        kind = layer.get_type_name()
        if any(value.get_partial_shape().is_dynamic for value in layer.outputs()):
            raise ExportError(f"its sizes must be known beforehand, got none of {kind}; export it again")
        if kind in ("Constant", "Parameter"):
            continue
        if kind == "Divide" and not layer.get_output_element_type(0).is_real():  # by 0 it ends the process
            raise ExportError("its graph must divide none but fractions, got whole numbers; export it again")
        given = [list(value.get_shape()) for value in layer.inputs()]
        products = _products(kind, layer, given)
        for value in layer.outputs():
            budget.spend(kind, list(value.get_shape()), value.get_element_type().size, *products)
            products = (0, 0)


def _products(kind: str, layer: Any, given: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Multiplications of a layer, and numbers that it may lay out to compute them."""
    made, products, workspace = math.prod(layer.get_output_shape(0)), sum(map(math.prod, given)), 0
    if kind in ("Convolution", "GroupConvolution"):
        groups = given[1][0] if kind == "GroupConvolution" else 1
        each = math.prod(given[1][2 if groups != 1 or kind == "GroupConvolution" else 1 :])
        workspace = each * groups * math.prod(list(layer.get_output_shape(0))[2:])
        products += made * each
    elif kind == "MatMul":
        products += made * max(given[0][-2:])
    elif kind == "ScaledDotProductAttention":
        products += 2 * math.prod(given[0]) * given[1][-2]
    elif "kernel" in (attributes := layer.get_attributes()):
        products += made * math.prod(attributes["kernel"])
    return products, workspace
