"""What the two formats of PyTorch share: their archive, the operators that a graph may use, and how it is run."""

import functools
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ferlab.errors import ExportError
from ferlab.files import TEXT
from ferlab.formats.exported import Exported
from ferlab.formats.seal import Seal, unseal_archive
from ferlab.models.rehearsal import rehearse
from ferlab.spec import Image, ModelSpec

TOP = "model/"  # PyTorch wants every part of an archive in one folder, whatever its name

# PyTorch resolves any name that a file gives, so operators are allowed one by one: aten::save writes files,
# aten::from_file reads and grows them, and other libraries register more. These are what networks of timm come to. None
# works in place: by one a file could change its own weights from call to call.
_OPERATORS = """
    _convolution adaptive_avg_pool2d adaptive_max_pool2d add addcmul addmm arange avg_pool2d batch_norm bitwise_not bmm
    cat ceil chunk clamp clamp_min clone contiguous conv1d conv2d cos cumsum detach div dropout einsum elu exp expand
    expand_as flatten floor floor_divide gelu group_norm hardsigmoid hardswish hardtanh index instance_norm layer_norm
    leaky_relu linalg_vector_norm linear log log_softmax matmul max_pool2d mean meshgrid mish movedim mul narrow neg
    norm ones pad permute pixel_shuffle pow prelu reciprocal relu relu6 remainder repeat reshape reshape_as roll rsqrt
    rsub scaled_dot_product_attention select sigmoid silu sin size slice softmax softplus split split_with_sizes sqrt
    square squeeze stack sub sum sym_size t tanh to transpose type_as unbind unflatten unfold unsqueeze
    upsample_bicubic2d upsample_bilinear2d upsample_nearest2d var view zeros
"""
OPERATORS = frozenset(_OPERATORS.split())


def functional(operator: str) -> str:
    """The operator that gives what this one, if it works in place, leaves; what a trace says next is of that result."""
    return operator.removesuffix("_") if operator.removesuffix("_") in OPERATORS else operator


def archive(parts: Mapping[str, bytes]) -> bytes:
    """A zip archive of parts, uncompressed; the same bytes for the same parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name, data in parts.items():
            file.writestr(zipfile.ZipInfo(TOP + name), data)
    return buffer.getvalue()


def unpack(path: Path) -> tuple[Seal, dict[str, bytes]]:
    """The seal of an archive, its content verified, and its other parts by name, in memory; ExportError otherwise."""
    found = unseal_archive(path, prefixed=False)
    if foreign := [name for name in found.parts if not name.startswith(TOP)]:
        raise unexpected(path, foreign)
    for name, data in found.parts.items():
        if len(data) > TEXT and not name[-1].isdecimal():  # weights are numbered; a graph and tables have names
            said = f"must have at most {TEXT:,} bytes of {name[:50]!r}, got {len(data):,}"
            raise ExportError(f"{path} {said}; export it again")
    return found.seal, {name.removeprefix(TOP): data for name, data in found.parts.items()}


def unexpected(path: Path, names: Sequence[str]) -> ExportError:
    """The error for an archive with parts that ferlab does not write."""
    return ExportError(f"{path} must hold nothing but what ferlab writes, got {sorted(names)[0]!r}; export it again")


def forbidden(operator: str) -> ExportError:
    """The error for a graph with an operator that is not in OPERATORS."""
    return ExportError(f"its graph must use none but known operators, got {operator!r}; export it as onnx")


def of_tensors(operator: Any) -> Any:
    """The overload of an operator; ExportError if it is one of plain numbers, lists or texts.

    Of these no export has need, lists joined with themselves grow without end, and a number's remainder by 0 crashes.
    """
    schema = operator._schema
    if not any("Tensor" in str(each.type) for each in (*schema.arguments, *schema.returns)):
        raise forbidden(str(operator)[:50])
    return operator


def opened(
    path: Path,
    seal: Seal,
    rehearsed: Callable[[Tensor], Any],
    load: Callable[[], Callable[[Tensor], Sequence[Tensor]]],
    threads: int,
) -> Exported:
    """A graph as a runner, once it answered a black face with what the specification says.

    Args:
        path, seal: of the file.
        rehearsed: the graph on tensors without data, for `rehearse`; asked anew for every number of faces.
        load: gives the graph, (n, c, s, s) uint8 -> a tensor for each head, in their order, once it is affordable.
        threads: that PyTorch computes with while it runs; its setting is the whole process's, so it is put back.

    Raises:
        ExportError: the graph costs too much or cannot be run, or answers something else.
    """
    spec = seal.spec
    check = functools.cache(lambda faces: rehearse(rehearsed, spec, faces))

    @torch.inference_mode()
    def call(images: Image) -> Mapping[str, npt.NDArray[np.floating[Any]]]:
        check(len(images))
        with _threads(threads):
            answers = run(torch.from_numpy(np.ascontiguousarray(images)))
        return {head: answer.numpy() for head, answer in zip(spec.heads, answers, strict=True)}

    try:
        check(1)
        run = load()
        found = {head: answer.shape for head, answer in call(np.zeros(_face(spec), np.uint8)).items()}
    except ExportError as error:
        raise ExportError(f"{path}: {error}") from error
    except Exception as error:  # a foreign graph may raise anything
        raise ExportError(
            f"PyTorch cannot run {path}: {' '.join(str(error).split())[:200]}; export it again"
        ) from error
    if found != {head: (1, width) for head, width in spec.widths.items()}:
        raise ExportError(f"{path} must answer {list(spec.heads)}, got shapes {list(found.values())}; export it again")
    return Exported(path, seal, call)


def example(spec: ModelSpec) -> Tensor:
    """Two black faces to trace with, (2, c, s, s) uint8; the batch of a single one would be taken for fixed."""
    return torch.zeros(2, *_face(spec)[1:], dtype=torch.uint8)


def _face(spec: ModelSpec) -> tuple[int, int, int, int]:
    return 1, spec.channels, spec.size, spec.size


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
