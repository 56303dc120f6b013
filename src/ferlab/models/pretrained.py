"""Weights to start from: those that timm publishes, those of a .safetensors file, or those of a bundle.

All of the backbone is loaded or nothing is: weights that silently fit only half of a network are worse than none.
"""

import hashlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from ferlab.errors import ConfigError
from ferlab.models.net import Backbone, Net
from ferlab.models.timm_backbone import TimmBackbone
from ferlab.weights import read_weights

SHOWN = 3  # of a list of names in an error
UNREAD = "num_batches_tracked"  # batch norm counts its batches, to no use; older files lack it


@dataclass(frozen=True)
class Loaded:
    """What a network started from.

    Attributes:
        path: the file, or timm's name of the weights.
        sha256: of the file; of timm's weights, of the tensors as safetensors writes them.
        loaded: number of tensors that were taken.
        adapted: those of them that were fitted to the network's input, and how.
        skipped: tensors that were left out: heads, a classifier, a hidden layer that the network has not.
        fresh: parameters and statistics of the backbone that start from the seed: a hidden layer of its own.
    """

    path: str
    sha256: str
    loaded: int
    adapted: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for the start of a run."""
        notes = [f"{self.loaded:,} tensors", *self.adapted]
        if self.skipped:
            notes.append(f"left out {_some(self.skipped)}")
        if self.fresh:
            notes.append(f"from scratch {_some(self.fresh)}")
        return f"{self.path}: {'; '.join(notes)}"


def load_weights(net: Net, source: str | Path) -> Loaded:
    """Load a backbone's weights into `net`; its heads stay as they are.

    Only what depends on the input is adapted. First-layer kernels go from RGB to grey by summing over the channels,
    which answers a grey picture as three equal channels would be answered if all had the mean and std that the grey one
    has now; from grey to RGB by a third of the kernel for each channel, the same for such pictures. A ViT's position
    embeddings are interpolated to another grid and its patch embedding resampled to another patch
    (Beyer et al. 2023, arXiv:2212.08013), both by timm.

    Args:
        net: its backbone is overwritten.
        source: `timm` for the weights that timm publishes for this network, which are downloaded; a .safetensors file
            with the state dict of timm's (or torchvision's, where names agree, as ResNet's do) network of this
            architecture; or the folder of a bundle or of its run, or its weights.safetensors.

    Raises:
        ConfigError: nothing there, no network, not whole, a pickle, or of another architecture: names and shapes are
            listed. `net` is as it was.
    """
    path, sha256, tensors = _download(net.backbone) if str(source) == "timm" else _read(_find(Path(source)))
    given, own = _renamed(tensors, net.backbone), net.backbone.state_dict()
    chosen: dict[str, Tensor] = {}
    adapted = []
    for key in [key for key in own if key in given]:
        chosen[key], how = _adapt(key, given[key], own[key].shape, net.backbone)
        if how:
            adapted.append(f"{key.removeprefix('body.')} {how}")
    skipped = {key: value for key, value in given.items() if key not in own}
    fresh = {key: value for key, value in own.items() if key not in given and not key.endswith(UNREAD)}
    optional = ("heads.", "hidden.", *_classifiers(net.backbone))
    _check(
        path,
        missing=[_shaped(key, value) for key, value in fresh.items() if not key.startswith(optional)],
        unexpected=[_shaped(key, value) for key, value in skipped.items() if not key.startswith(optional)],
        reshaped=[
            f"{_shaped(k, v)} in place of {tuple(own[k].shape)}" for k, v in chosen.items() if v.shape != own[k].shape
        ],
        infinite=[key for key, value in chosen.items() if not value.isfinite().all()],
    )
    net.backbone.load_state_dict(chosen, strict=False)
    return Loaded(path, sha256, len(chosen), tuple(adapted), tuple(skipped), tuple(fresh))


def _check(path: str, missing: list[str], unexpected: list[str], reshaped: list[str], infinite: list[str]) -> None:
    """Raise unless the weights fit the whole backbone and are finite."""
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
    if found := [f"{len(names)} {kind} ({_some(names)})" for kind, names in faults.items() if names]:
        raise ConfigError(
            f"model.weights={path} must fit the model, got {', '.join(found)}; "
            "use weights of this architecture with the same options, or model.weights=null"
        )
    if infinite:
        raise ConfigError(f"model.weights={path} must be finite, got NaN or infinity in {_some(infinite)}; use others")


def _shaped(key: str, value: Tensor) -> str:
    return f"{key} {tuple(value.shape)}"


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(name.removeprefix("body.") for name in names[:SHOWN]) + more


def _find(path: Path) -> Path:
    """The .safetensors file that `path`, a file, a bundle or its run, stands for."""
    folders = (path, path / "bundle")
    file = next((f / "weights.safetensors" for f in folders if (f / "weights.safetensors").is_file()), path)
    if not file.is_file():
        raise ConfigError(f"model.weights must be timm, a .safetensors file or a bundle, got {file}; check the path")
    if file.suffix != ".safetensors":
        convert = (
            "import torch, safetensors.torch as s; "
            f"s.save_file(torch.load('{file.name}', weights_only=True), '{file.stem}.safetensors')"
        )
        raise ConfigError(
            f"model.weights must be a .safetensors file, got {file}: a pickle may run code when it is read; "
            f'convert it: python -c "{convert}"'
        )
    return file


def _read(file: Path) -> tuple[str, str, dict[str, Tensor]]:
    """A file's path, sha256 and tensors."""
    try:
        with open(file, "rb") as opened:
            return str(file), hashlib.file_digest(opened, "sha256").hexdigest(), read_weights(file)[1]
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"model.weights={file} must be a whole safetensors file: {reason}; copy it again") from error


