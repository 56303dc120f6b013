"""What a run must record so that somebody can repeat it."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ferlab import __version__

PACKAGES = ("torch", "torchvision", "timm", "lightning-fabric", "albumentations", "numpy", "opencv-python-headless")


def environment(device: torch.device) -> dict[str, Any]:
    """Versions and hardware, plain values."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "ferlab": __version__,
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "device": f"{device.type}: {name}",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def git_commit() -> str:
    """The commit of ferlab's checkout, with "+changes" if files differ from it; "none" outside a checkout."""
    folder = Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "none"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def command_line() -> str:
    """The command that started this run."""
    return " ".join(["ferlab", *sys.argv[1:]])
