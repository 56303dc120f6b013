"""Which layers to leave in float32 when 8 bit costs too much: those that measurably hurt."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

JUDGES = 32  # faces on which the harm of each layer is measured
FLOAT_SHARE = 0.25  # of the layers, the most harmful, that stay in float32

Answers = npt.NDArray[np.floating[Any]]


def most_harmful(layers: Sequence[str], exact: Answers, quantised_alone: Callable[[str], Answers]) -> list[str]:
    """The FLOAT_SHARE of the layers that, each quantised alone, change the answers most; one at least.

    Args:
        layers: their names.
        exact: answers of the network in float32, (n, ...).
        quantised_alone: a layer's name -> the answers with that layer in 8 bit.
    """
    harm = {name: float(np.abs(quantised_alone(name) - exact).mean()) for name in layers}
    return sorted(layers, key=harm.__getitem__)[-max(1, round(FLOAT_SHARE * len(layers))) :]