def _download(backbone: Backbone) -> tuple[str, str, dict[str, Tensor]]:
    """The weights that timm publishes for this network, as they are: their name, digest and tensors."""
    if not isinstance(backbone, TimmBackbone):
        raise ConfigError("model.weights=timm needs a network of timm, got one of ferlab's; give a file, or null")
    import timm

    try:
        with _quiet_hub():
            body: Any = timm.create_model(backbone.name, pretrained=True)
    except Exception as error:  # the hub's clients raise unrelated types
        reason = " ".join(str(error).split()).split(". ")[0]
        raise ConfigError(
            f"cannot download timm's weights of {backbone.name}: {reason}; give model.weights=path.safetensors, or "
            "model.weights=null to train from scratch"
        ) from error
    name = body.pretrained_cfg.get("hf_hub_id") or backbone.name
    tensors = {key: value.detach().contiguous() for key, value in body.state_dict().items()}
    return name, hashlib.sha256(save(tensors)).hexdigest(), tensors


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Keep the hub's client from logging each of its attempts."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _renamed(tensors: Mapping[str, Tensor], backbone: Backbone) -> dict[str, Tensor]:
    """The tensors under the backbone's own names; a bundle's heads keep theirs."""
    read = {key: value for key, value in tensors.items() if not key.endswith(UNREAD)}
    if all(key.startswith(("backbone.", "heads.")) for key in read):
        return {key.removeprefix("backbone."): value for key, value in read.items()}
    prefix = "body." if isinstance(backbone, TimmBackbone) else ""
    return {f"{prefix}{key}": value for key, value in read.items()}


def _classifiers(backbone: Backbone) -> tuple[str, ...]:
    """What the names of the layers begin with that timm's published network ends in and the backbone has not."""
    if not isinstance(backbone, TimmBackbone):
        return ()
    names = backbone.body.pretrained_cfg["classifier"] or ()
    prefixes = []
    for name in (names,) if isinstance(names, str) else names:
        parent = f"body.{name}".rpartition(".")[0] + "."  # goes with its classifier where nothing else is in it
        kept = any(key.startswith(parent) for key in backbone.state_dict())
        prefixes.append(f"body.{name}." if kept else parent)
    return tuple(prefixes)


def _adapt(key: str, value: Tensor, wanted: torch.Size, backbone: Backbone) -> tuple[Tensor, str]:
    """Fit what depends on the input to the network's; and how that was done, empty where nothing was."""
    how = []
    if value.ndim == len(wanted) == 4 and (value.shape[1], wanted[1]) == (3, 1):
        value = value.sum(1, keepdim=True)
        how.append("summed from RGB to grey")
    elif value.ndim == len(wanted) == 4 and (value.shape[1], wanted[1]) == (1, 3):
        value = value.repeat(1, 3, 1, 1) / 3
        how.append("spread from grey to RGB")
    if isinstance(backbone, TimmBackbone) and value.shape != wanted:
        if key == "body.patch_embed.proj.weight" and value.shape[:2] == wanted[:2]:
            from timm.layers.patch_embed import resample_patch_embed

            value = resample_patch_embed(value, list(wanted[2:]))
            how.append(f"resampled to patches of {wanted[2]} pixels")
        elif key == "body.pos_embed" and value.ndim == 3 and hasattr(backbone.body, "num_prefix_tokens"):
            value = _on_grid(value, backbone.body)
            how.append("interpolated to {}×{} patches".format(*backbone.body.patch_embed.grid_size))
    return value, ", ".join(how)


def _on_grid(embeddings: Tensor, body: Any) -> Tensor:
    """A ViT's position embeddings, (1, tokens, width), from a square grid to the network's; the class token's stay."""
    from timm.layers.pos_embed import resample_abs_pos_embed

    prefix = 0 if getattr(body, "no_embed_class", False) else body.num_prefix_tokens
    tokens = embeddings.shape[1] - prefix
    if math.isqrt(max(tokens, 0)) ** 2 != tokens:
        return embeddings  # of something else: its shape will be refused
    resampled: Tensor = resample_abs_pos_embed(embeddings, body.patch_embed.grid_size, num_prefix_tokens=prefix)
    return resampled
