"""The function of a .torchscript file, run by Python operator by operator, to rehearse it.

TorchScript's own interpreter takes any number for a dtype, and crashes by it.
"""

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ferlab.formats.interpreter import DTYPES
from ferlab.formats.torch_archive import forbidden, of_tensors

MEMORY_FORMATS = {0: torch.contiguous_format, 1: torch.preserve_format, 2: torch.channels_last}  # c10::MemoryFormat
NUMBERED: Mapping[str, Mapping[int, Any]] = {
    "ScalarType": DTYPES, "Layout": {0: torch.strided}, "MemoryFormat": MEMORY_FORMATS,
}  # fmt: skip
NAMES = {"inf": math.inf, "nan": math.nan, "None": None, "True": True, "False": False}


class Script:
    """(images) -> the answers, in order.

    Args:
        body: of the function, of which `torchscript.code_of` found all known.
        constants: CONSTANTS.c0, c1 and so on.
    """

    def __init__(self, body: Sequence[ast.stmt], constants: Sequence[Tensor]) -> None:
        self._body = body
        self._constants = {f"CONSTANTS.c{i}": constant for i, constant in enumerate(constants)}

    def __call__(self, images: Tensor) -> Any:
        """Run it; ExportError for what `ferlab export` does not write."""
        values: dict[str, Any] = {**NAMES, "images": images}
        for statement in self._body:
            if isinstance(statement, ast.Return) and statement.value is not None:
                return self._value(statement.value, values)
            if not isinstance(statement, ast.Assign):
                break
            _bind(statement.targets[0], self._value(statement.value, values), values)
        raise forbidden("a body without a result")

    def _value(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return values[node.id]
            case ast.List() | ast.Tuple():
                return [self._value(each, values) for each in node.elts]
            case ast.UnaryOp():
                return -self._value(node.operand, values)
            case ast.Attribute():
                return self._constants[ast.unparse(node)]
            case ast.Call():
                return self._call(node, values)
        raise forbidden(type(node).__name__)

    def _call(self, node: ast.Call, values: Mapping[str, Any]) -> Any:
        name = ast.unparse(node.func)
        if name == "annotate":  # (type, value)
            return self._value(node.args[1], values)
        given = [self._value(each, values) for each in node.args]
        named = {str(each.arg): self._value(each.value, values) for each in node.keywords}
        if name in CALLS:
            return CALLS[name](*given, **named)
        return _operator(name.removeprefix("torch."), given, named)


def _bind(target: ast.expr, value: Any, values: dict[str, Any]) -> None:
    if isinstance(target, ast.Name):
        values[target.id] = value
    elif isinstance(target, ast.Tuple | ast.List):
        for each, part in zip(target.elts, value, strict=True):
            _bind(each, part, values)
    else:
        raise forbidden(type(target).__name__)


def _operator(name: str, given: list[Any], named: dict[str, Any]) -> Any:
    """Call an operator of ATen, once every number that stands for a dtype, layout or memory format is one."""
    packet = getattr(torch.ops.aten, name)
    found = torch._C._jit_resolve_packet(f"aten::{name}", *given, **named)
    overload = of_tensors(getattr(packet, found or "default"))
    for place, argument in enumerate(overload._schema.arguments):
        known = next((known for kind, known in NUMBERED.items() if kind in str(argument.real_type)), None)
        value = given[place] if place < len(given) else named.get(argument.name)
        if known is not None and isinstance(value, int) and value not in known:
            raise forbidden(f"{argument.name} {value} of {name}")
    return overload(*given, **named)


def _cpu(name: str) -> torch.device:
    if name != "cpu":
        raise forbidden(f"device {name}")
    return torch.device("cpu")


CALLS: Mapping[str, Callable[..., Any]] = {
    "int": int, "float": float, "annotate": lambda kind, value: value, "torch.device": _cpu,
    "ops.prim.NumToTensor": lambda number: torch.tensor(number),
}  # fmt: skip
