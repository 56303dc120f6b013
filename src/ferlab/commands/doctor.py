"""`ferlab doctor`: what this machine has and lacks. It shows no environment variable's value but the paths' own."""

import os
import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from ferlab import catalogue
from ferlab.data.cache import cache_root
from ferlab.formats import FORMATS
from ferlab.screen import Screen, line
from ferlab.training.tracking import TrackerOptions

if TYPE_CHECKING:
    from ferlab.cli import Invocation


def doctor(invocation: "Invocation") -> int:
    """Print the machine, packages, extras, folders and data; 1 if a package that ferlab needs is missing."""
    screen = Screen()
    needed, extras = packages()
    for title, rows in {
        "machine": machine(),
        "packages": {name: found or "missing; install ferlab again" for name, found in needed.items()},
        "extras": {name: _extra(name, found) for name, found in extras.items()},
        "folders": folders(),
        "data": data(),
    }.items():
        screen.say(line((title, "bold")))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2), pad_edge=False)
        table.add_column(min_width=26, no_wrap=True)
        table.add_column()
        for name, text in rows.items():
            table.add_row(f"  {name}", text)
        screen.print(table)
    return int(None in needed.values())


def machine() -> dict[str, str]:
    """The machine, and what ferlab would choose on it."""
    import torch

    from ferlab.bundle import pick_device
    from ferlab.provenance import commit, environment
    from ferlab.training.engine import precision

    kind = pick_device("auto")
    known = environment(torch.device(kind))
    return {
        "ferlab": f"{known['ferlab']}, commit {commit() or 'unknown'}",
        "Python": known["python"],
        "system": known["platform"],
        "device=auto": known["device"],
        "trainer.precision=auto": precision("auto", kind),
        "trainer.threads=0": f"{known['threads']}, of {known['cpus']} processors",
    }


def packages() -> tuple[dict[str, str | None], dict[str, dict[str, str | None]]]:
    """The packages that ferlab needs with their versions, None where one is missing; and those of each extra."""
    needed: dict[str, str | None] = {}
    extras: dict[str, dict[str, str | None]] = {}
    for requirement in requires("ferlab") or []:
        found = re.match(r"[\w.-]+", requirement)
        assert found is not None
        extra = re.search(r"extra == ['\"]([\w-]+)", requirement)
        (extras.setdefault(extra[1], {}) if extra else needed)[found[0]] = installed(found[0])
    return needed, extras


def installed(package: str) -> str | None:
    """The version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _extra(name: str, found: dict[str, str | None]) -> str:
    gives = ", ".join(f"format={each}" for each, known in FORMATS.items() if known.extra == name)
    if missing := [package for package, number in found.items() if number is None]:
        return f"missing {', '.join(missing)}: pip install 'ferlab[{name}]'{f' gives {gives}' if gives else ''}"
    return ", ".join(f"{package} {number}" for package, number in found.items()) + (f": {gives}" if gives else "")


def folders() -> dict[str, str]:
    """Where things are kept, and how much lies there."""
    whose = ", from FERLAB_CACHE" if os.environ.get("FERLAB_CACHE") else ""
    return {
        "cache": f"{cache_root()}, {_size(cache_root())}{whose}",
        "runs": f"{Path('outputs').absolute()}, {_size(Path('outputs'))}",
        "tracker": TrackerOptions().shown,
    }


def _size(folder: Path) -> str:
    if not folder.is_dir():
        return "not there yet"
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # gone by now
                continue
    return f"{total / 2**20:,.0f} MiB"


def data() -> dict[str, str]:
    """Each dataset with the folder where it is looked for, and whether that is there; data.root= names another."""
    found = {}
    for option in catalogue.options("data"):
        text = (catalogue.conf_dir() / "data" / f"{option}.yaml").read_text(encoding="utf-8")
        if root := re.search(r"^root: (\S+)", text, re.MULTILINE):
            there = Path(root[1]).is_dir() and any(Path(root[1]).iterdir())
            remedy = f"ferlab data verify data={option}" if there else "not there; data.root=… names another folder"
            found[f"data={option}"] = f"{Path(root[1]).absolute()}: {remedy}"
    return found
