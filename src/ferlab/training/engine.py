"""Devices, precision, processes and determinism, by Lightning Fabric."""

import atexit
import ctypes
import gc
import logging
import os
import sys

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch import Tensor

from ferlab.bundle import pick_device
from ferlab.errors import ConfigError, suggest
from ferlab.training.config import DEVICES, PRECISIONS, EngineOptions


def launch(options: EngineOptions, unused_parameters: bool = False) -> Fabric:
    """Start Fabric for this process, joining the others when torchrun started it.

    Args:
        options: see there.
        unused_parameters: some parameters get no gradient at times, as under a frozen backbone.

    Raises:
        ConfigError: a device or precision that does not exist, or that this machine lacks.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # the command says device and precision itself
    if options.device not in DEVICES:  # no index: torchrun decides which process gets which
        raise ConfigError(f"unknown device '{options.device}'; {suggest(options.device, DEVICES)}")
    device = pick_device(options.device)
    if options.precision not in PRECISIONS:
        raise ConfigError(f"unknown trainer.precision '{options.precision}'; {suggest(options.precision, PRECISIONS)}")
    local, world = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), int(os.environ.get("WORLD_SIZE", "1"))
    if device == "mps" and world > 1:
        raise ConfigError(f"trainer.device=mps must train in one process, got {world}; set trainer.device=cpu")
    if options.threads:
        torch.set_num_threads(options.threads)
    if device == "cpu":
        _keep_memory()
    if options.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # torch warns of an operation that has no deterministic form on the device, and runs it.
    torch.use_deterministic_algorithms(options.deterministic, warn_only=True)
    # It costs time, and nothing here reads such memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not options.deterministic
    strategy: str | Strategy = "auto"
    if world > 1:
        # Batch statistics are averaged over the processes before each validation (fit.py), not taken from the first.
        strategy = DDPStrategy(find_unused_parameters=unused_parameters, broadcast_buffers=False)
    fabric = Fabric(
        accelerator=device,
        devices=local,
        num_nodes=world // local,
        strategy=strategy,
        precision=precision(options.precision, device),  # type: ignore[arg-type]
    )
    fabric.launch()
    if world > 1:
        atexit.register(_leave_group)
    return fabric


def all_sum(fabric: Fabric, value: Tensor) -> Tensor:
    """The sum of `value` over the processes."""
    total = fabric.all_reduce(value.clone(), reduce_op="sum")
    assert isinstance(total, Tensor)
    return total


def _leave_group() -> None:
    """Close the process group and end its threads.

    They end with the group's last owner, the network wrapped by DDP among them. One that still runs when the
    interpreter is gone aborts the process at its very end, after a training that went well.
    """
    torch.distributed.destroy_process_group()
    gc.collect()


def _keep_memory() -> None:
    """Let glibc keep freed memory for the next step instead of giving it back to the kernel.

    Otherwise each step maps its activations anew, and the page faults take a fifth of its time (docs/LOG.md).
    """
    if sys.platform != "linux":  # a setting of glibc alone; Windows cannot even be asked for it this way
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # not in musl
        m_trim_threshold, m_mmap_threshold = -1, -3
        mallopt(m_mmap_threshold, 1 << 30)
        mallopt(m_trim_threshold, 1 << 30)


def is_nhwc(asked: bool | None, device: torch.device) -> bool:
    """Whether networks and images lie in memory with channels last; None is yes, but on Apple's GPUs.

    There convolutions gain nothing by it, and torch failed or answered wrongly with it (pytorch 180984, 188371).
    """
    return device.type != "mps" if asked is None else asked


def precision(name: str, device: str) -> str:
    """What "auto" means on `device`: bf16 where it is faster, else float32. Other names are returned as they are."""
    if name != "auto":
        return name
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.get_device_capability()[0] >= 8 else "16-mixed"
    if device == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return "bf16-mixed"
    return "32-true"
