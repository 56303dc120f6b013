"""TorchScript, traced and frozen: one function and its constants. Deprecated, but what libtorch programs run.

A file holds the function's code, the constants as bytes, and two pickles that follow from these. A reader takes the
code apart, allows little of it, writes all other parts anew and refuses a file that differs. So no foreign pickle is
ever read: PyTorch's own reader trusts it with the bounds of constants, runs any `__setstate__` on loading, and lets
code call operators that write files.
"""

import ast
import io
import json
import math
import re
import struct
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.jit._trace import TracerWarning

from ferlab.errors import ExportError
from ferlab.formats.exported import Exported
from ferlab.formats.script import CALLS, Script
from ferlab.formats.seal import Seal, seal_archive
from ferlab.formats.torch_archive import (
    OPERATORS,
    archive,
    example,
    forbidden,
    functional,
    opened,
    unexpected,
    unpack,
)  # fmt: skip
from ferlab.spec import Image

if TYPE_CHECKING:
    from ferlab.bundle import Bundle

CODE, CONSTANTS = "code/__torch__.py", "extra/constants.json"
VERSION = b"10\n"  # of the operators, the newest since PyTorch 1.13; calls of older ones are rewritten on loading
OBJECT = b"\x80\x02c__torch__\nAnswers\nq\x00)\x81}(ubq\x01."  # an instance of class Answers, without attributes
STORAGES = {"float32": b"FloatStorage", "float64": b"DoubleStorage", "int64": b"LongStorage", "bool": b"BoolStorage"}
SYNTAX = (
    ast.Assign, ast.Return, ast.Call, ast.keyword, ast.Attribute, ast.Subscript, ast.Name, ast.Constant, ast.List,
    ast.Tuple, ast.UnaryOp, ast.USub, ast.Load, ast.Store,
)  # fmt: skip
NAMESPACES = ("ops.prim",)
TEXT = re.compile(r"[\w ,.>-]*")  # names of modes, and what einsum takes


def write(bundle: "Bundle", seal: Seal, path: Path, calibration: Image, way: str) -> None:
    """Trace and freeze a network, in float32 with a dynamic batch.

    Args:
        bundle: the model.
        seal: what to write inside; `seal.graph` decides what the graph gives.
        path: the .torchscript file.
        calibration, way: not used: nothing is calibrated, and there is one way.

    Raises:
        ExportError: the network uses an operator that `read` would refuse.
    """
    from ferlab.formats.graph import Answers

    with _deprecated(), torch.no_grad():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            Answers(bundle, seal.graph), example(bundle.spec), check_trace=False
        )
        code, table = torch.jit.freeze(traced).code_with_constants
    constants = [np.asarray(table.const_mapping[f"c{i}"], order="C") for i in range(len(table.const_mapping))]
    described = [{"dtype": each.dtype.name, "shape": list(each.shape)} for each in constants]
    body = [_InFunctional().visit(statement) for statement in ast.parse(code).body[0].body]
    path.write_bytes(archive(parts(body, bundle.spec.heads, described, [each.tobytes() for each in constants])))
    seal_archive(path, seal)


def read(path: Path, threads: int) -> Exported:
    """Open a file that ferlab exported.

    Args:
        path: the .torchscript file.
        threads: see `torch_archive.opened`.

    Raises:
        ExportError: missing, damaged, changed or foreign.
    """
    seal, found = unpack(path)
    try:
        body = ast.parse(found[CODE].decode()).body[0].body[-1].body  # type: ignore[attr-defined]
        described = json.loads(found[CONSTANTS])
        data = [found[f"constants/{i}"] for i in range(len(described))]
        wanted = parts(body, seal.spec.heads, described, data)
    except ExportError as error:
        raise ExportError(f"{path}: {error}") from error
    except Exception as error:  # ast and json have many for what is not as `write` left it
        reason = " ".join(repr(error).split())[:100]
        raise ExportError(f"{path} must be TorchScript as ferlab writes it, got {reason}; export it again") from error
    if different := [name for name in {*found, *wanted} if found.get(name) != wanted.get(name)]:
        raise unexpected(path, different)
    weights = [
        torch.empty(each["shape"], dtype=getattr(torch, each["dtype"]), device="meta") if each["shape"]
        else torch.frombuffer(bytearray(values), dtype=getattr(torch, each["dtype"]))[0]
        for each, values in zip(described, data, strict=True)
    ]  # fmt: skip

    def load() -> Any:
        with _deprecated():
            return torch.jit.load(  # type: ignore[no-untyped-call]
                io.BytesIO(archive(wanted)), map_location="cpu"
            )

    return opened(path, seal, Script(body, weights), load, threads)


