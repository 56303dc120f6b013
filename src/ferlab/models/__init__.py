"""The model zoo: one file a family and one dict. A saved model is a name here and plain options, never a class path."""

from collections.abc import Callable, Mapping
from typing import Any

from ferlab.errors import ConfigError, suggest
from ferlab.models.custom_cnn import CustomCNN
from ferlab.models.net import Backbone, Net
from ferlab.models.se_resnet import SEResNet
from ferlab.models.small_resnet import SmallResNet
from ferlab.spec import ModelSpec

__all__ = ["BUILDERS", "Net", "build"]

BUILDERS: dict[str, Callable[..., Backbone]] = {
    "custom_cnn": CustomCNN,
    "se_resnet": SEResNet,
    "small_resnet": SmallResNet,
}


def build(spec: ModelSpec, name: str, options: Mapping[str, Any]) -> Net:
    """An untrained network.

    Args:
        spec: fixes the input and the heads.
        name: a key of BUILDERS.
        options: keyword arguments of that builder, plain values.

    Raises:
        ConfigError: no such model, or no such option.
    """
    if name not in BUILDERS:
        raise ConfigError(f"unknown model '{name}'; {suggest(name, BUILDERS)}")
    try:
        backbone = BUILDERS[name](channels=spec.channels, size=spec.size, **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model {name} does not take the options {dict(options)}: {error}") from error
    return Net(spec, backbone)
