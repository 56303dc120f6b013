"""A residual network that a laptop trains in minutes: it halves the picture in its first layer."""

from torch import Tensor, nn

from ferlab.errors import ConfigError
from ferlab.models.net import Backbone, conv_bn, initialise

SMALLEST = 16  # pixels: it halves the picture four times


class Block(nn.Module):
    """Two 3×3 convolutions around which the input is added (He et al. 2016, arXiv:1512.03385, fig. 2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(conv_bn(width, width), nn.ReLU(), conv_bn(width, width))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) -> the same."""
        result: Tensor = self.relu(self.residual(x) + x)
        return result


class SmallResNet(Backbone):
    """A 5×5 stem of stride 2, then three stages: a convolution that doubles the width, a max-pool, residual blocks.

    Args:
        channels, size: of the input; any size from 16 pixels.
        width: channels of the stem.
        depth: blocks a stage.
        dropout: on the pooled features.
    """

    def __init__(self, channels: int, size: int, width: int = 32, depth: int = 1, dropout: float = 0.2) -> None:
        super().__init__()
        if size < SMALLEST:
            raise ConfigError(f"model.size must be at least {SMALLEST} for small_resnet, got {size}")
        layers: list[nn.Module] = [conv_bn(channels, width, 5, 2), nn.ReLU()]
        for _ in range(3):
            layers += [conv_bn(width, 2 * width), nn.MaxPool2d(2), nn.ReLU()]
            width *= 2
            layers += [Block(width) for _ in range(depth)]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dropout = nn.Dropout(dropout)
        self.width = width
        self.features.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, s, s) -> (n, 8 × width)."""
        features: Tensor = self.dropout(self.features(images))
        return features
