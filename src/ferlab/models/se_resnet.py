"""A residual network with squeeze-and-excitation (Hu et al. 2018, arXiv:1709.01507) for small faces."""

from torch import Tensor, nn

from ferlab.models.net import Backbone, conv_bn, initialise


class SqueezeExcitation(nn.Module):
    """Weigh each channel by a gate computed from all channels' means (Hu et al., eq. 2-4)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> the same."""
        gated: Tensor = x * self.gate(x)
        return gated


class SEBlock(nn.Module):
    """Two 3×3 convolutions with a squeeze-and-excitation gate before the shortcut is added."""

    def __init__(self, before: int, after: int, stride: int, reduction: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv_bn(before, after, 3, stride), nn.ReLU(), conv_bn(after, after), SqueezeExcitation(after, reduction)
        )
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else conv_bn(before, after, 1, stride)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) -> (n, after, h / stride, w / stride)."""
        result: Tensor = self.relu(self.residual(x) + self.shortcut(x))
        return result


class SEResNet(Backbone):
    """A stem of two 3×3 convolutions, four stages of SE blocks, global average pooling and a hidden layer.

    Args:
        channels, size: of the input; any size works.
        width: channels of the stem and the first stage; each later stage doubles them.
        depth: blocks a stage.
        stem_stride: stride of the second stem convolution; 1 keeps the picture whole through the first stage.
        reduction: of the squeeze-and-excitation bottleneck.
        hidden: width of the layer before the heads.
        dropout: before and after that layer.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        width: int = 64,
        depth: int = 2,
        stem_stride: int = 2,
        reduction: int = 32,
        hidden: int = 256,
        dropout: tuple[float, float] = (0.5, 0.3),
    ) -> None:
        super().__init__()
        stem = [conv_bn(channels, width), nn.ReLU(), conv_bn(width, width, stride=stem_stride), nn.ReLU()]
        blocks = []
        before = width
        for stage in range(4):
            after = width * 2**stage
            for block in range(depth):
                blocks.append(SEBlock(before, after, 2 if stage and not block else 1, reduction))
                before = after
        self.features = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.hidden = nn.Sequential(
            nn.Dropout(dropout[0]), nn.Linear(before, hidden), nn.ReLU(), nn.Dropout(dropout[1])
        )
        self.width = hidden
        self.features.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, s, s) -> (n, hidden)."""
        features: Tensor = self.hidden(self.features(images))
        return features
