"""The model zoo: one file a family and one dict. A saved model is a name here and plain options, never a class path."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import torch

from ferlab.errors import ConfigError, suggest
from ferlab.models.custom_cnn import CustomCNN
from ferlab.models.mlp import MLP
from ferlab.models.net import Backbone, Net
from ferlab.models.pretrained import Loaded, load_weights
from ferlab.models.se_resnet import SEResNet
from ferlab.models.small_resnet import SmallResNet
from ferlab.models.timm_backbone import TimmBackbone, mobilenetv2, resnet18, vit_tiny
from ferlab.spec import ModelSpec

LARGEST_TRIED = 256  # pixels

__all__ = ["BUILDERS", "Loaded", "Net", "build", "load_weights"]

BUILDERS: dict[str, Callable[..., Backbone]] = {
    "custom_cnn": CustomCNN,
    "mlp": MLP,
    "mobilenetv2": mobilenetv2,
    "resnet18": resnet18,
    "se_resnet": SEResNet,
    "small_resnet": SmallResNet,
    "timm": TimmBackbone,
    "vit_tiny": vit_tiny,
}


def build(spec: ModelSpec, name: str, options: Mapping[str, Any]) -> Net:
    """An untrained network.

    Args:
        spec: fixes the input and the heads.
        name: a key of BUILDERS.
        options: keyword arguments of that builder, plain values.

    Raises:
        ConfigError: no such model, no such option, or a value that it cannot have.
    """
    if name not in BUILDERS:
        raise ConfigError(f"unknown model '{name}'; {suggest(name, BUILDERS)}")
    known = [p for p in signature(BUILDERS[name]).parameters if p not in ("channels", "size")]
    for option in options:
        if option not in known:
            raise ConfigError(f"unknown option '{option}' of model {name}; {suggest(option, known)}")
    try:
        backbone = BUILDERS[name](channels=spec.channels, size=spec.size, **options)
    except (TypeError, ValueError, ArithmeticError, AssertionError, LookupError, RuntimeError) as error:
        if (enough := _enough(spec, name, options)) is not None:
            whose = options.get("name", name)
            raise ConfigError(f"model.size must be larger for {whose}, got {spec.size}; {enough} is enough") from error
        reason = " ".join(str(error).split()) or type(error).__name__  # torch and timm raise all kinds
        raise ConfigError(f"cannot build model {name} with {dict(options)}: {reason}; correct model.options") from error
    return Net(spec, backbone)


def _enough(spec: ModelSpec, name: str, options: Mapping[str, Any]) -> int | None:
    """A size above the specification's at which the network can be built, a multiple of 16; None if there is none."""
    for size in range(spec.size // 16 * 16 + 16, LARGEST_TRIED + 1, 16):
        try:
            with torch.device("meta"):  # shapes without numbers
                BUILDERS[name](channels=spec.channels, size=size, **options)
        except Exception:  # all kinds, as above
            continue
        return size
    return None
