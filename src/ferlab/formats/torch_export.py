"""torch.export's .pt2: the graph as JSON and the weights as bytes, for PyTorch without Python code of the network.

torch.export.load unpickles what a file asks it to: sample inputs, custom objects, weights that say `use_pickle`, all by
Python's pickle. What ferlab writes holds no pickle, and what ferlab reads is run by `interpreter`, which knows none.
"""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ferlab.errors import ExportError
from ferlab.formats.exported import Exported
from ferlab.formats.interpreter import DTYPES, Program, step
from ferlab.formats.seal import Seal, seal_archive
from ferlab.formats.torch_archive import archive, example, functional, opened, unexpected, unpack
from ferlab.models.rehearsal import without_data
from ferlab.spec import Image

if TYPE_CHECKING:
    from ferlab.bundle import Bundle

MODEL = "models/model.json"
TABLES = {
    "weights": "data/weights/model_weights_config.json",
    "constants": "data/constants/model_constants_config.json",
}
SAMPLE = "data/sample_inputs/model.pt"  # a pickle; empty, it is not read
PARTS = re.compile(
    r"archive_format|archive_version|byteorder|\.data/version|models/model\.json|data/sample_inputs/model\.pt|"
    r"data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
)


def write(bundle: "Bundle", seal: Seal, path: Path, calibration: Image, way: str) -> None:
    """Export a network in float32 with a dynamic batch.

    Args:
        bundle: the model.
        seal: what to write inside; `seal.graph` decides what the graph gives.
        path: the .pt2 file.
        calibration, way: not used: nothing is calibrated, and there is one way.

    Raises:
        ExportError: the network uses an operator that `read` would refuse.
    """
    buffer = io.BytesIO()
    torch.export.save(program_of(bundle, seal), buffer)
    with zipfile.ZipFile(buffer) as file:
        parts = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
    parts = {name: data for name, data in parts.items() if PARTS.fullmatch(name)} | {SAMPLE: b""}
    model = json.loads(parts[MODEL])
    for node in model["graph_module"]["graph"]["nodes"]:
        node["metadata"].pop("stack_trace", None)  # it names folders of whoever exports
        node["target"] = ".".join(map(functional, node["target"].split(".")))
        step(node)
    data = archive(parts | {MODEL: json.dumps(model).encode()})
    torch.export.load(io.BytesIO(data))  # what else but ferlab will read it with
    path.write_bytes(data)
    seal_archive(path, seal)


def program_of(bundle: "Bundle", seal: Seal) -> torch.export.ExportedProgram:
    """The torch.export.ExportedProgram: "images" (n, c, s, s) uint8 or float 0-255 -> the heads, for any n."""
    from ferlab.formats.graph import Answers

    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        program = torch.export.export(
            Answers(bundle, seal.graph), (example(bundle.spec),), dynamic_shapes=({0: batch},)
        )
    for node in program.graph.find_nodes(op="call_function", target=torch.ops.aten._assert_tensor_metadata.default):
        program.graph.erase_node(node)  # it would refuse float images
    return program


def read(path: Path, threads: int) -> Exported:
    """Open a file that ferlab exported.

    Args:
        path: the .pt2 file.
        threads: see `torch_archive.opened`.

    Raises:
        ExportError: missing, damaged, changed or foreign.
    """
    seal, parts = unpack(path)
    if foreign := [name for name in parts if not PARTS.fullmatch(name)] or [SAMPLE] * bool(parts.get(SAMPLE)):
        raise unexpected(path, foreign)
    try:
        weights = {name: tensor for kind in TABLES for name, tensor in _tensors(kind, parts).items()}
        model = json.loads(parts[MODEL])
        rehearsed = Program(model, {name: without_data(tensor) for name, tensor in weights.items()})
        program = Program(model, weights)
    except ExportError as error:
        raise ExportError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError, RecursionError) as error:
        reason = " ".join(repr(error).split())[:100]
        raise ExportError(f"{path} must be as torch.export writes it, got {reason}; export it again") from error
    return opened(path, seal, rehearsed, lambda: program, threads)


def _tensors(kind: str, parts: Mapping[str, bytes]) -> dict[str, Tensor]:
    """Weights or constants by name, viewed in their storages as the table of their kind says."""
    found = {}
    for name, entry in json.loads(parts[TABLES[kind]])["config"].items():
        if entry["use_pickle"]:
            raise ExportError(f"weights must be plain bytes, got {name!r:.50} as a pickle; export it again")
        meta = entry["tensor_meta"]
        data = parts[f"data/{kind}/{entry['path_name']}"]
        flat = torch.frombuffer(bytearray(data), dtype=DTYPES[meta["dtype"]])
        sizes, strides = ([size["as_int"] for size in meta[key]] for key in ("sizes", "strides"))
        found[name] = flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"])
    return found
