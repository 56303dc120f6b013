"""`Net`: normalisation, a backbone and the heads, built from a specification."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ferlab.errors import ConfigError
from ferlab.spec import ModelSpec


class Backbone(nn.Module):
    """(n, c, s, s) float, normalised -> (n, width) features. Every family in this package is one.

    Attributes:
        width: number of features.
    """

    width: int

    def __call__(self, images: Tensor) -> Tensor:
        """Typed call."""
        result: Tensor = super().__call__(images)
        return result


class Net(nn.Module):
    """(n, c, s, s) uint8 or float 0-255 -> {"expression": (n, k) logits, "affect": (n, 2) in [-1, 1]}.

    Normalisation is inside, so nobody who runs the network can get it wrong. Only the heads that the specification
    asks for are there.

    Args:
        spec: what goes in and comes out.
        backbone: turns normalised images into features.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, spec: ModelSpec, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict()
        if spec.expression:
            self.heads["expression"] = nn.Linear(backbone.width, len(spec.expression))
        if spec.affect:
            self.heads["affect"] = nn.Linear(backbone.width, 2)
        mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
        # (x / 255 - mean) / std as one multiplication and one addition; they follow from the spec, so are not saved.
        self.register_buffer("scale", (1 / (255 * std)).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", (-mean / std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Answer a batch; see the class."""
        features = self.features(images)
        outputs = {name: head(features) for name, head in self.heads.items()}
        if "affect" in outputs:
            outputs["affect"] = outputs["affect"].tanh()
        return outputs

    def features(self, images: Tensor) -> Tensor:
        """What the heads answer from, (n, backbone.width)."""
        return self.backbone(torch.addcmul(self.shift, images.to(self.scale.dtype), self.scale))


def conv_bn(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, padded to keep the size, and batch normalisation, which makes a bias useless."""
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out))


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of features, (n, width), that takes a batch of one face as well.

    One face has no variance; an epoch's last batch may hold no more. It is normalised by the running statistics.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(n, width) -> the same."""
        if self.training and len(input) == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


def dense_bn(before: int, after: int) -> nn.Sequential:
    """Fully connected layer without bias, batch normalisation, which makes a bias useless, and ReLU."""
    if after < 1:
        raise ConfigError(f"a hidden layer must have 1 or more features, got {after}; correct model.options")
    return nn.Sequential(nn.Linear(before, after, bias=False), BatchNorm(after), nn.ReLU())


def initialise(module: nn.Module) -> None:
    """He initialisation for ReLU networks (He et al. 2015, eq. 10), fan-out; biases zero. Apply with `Module.apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