def parts(
    body: Sequence[ast.stmt], heads: Sequence[str], described: Sequence[Mapping[str, Any]], data: Sequence[bytes]
) -> dict[str, bytes]:
    """Every part of an archive but the seal.

    Args:
        body: of the function.
        heads: what it answers.
        described: dtype and shape of each constant.
        data: their values, contiguous and little-endian.

    Raises:
        ExportError: the body has more than calls of known operators, or a constant is not as long as it says.
    """
    for constant, values in zip(described, data, strict=True):
        if constant["dtype"] not in STORAGES or not all(type(n) is int and n >= 0 for n in constant["shape"]):
            raise ExportError(f"a constant must have a dtype and a shape, got {constant}; export it again")
        if len(values) != math.prod(constant["shape"]) * np.dtype(constant["dtype"]).itemsize:
            raise ExportError(f"a constant of {constant} must be as long, got {len(values):,} bytes; export it again")
    return {
        "data.pkl": OBJECT,
        CODE: code_of(body, heads).encode(),
        **{f"constants/{i}": values for i, values in enumerate(data)},
        "constants.pkl": pickle_of(described),
        CONSTANTS: json.dumps(described).encode(),
        "version": VERSION,
        "byteorder": b"little",
    }


class _InFunctional(ast.NodeTransformer):
    """Takes operators that work in place for those that do not; see `torch_archive.OPERATORS`."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.Attribute:
        self.generic_visit(node)
        node.attr = functional(node.attr)
        return node


def code_of(body: Sequence[ast.stmt], heads: Sequence[str]) -> str:
    """The code of the module whose function has this body, written anew; ExportError unless all in it is known."""
    for node in (node for statement in body for node in ast.walk(statement)):
        if not isinstance(node, SYNTAX):
            raise forbidden(type(node).__name__)
        called = node.func if isinstance(node, ast.Call) else node
        if isinstance(called, ast.Attribute) or isinstance(node, ast.Call):
            _check_name(ast.unparse(called))
        if isinstance(node, ast.Constant) and not (
            TEXT.fullmatch(node.value) if isinstance(node.value, str) else isinstance(node.value, int | float | None)
        ):
            raise forbidden(repr(node.value)[:50])
    returned = ", ".join(["Tensor"] * len(heads))
    lines = "\n".join(ast.unparse(statement) for statement in body)
    return (
        "class Answers(Module):\n    __parameters__ = []\n    __buffers__ = []\n"
        f"    def forward(self, images: Tensor) -> Tuple[{returned}]:\n{textwrap.indent(lines, ' ' * 8)}\n"
    )


def _check_name(name: str) -> None:
    space, _, last = name.rpartition(".")
    known = (
        name in (*CALLS, *NAMESPACES)
        or (space == "torch" and last in OPERATORS)
        or re.fullmatch(r"CONSTANTS\.c\d+", name)
    )
    if not known:
        raise forbidden(name[:50])


def pickle_of(described: Sequence[Mapping[str, Any]]) -> bytes:
    """The tuple of constants as PyTorch pickles it: tensors whose storages are the parts constants/0, 1, and so on."""

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def numbers(*values: int) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"

    tensors = []
    for key, constant in enumerate(described):
        shape = constant["shape"]
        strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        count = b"J" + struct.pack("<i", math.prod(shape))
        kind = b"ctorch\n" + STORAGES[constant["dtype"]] + b"\n"
        storage = b"(" + text("storage") + kind + text(str(key)) + text("cpu") + count + b"tQ"
        rest = b"J\x00\x00\x00\x00" + numbers(*shape) + numbers(*strides) + b"\x89ccollections\nOrderedDict\n)R"
        tensors.append(b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"tR")
    return b"\x80\x02(" + b"".join(tensors) + b"t."


@contextmanager
def _deprecated() -> Iterator[None]:
    """Silence what PyTorch says of every call: that TorchScript is deprecated, and what tracing may have missed.

    The first is known; the second shows when the answers are compared, which is done on batches of another size.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is", FutureWarning)
        warnings.simplefilter("ignore", TracerWarning)
        yield
