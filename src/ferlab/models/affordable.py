"""Builds a network that somebody else describes, unless it would take the machine with it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ferlab.errors import ConfigError
from ferlab.limits import PRODUCTS, STEPS
from ferlab.models import Net, build
from ferlab.spec import ModelSpec

# Up to this side, and from this patch on, no network whose weights are counted can cost more than `Budget` has.
SIDE, PATCH = 256, 8
ROOM = 2**26  # bytes that any network may have, so that of a file cut short it is said that it was


def build_affordable(spec: ModelSpec, name: str, options: Mapping[str, Any], held: int) -> Net:
    """`build`, once its arguments are known to ask for no more than the file with the weights is large.

    Args:
        spec, name, options: as `build` takes them.
        held: bytes of that file.

    Raises:
        ConfigError: as `build`, or more weights than the file can hold.
        ExportError: a face would cost more than `Budget` has.
    """
    held = max(held, ROOM)
    patch = options.get("patch") or PATCH
    cheap = spec.size <= SIDE and patch >= PATCH and held / 4 * spec.size**2 <= PRODUCTS
    if not cheap:
        from ferlab.models.rehearsal import rehearse  # seconds of imports

        with at_most(held), torch.device("meta"):
            light = build(spec, name, options).eval()
        rehearse(light, spec)
    with at_most(held):
        return build(spec, name, options)


@contextmanager
def at_most(held: int) -> Iterator[None]:
    """Raise a ConfigError in whatever registers more parameters than a file of `held` bytes has room for.

    PyTorch asks for memory first, registers, and writes only then, so what is too large is never there.
    """
    numbers, tensors = 0, 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal numbers, tensors
        numbers += 0 if parameter is None else parameter.numel()
        tensors += 1
        if 2 * numbers > held or tensors > STEPS:
            raise ConfigError(
                f"a network must have no more weights than the {held:,} bytes of its file hold, in at most {STEPS:,} "
                f"tensors, got {numbers:,} in {tensors:,} and more to come; correct model.options"
            )

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
