"""A residual network that a laptop trains in minutes: it halves the picture in its first layer."""

from torch import Tensor, nn

from ferlab.models.net import Backbone, conv_bn, initialise


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut, which averages before it projects (He et al. 2019, ResNet-D)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(conv_bn(before, after, 3, stride), nn.ReLU(), conv_bn(after, after))
        if before == after and stride == 1:
            self.shortcut: nn.Module = nn.Identity()
        else:
            pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(pool, conv_bn(before, after, 1))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, h, w) -> (n, after, h / stride, w / stride), sizes rounded up."""
        result: Tensor = self.relu(self.residual(x) + self.shortcut(x))
        return result


class SmallResNet(Backbone):
    """A 5×5 stem of stride 2 and four stages of residual blocks, each twice as wide as the one before.

    Args:
        channels, size: of the input; any size works.
        width: channels of the stem and the first stage.
        depth: blocks a stage.
        dropout: on the pooled features.
    """

    def __init__(self, channels: int, size: int, width: int = 32, depth: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_bn(channels, width, 5, 2), nn.ReLU()]
        before = width
        for stage in range(4):
            after = width * 2**stage
            for block in range(depth):
                layers.append(Block(before, after, 2 if stage and not block else 1))
                before = after
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dropout = nn.Dropout(dropout)
        self.width = before
        self.features.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, s, s) -> (n, width)."""
        features: Tensor = self.dropout(self.features(images))
        return features
