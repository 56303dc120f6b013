"""Runs the graph of a .pt2 file: torch.export's JSON, operator by operator, and nothing else that it may say.

torch.export.load would do more with it: it evaluates the sizes' expressions with sympy, compiles guards, and takes the
name of an operator for a path to any attribute of torch (`torch.os.system` among them).
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from ferlab.errors import ExportError
from ferlab.formats.torch_archive import OPERATORS, forbidden, of_tensors

SCHEMA = 8  # major version of the JSON; PyTorch raises it when older readers must not read it
ATEN = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
ARITHMETIC = {f"_operator.{name}": getattr(operator, name) for name in ("add", "sub", "mul", "floordiv")}  # of sizes
# torch._export.serde.schema.ScalarType and MemoryFormat.
DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}


class Value(str):
    """The name of a value that the graph computes or is given."""


@dataclass
class Step:
    """One call.

    Attributes:
        function: what is called.
        positional, named: its arguments, in which each `Value` is replaced.
        results: names of what it returns, in the same lists.
        last: values that no later step uses.
    """

    function: Callable[..., Any]
    positional: list[Any]
    named: dict[str, Any]
    results: list[Any]
    last: Sequence[Value] = ()


class Program:
    """(images) -> the answers, in order.

    Args:
        document: models/model.json.
        weights: parameters, buffers and constants by their names.

    Raises:
        ExportError: it is of another version, or uses an operator that is not allowed.
        KeyError, TypeError, ValueError, IndexError: it is not as torch.export writes it.
    """

    def __init__(self, document: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        if (version := document["schema_version"]["major"]) != SCHEMA:
            raise ExportError(f"its graph must have version {SCHEMA}, got {version}; export it with this ferlab")
        graph, signature = document["graph_module"]["graph"], document["graph_module"]["signature"]
        self._given: dict[Value, Any] = {}
        for spec in signature["input_specs"]:
            kind, given = _only(spec)
            if kind == "user_input":
                self._images = argument(given["arg"])
            else:
                self._given[Value(given["arg"]["name"])] = weights[given[f"{kind}_name"]]
        self._outputs = [argument(output) for output in graph["outputs"]]
        self._steps = [step(node) for node in graph["nodes"]]
        kept = {*self._given, *self._outputs}
        for each in reversed(self._steps):  # so that memory holds what is still needed, not every layer's features
            names = set(_names([each.positional, list(each.named.values()), each.results]))
            each.last = tuple(names - kept)
            kept |= names

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Run the graph."""
        values = {**self._given, self._images: images}
        for each in self._steps:
            named = {name: _fill(value, values) for name, value in each.named.items()}
            _bind(each.results, each.function(*_fill(each.positional, values), **named), values)
            for name in each.last:
                values.pop(name, None)
        return [values[name] for name in self._outputs]


def step(node: Mapping[str, Any]) -> Step:
    """A node of the graph; ExportError for an operator that is not allowed."""
    function = _function(node["target"])
    positional, named = [], {}
    for given in node["inputs"]:
        if given["kind"] == 1:
            positional.append(argument(given["arg"]))
        else:
            named[given["name"]] = argument(given["arg"])
    results = [argument(result) for result in node["outputs"]]
    return Step(function, positional, named, results)


def argument(arg: Mapping[str, Any]) -> Any:
    """An argument: a plain value, a `Value`, or a list of them."""
    kind, value = _only(arg)
    match kind:
        case "as_none":
            return None
        case "as_int" | "as_bool" | "as_string" | "as_ints" | "as_bools":
            return value
        case "as_float":
            return float(value)  # infinity is a string in JSON
        case "as_floats":
            return [float(each) for each in value]
        case "as_tensor":
            return Value(value["name"])
        case "as_name":
            return Value(value)
        case "as_sym_int" | "as_optional_tensor":
            return argument(value)
        case "as_sym_ints" | "as_optional_tensors":
            return [argument(each) for each in value]
        case "as_tensors":
            return [Value(each["name"]) for each in value]
        case "as_scalar_type":
            return DTYPES[value]
        case "as_memory_format":
            return FORMATS[value]
        case "as_device":
            return torch.device("cpu")
        case "as_layout":
            return torch.strided
    raise forbidden(kind)


def _function(target: str) -> Callable[..., Any]:
    if target in ARITHMETIC:
        return _sized(ARITHMETIC[target])
    found = ATEN.fullmatch(target)
    if not found or found[1] not in OPERATORS or found[2].endswith("out"):
        raise forbidden(target[:50])
    packet = getattr(torch.ops.aten, found[1])
    if found[2] not in packet.overloads():
        raise forbidden(target[:50])
    return cast("Callable[..., Any]", of_tensors(getattr(packet, found[2])))


def _sized(arithmetic: Callable[[int, int], int]) -> Callable[[int, int], int]:
    """Arithmetic of sizes, which end at 64 bits: Python's numbers would fill the memory, squared again and again."""

    def calculated(first: int, second: int) -> int:
        if not (isinstance(first, int) and isinstance(second, int)) or abs(found := arithmetic(first, second)) >= 2**63:
            raise ExportError("a size must be a whole number of 64 bits, got more; export it again")
        return found

    return calculated


def _only(union: Mapping[str, Any]) -> tuple[str, Any]:
    ((kind, value),) = union.items()
    return kind, value


def _names(value: Any) -> list[Value]:
    if isinstance(value, list):
        return [name for each in value for name in _names(each)]
    return [value] if isinstance(value, Value) else []


def _fill(value: Any, values: Mapping[Value, Any]) -> Any:
    if isinstance(value, list):
        return [_fill(each, values) for each in value]
    return values[value] if isinstance(value, Value) else value


def _bind(results: list[Any], returned: Any, values: dict[Value, Any]) -> None:
    if len(results) == 1 and isinstance(results[0], Value):
        values[results[0]] = returned
        return
    names = results[0] if len(results) == 1 else results  # a list of tensors is one result
    for name, value in zip(names, returned, strict=True):
        values[name] = value
