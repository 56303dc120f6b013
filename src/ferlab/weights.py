"""weights.safetensors of a bundle: tensors under a seal. Equal tensors under an equal seal give equal bytes."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

ENTRY = "ferlab"  # the seal's key; safetensors writes several keys in a random order, so there is one


def write_weights(file: Path, tensors: Mapping[str, Tensor], seal: Mapping[str, str]) -> None:
    """Write `tensors` with what `seal` says of them, and a digest of their names, types, shapes and values."""
    said = json.dumps({**seal, "content": _digest(tensors)}, sort_keys=True)
    save_file(dict(tensors), file, metadata={ENTRY: said})


def read_weights(file: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The seal and the tensors of a safetensors file; a file that ferlab did not write has its own metadata for a seal.

    Files from before there was a digest are read without one.

    Raises:
        FileNotFoundError: no such file.
        SafetensorError: damaged, or not a safetensors file.
    """
    if not file.is_file():  # a pipe is never opened
        raise FileNotFoundError(f"no file {file}")
    with safe_open(file, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (it is no dict)
        seal = dict(opened.metadata() or {})
    if ENTRY not in seal:
        return seal, tensors
    try:
        seal = dict(json.loads(seal[ENTRY]))
        content = seal.pop("content")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SafetensorError(f"its seal cannot be read: {error}") from error
    if content != _digest(tensors):
        raise SafetensorError(f"the digest of its content must be {str(content)[:16]}, got {_digest(tensors)[:16]}")
    return seal, tensors


def _digest(tensors: Mapping[str, Tensor]) -> str:
    result = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        result.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        result.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return result.hexdigest()
