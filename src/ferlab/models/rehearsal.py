"""Rehearses a PyTorch graph on tensors without data, to know what it costs before anything of it is computed."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ferlab.errors import ExportError
from ferlab.limits import Budget
from ferlab.spec import ModelSpec

# By position of the window among the arguments, which such an operator reads for each number of its result.
POOLS = {"max_pool2d_with_indices": 1, "avg_pool2d": 1}


def rehearse(run: Callable[[Tensor], Any], spec: ModelSpec, faces: int = 1) -> Any:
    """What `run` answers to a batch of faces, its tensors on the device "meta": shapes and dtypes, but no data.

    Args:
        run: (n, c, s, s) uint8 -> the answers; whatever weights it has must be on that device too.
        spec: of the model.
        faces: of the batch.

    Raises:
        ExportError: it costs more than `Budget` has, draws random numbers, or changes its own statistics.
    """
    images = torch.empty(faces, spec.channels, spec.size, spec.size, dtype=torch.uint8, device="meta")
    # Under inference_mode composite operators would not come apart into those whose cost is known.
    with torch.inference_mode(False), torch.no_grad(), Meter(Budget(faces)):
        return run(images)


def without_data(tensor: Tensor) -> Tensor:
    """The tensor on "meta"; a single number keeps its value, for sizes are computed from such."""
    return tensor if tensor.ndim == 0 else tensor.to("meta")


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes every operator's cost from a budget before the next one is called."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.budget = budget

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call an operator of ATen, one that creates a tensor on "meta"."""
        named = dict(kwargs or {})
        given = [each for each in _flat([*args, *named.values()]) if isinstance(each, Tensor)]
        name = function._schema.name.removeprefix("aten::")
        if not given and any(argument.name == "device" for argument in function._schema.arguments):
            named["device"] = torch.device("meta")
        if torch.Tag.nondeterministic_seeded in function.tags:
            raise ExportError(f"a graph must draw no random numbers, got {name!r}; export it again")
        if "batch_norm" in name and args[3] is not None and args[5] is True:
            raise ExportError(
                "a graph must leave its statistics as they are, got 'batch_norm' in training; export it again"
            )
        result = function(*args, **named)
        made = [each for each in _flat([result]) if isinstance(each, Tensor)]
        products = sum(each.numel() for each in given)
        workspace = 0
        if function._overloadpacket in flop_registry:
            multiplied = flop_registry[function._overloadpacket](*args, **named, out_val=result) // 2
            products += multiplied
            if "convolution" in name:  # which may lay out what each place of a channel multiplies
                workspace = multiplied // max(made[0].shape[1] * made[0].shape[0], 1)
        if name in POOLS:
            products += made[0].numel() * _area(args[POOLS[name]])
        for each in made:
            self.budget.spend(name, each.shape, each.element_size(), products, workspace)
            products = workspace = 0
        return result


def _area(window: Any) -> int:
    height, width = (window * 2)[:2] if isinstance(window, list | tuple) else (window, window)
    return int(height * width)


def _flat(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value
