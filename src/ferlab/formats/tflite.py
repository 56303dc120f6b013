"""TFLite by litert-torch, run by LiteRT. Labels and seal are a zip archive behind it, where TFLite keeps such files.

Every file, the float16 and 8-bit ones too, has one signature: "images" -> "expression", "affect". The images are pixels
as they are, uint8 0-255, one face at a time, (1, s, s, c), or (1, c, s, s) by `layout=nchw`; the answers are float32.
So nobody who runs a file has to scale, shift or quantise anything, or to go by the order of the outputs. Channels come
last by default because cameras, pictures and TFLite's own models and tools have them there.
"""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ferlab.errors import ExportError
from ferlab.formats.exported import Exported
from ferlab.formats.interface import LABELS, labels_text
from ferlab.formats.seal import Seal, seal_archive, unseal_archive
from ferlab.formats.tflite_graph import Shapes, shapes
from ferlab.formats.tflite_metadata import described
from ferlab.spec import Image

if TYPE_CHECKING:
    from ferlab.bundle import Bundle

SIGNATURE = "serving_default"  # litert-torch's name for the only one


def write(bundle: "Bundle", seal: Seal, path: Path, calibration: Image, way: str) -> None:
    """Export a network in float32.

    Args:
        bundle: the model.
        seal: what to write inside; `seal.graph` decides what the graph gives, `seal.layout` what it takes.
        path: the .tflite file.
        calibration, way: not used: nothing is calibrated, and there is one way.

    Raises:
        ExportError: litert-torch cannot convert this network.
    """
    save(model_of(bundle, seal), seal, path)


def model_of(bundle: "Bundle", seal: Seal, pixels: str = "uint8") -> bytes:
    """The flatbuffer: "images" of dtype `pixels`, one face, in the seal's layout -> the heads by name, float32."""
    import torch

    from ferlab.formats.graph import Named

    example = torch.zeros(shape(seal), dtype=getattr(torch, pixels))
    with one_line("litert-torch cannot convert", bundle), quiet():
        import litert_torch

        net = Named(bundle, seal.graph, seal.layout)
        content: bytes = litert_torch.convert(net, sample_kwargs={"images": example}).model_content()
    return content


def save(content: bytes, seal: Seal, path: Path) -> None:
    """Write a flatbuffer with TFLite's metadata, the labels as it wants them, and the seal."""
    path.write_bytes(described(content, seal))
    seal_archive(path, seal, _packed(seal))


def _packed(seal: Seal) -> dict[str, str]:
    """What lies behind the flatbuffer beside the seal."""
    return {LABELS: labels_text(seal.spec)} if seal.spec.expression else {}


def read(path: Path, threads: int) -> Exported:
    """Open a file that ferlab exported.

    Args:
        path: the .tflite file.
        threads: of LiteRT.

    Raises:
        ExportError: missing, damaged, changed or foreign.
    """
    found = unseal_archive(path, prefixed=True)
    packed = {name: text.encode() for name, text in _packed(found.seal).items()}
    if found.parts and found.parts != packed:  # files that were made before have none
        raise ExportError(f"{path} must hold the labels of its specification as {LABELS}, got others; export it again")
    try:
        stated = shapes(found.prefix)
    except ExportError as error:
        raise ExportError(f"{path}: {error}") from error
    seal, run = found.seal, runner(found.prefix, threads, path, stated)
    taken = {name: (tuple(it["shape"]), it["dtype"]) for name, it in run.get_input_details().items()}
    given = {name: (tuple(it["shape"]), it["dtype"]) for name, it in run.get_output_details().items()}
    widths = seal.spec.widths
    wanted = {head: ((1, width), np.float32) for head, width in widths.items()}
    if taken != {"images": (shape(seal), np.uint8)} or given != wanted:
        said = f"must take images {shape(seal)} uint8 and give {wanted}, got {taken} and {given}"
        raise ExportError(f"{path} {said}; export it again")

    def call(images: Image) -> Mapping[str, npt.NDArray[np.floating[Any]]]:
        faces = np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if seal.layout == "nhwc" else images
        answers = {head: np.empty((len(faces), widths[head]), np.float32) for head in wanted}
        for row in range(len(faces)):
            for head, values in run(images=faces[row : row + 1]).items():
                answers[head][row] = values[0]
        return answers

    return Exported(path, seal, call)


def shape(seal: Seal) -> tuple[int, ...]:
    """What the images of one face measure."""
    c, s = seal.spec.channels, seal.spec.size
    return (1, s, s, c) if seal.layout == "nhwc" else (1, c, s, s)


def runner(content: bytes, threads: int, path: Path, stated: Shapes | None = None) -> Any:
    """LiteRT's signature runner of a flatbuffer; ExportError if it cannot be run, or has other shapes than stated."""
    with quiet():  # it says that it has a delegate for CPUs
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        try:
            if stated is not None:
                # Its own kernels alone say what shapes they came to; memory is taken here, but not written to.
                plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                sized = Interpreter(model_content=content, num_threads=threads, experimental_op_resolver_type=plain)
                sized.allocate_tensors()
                for each in sized.get_tensor_details():
                    if each["index"] < len(stated) and tuple(each["shape"]) != stated[each["index"]]:
                        raise ValueError(f"{each['name']} has not the shape that it states")
            interpreter = Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
            return interpreter.get_signature_runner(SIGNATURE)
        except (ValueError, RuntimeError) as error:
            raise ExportError(f"LiteRT cannot open {path}: {' '.join(str(error).split())[:200]}") from error


@contextlib.contextmanager
def one_line(what: str, bundle: "Bundle") -> Iterator[None]:
    """Turn what converters raise, which is of all kinds and pages long, into an ExportError."""
    try:
        yield
    except ExportError:
        raise
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise ExportError(f"{what} {dict(bundle.model)}: {reason}; use another format") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what Google's libraries narrate off the terminal; what goes wrong they raise.

    Their C++ writes to the descriptor of standard error, whatever sys.stderr is; their Python to sys.stdout and there.
    """
    sys.stderr.flush()
    shown = os.dup(2)
    try:
        with (
            open(os.devnull, "wb") as nowhere,
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            os.dup2(nowhere.fileno(), 2)
            # torchao, which litert-torch imports, has an invalid escape in a docstring: seen when it is compiled first.
            warnings.filterwarnings("ignore", "invalid escape sequence")
            # The quantizer keeps all tensors to calibrate, and LiteRT warns that this is for debugging.
            warnings.filterwarnings("ignore", "Warning: Enabling `experimental_preserve_all_tensors`", UserWarning)
            yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)
