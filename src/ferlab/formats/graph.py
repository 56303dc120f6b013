"""The network as it is exported: normalisation, network, temperature and softmax in one graph."""

from torch import Tensor, nn

from ferlab.bundle import Bundle
from ferlab.formats import seal


class Answers(nn.Module):
    """(n, c, s, s) uint8 or float 0-255 -> a tuple, in the order of `spec.heads`.

    "expression" gives (n, k) probabilities at the specification's temperature, or the logits; "affect" (n, 2).
    """

    def __init__(self, bundle: Bundle, graph: seal.Graph) -> None:
        super().__init__()
        self.net = bundle.net
        self.heads = bundle.spec.heads
        self.temperature = bundle.spec.temperature if graph == "probabilities" else None
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Answer a batch; see the class."""
        outputs = self.net(images)
        if self.temperature is not None and "expression" in outputs:
            outputs["expression"] = (outputs["expression"] / self.temperature).softmax(-1)
        return tuple(outputs[head] for head in self.heads)


class Named(nn.Module):
    """The same for (n, s, s, c) images where the layout is "nhwc", with the answers by the names of the heads."""

    def __init__(self, bundle: Bundle, graph: seal.Graph, layout: seal.Layout) -> None:
        super().__init__()
        self.answers, self.layout = Answers(bundle, graph), layout
        self.eval()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Answer a batch; see the class."""
        channels_first = images.permute(0, 3, 1, 2) if self.layout == "nhwc" else images
        return dict(zip(self.answers.heads, self.answers(channels_first), strict=True))
