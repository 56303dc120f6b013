"""Which code, machine and command made a file."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "torchvision", "timm", "lightning-fabric", "albumentations", "numpy", "opencv-python-headless")


def commit() -> str | None:
    """The commit of ferlab, twelve digits, with "+changes" if tracked files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # installed from a wheel; any repository further up is somebody else's
        return None
    try:
        name = _git(root, "rev-parse", "--short=12", "HEAD")
        return name + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def environment(device: "torch.device") -> dict[str, Any]:
    """Versions and hardware, plain values."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        **machine(),
        "device": f"{device.type}: {name}",
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


def machine() -> dict[str, Any]:
    """Versions and processors, plain values; needs no torch."""
    return {
        "ferlab": version("ferlab"),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def processor() -> str:
    """The name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def peak_mb() -> float | None:
    """Peak resident memory of this process, MiB; None where Linux's /proc is missing.

    Not `getrusage`: a process that another one starts begins there with the memory of the other one.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    peaks = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else None


def command_line() -> str:
    """The command that started this run, quoted for a shell: ferlab's, or that of the program that called it."""
    program, *words = sys.argv
    own = Path(program).stem == "ferlab" or Path(program).parts[-2:] == ("ferlab", "__main__.py")
    return quoted([*(["ferlab"] if own else ["python", program]), *words])


def quoted(words: Sequence[str]) -> str:
    """Words as they are typed into a shell; those of Windows do not know POSIX's quotes."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
