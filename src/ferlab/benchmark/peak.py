"""What the machine could do at most: the multiplications of a training step, beside a plain matrix product's."""

import copy
import math
from functools import partial

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ferlab.benchmark.turns import seconds
from ferlab.spec import ModelSpec

SIDES = {"cpu": 2048, "cuda": 8192}  # of the matrices: large enough to keep the device busy
LONG_ENOUGH = 0.3  # seconds


def step_flops(net: nn.Module, spec: ModelSpec) -> float:
    """Floating-point operations of a network's forward and backward pass, for one image.

    A multiplication and its addition are two. Convolutions and matrix products are counted, as by PyTorch's
    FlopCounterMode; normalisation, activations and pooling are not, nor are loss, augmentation and optimizer.
    """
    net = copy.deepcopy(net).train()
    weight = next(net.parameters())
    images = torch.zeros(2, spec.channels, spec.size, spec.size, device=weight.device)  # of one there is no variance
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward([output.sum() for output in net(images).values()])
    return float(counter.get_total_flops() / len(images))


def gemm_side(device: torch.device) -> int:
    """The side of the square matrices that `gemm_rate` multiplies."""
    return SIDES.get(device.type, SIDES["cpu"])


def gemm_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations/s of a product of two square matrices, with the threads that PyTorch uses now."""
    side = gemm_side(device)
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product = left @ right  # the first one is slower

    def multiply(times: int) -> None:
        for _ in range(times):
            torch.mm(left, right, out=product)

    calls = math.ceil(LONG_ENOUGH / seconds(partial(multiply, 1), device))
    return 2 * side**3 * calls / seconds(partial(multiply, calls), device)
