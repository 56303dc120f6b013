"""Which code made a file."""

import subprocess
from pathlib import Path


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
