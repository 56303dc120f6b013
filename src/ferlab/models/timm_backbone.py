"""Any network of timm (PyTorch Image Models) as a backbone, and the families that are one of them by name.

timm takes seconds to import, so only functions import it: a bundle of another family never pays for it.
"""

from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from ferlab.errors import ConfigError
from ferlab.models.net import Backbone, dense_bn


class TimmBackbone(Backbone):
    """A timm network without its classifier: pooled features, perhaps a hidden layer, and dropout.

    Args:
        channels, size: of the input; a transformer is built for that size.
        name: as `timm.list_models()` has it, perhaps with the tag of its weights (`resnet18.a1_in1k`).
        small_input: for crops of about 48 pixels: the first convolution and the max-pool after it shrink nothing.
        patch: side of the patches that the picture is cut into, pixels, where that is how the network starts.
        hidden: width of a fully connected layer with batch norm and ReLU after the pooling, or None.
        dropout: before the heads.
        drop_path: largest rate at which residual blocks are skipped in training (Huang et al. 2016, arXiv:1603.09382).

    Raises:
        ConfigError: no such timm network, or one that cannot have this size or that option.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        name: str = "efficientnet_b0",
        small_input: bool = False,
        patch: int | None = None,
        hidden: int | None = None,
        dropout: float = 0.2,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.name = name
        self.body: Any = _create(name, channels, size, patch, drop_path)
        if small_input:
            _keep_size(self.body, name)
        width = _features(self.body, channels, size)
        self.hidden = nn.Identity() if hidden is None else dense_bn(width, hidden)
        self.dropout = nn.Dropout(dropout)
        self.width = width if hidden is None else hidden

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, s, s) -> (n, width)."""
        features: Tensor = self.dropout(self.hidden(self.body(images)))
        return features


# Families with a name of their own: what differs from timm's generic builder is which options there are.
TIMM_NAMES = {"mobilenetv2": "mobilenetv2_100", "resnet18": "resnet18", "vit_tiny": "vit_tiny_patch16_224"}


def mobilenetv2(
    channels: int, size: int, small_input: bool = False, hidden: int | None = 512, dropout: float = 0.3
) -> TimmBackbone:
    """MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381); the options are TimmBackbone's."""
    return TimmBackbone(channels, size, TIMM_NAMES["mobilenetv2"], small_input, hidden=hidden, dropout=dropout)


def resnet18(
    channels: int, size: int, small_input: bool = False, hidden: int | None = None, dropout: float = 0.2
) -> TimmBackbone:
    """ResNet-18 (He et al. 2016, arXiv:1512.03385); the options are TimmBackbone's."""
    return TimmBackbone(channels, size, TIMM_NAMES["resnet18"], small_input, hidden=hidden, dropout=dropout)


def vit_tiny(
    channels: int, size: int, patch: int = 16, hidden: int | None = None, dropout: float = 0.0, drop_path: float = 0.1
) -> TimmBackbone:
    """The vision transformer ViT-Ti (Touvron et al. 2021, arXiv:2012.12877); the options are TimmBackbone's."""
    return TimmBackbone(
        channels, size, TIMM_NAMES["vit_tiny"], patch=patch, hidden=hidden, dropout=dropout, drop_path=drop_path
    )


def published_input(name: str, channels: int) -> dict[str, Any]:
    """What the weights that timm has for `name` were trained on: size in pixels, and mean and std a channel.

    A grey face goes to the network in place of three channels that are alike, over which its first kernels are summed
    (see pretrained.py). The one input that stands best for the three normalised ones (x - mean_c) / std_c is their
    mean, which is (x - m) / s with 1 / s the mean of 1 / std_c and m / s the mean of mean_c / std_c.
    """
    import timm

    _check_name(name)
    published = timm.get_pretrained_cfg(name)
    if published is None:
        raise ConfigError(f"timm does not say what {name} takes; give model.size, model.mean and model.std")
    mean, std = list(published.mean), list(published.std)
    if channels == 1:
        s = len(std) / sum(1 / each for each in std)
        m = s * sum(a / b for a, b in zip(mean, std, strict=True)) / len(std)
        mean, std = [round(m, 6)], [round(s, 6)]
    return {"size": published.input_size[-1], "mean": mean, "std": std}


def _check_name(name: str) -> None:
    import timm

    known = sorted({*timm.list_models(), *timm.list_models(pretrained=True)})  # the latter with their tags
    if name not in known:
        near = " or ".join(f"'{each}'" for each in get_close_matches(name, known))
        remedy = f"did you mean {near}?" if near else "timm.list_models('*part*') finds names"
        raise ConfigError(f"unknown timm model '{name}'; {remedy}")


def _create(name: str, channels: int, size: int, patch: int | None, drop_path: float) -> nn.Module:
    """The timm network with random weights and no classifier."""
    import timm

    _check_name(name)
    published = timm.get_pretrained_cfg(name)
    optional = {
        "img_size": size if published is not None and published.fixed_input_size else None,
        "patch_size": patch,
        "drop_path_rate": drop_path or None,
    }
    given: dict[str, Any] = {k: v for k, v in optional.items() if v is not None}  # few networks know them all
    body: nn.Module = timm.create_model(name, in_chans=channels, num_classes=0, **given)
    first = _first_convolution(body)
    if first is not None and first.kernel_size == first.stride and size % first.stride[0]:
        fits = ", ".join(str(side) for side in range(4, 33) if size % side == 0) or "none"
        raise ConfigError(
            f"model.size must be a multiple of the {first.stride[0]} pixels of {name}'s patches, got {size}; "
            f"patches that fit it: {fits}"
        )
    return body


def _first_convolution(body: nn.Module) -> nn.Conv2d | None:
    return next((module for module in body.modules() if isinstance(module, nn.Conv2d)), None)


def _keep_size(body: nn.Module, name: str) -> None:
    """Give the first convolution stride 1 and take out the max-pool that belongs to the same stem."""
    first = _first_convolution(body)
    if first is None or first.stride != (2, 2):
        got = "none" if first is None else f"stride {first.stride[0]}"
        raise ConfigError(
            f"small_input must have a first convolution of stride 2 to change, got {got} in {name}; use "
            "small_input=false with a smaller model.options.patch or a larger model.size, or a network such as resnet18"
        )
    first.stride = (1, 1)
    stem = ""
    for path, module in list(body.named_modules()):
        parent = path.rpartition(".")[0]
        if module is first:
            stem = parent
        elif isinstance(module, nn.Conv2d) and parent != stem:
            return
        elif isinstance(module, nn.MaxPool2d) and module.stride in (2, (2, 2)):
            body.set_submodule(path, nn.Identity())
            return


@torch.no_grad()  # not inference mode: some networks keep what they compute once
def _features(body: nn.Module, channels: int, size: int) -> int:
    """How many features the network gives for a picture of this size: it runs once, so one too small fails here."""
    answer = body.eval()(torch.zeros(1, channels, size, size))
    body.train()
    if answer.ndim != 2:
        raise ConfigError(f"a backbone must give (n, width) features, got {tuple(answer.shape)}; use another model")
    return int(answer.shape[1])
