"""The baseline that knows nothing of pictures: fully connected layers on the pixels."""

from collections.abc import Sequence

from torch import Tensor, nn

from ferlab.models.net import Backbone, dense_bn


class MLP(Backbone):
    """Pixels in a row, then hidden layers with batch norm, ReLU and dropout. What a convolution adds shows against it.

    Args:
        channels, size: of the input; the first layer's weights depend on both.
        widths: of the hidden layers; at least one.
        dropout: after each of them.
    """

    def __init__(self, channels: int, size: int, widths: Sequence[int] = (512, 256), dropout: float = 0.3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in zip((channels * size**2, *widths), widths, strict=False):
            layers += [dense_bn(before, after), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.width = widths[-1]

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, s, s) -> (n, widths[-1])."""
        features: Tensor = self.layers(images)
        return features
