"""The classic small FER network: three convolution blocks and a fully connected layer."""

from torch import Tensor, nn

from ferlab.errors import ConfigError
from ferlab.models.net import Backbone, conv_bn


class CustomCNN(Backbone):
    """Blocks of 3×3 convolution, batch norm, ReLU and 2×2 max-pool, then a hidden layer with dropout.

    Args:
        channels: input channels.
        size: input height and width, pixels; the hidden layer's weights depend on it.
        widths: channels of each block.
        hidden: width of the fully connected layer.
        dropout: after the hidden layer.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        widths: tuple[int, ...] = (32, 64, 128),
        hidden: int = 128,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        side = size // 2 ** len(widths)
        if side < 1:
            raise ConfigError(f"model.size must be at least {2 ** len(widths)} for {len(widths)} blocks, got {size}")
        layers: list[nn.Module] = []
        for before, after in zip((channels, *widths), widths, strict=False):
            layers += [conv_bn(before, after), nn.ReLU(), nn.MaxPool2d(2)]
        self.blocks = nn.Sequential(*layers)
        self.hidden = nn.Sequential(
            nn.Flatten(), nn.Linear(widths[-1] * side * side, hidden), nn.ReLU(), nn.Dropout(dropout)
        )
        self.width = hidden

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, s, s) -> (n, hidden)."""
        features: Tensor = self.hidden(self.blocks(images))
        return features
