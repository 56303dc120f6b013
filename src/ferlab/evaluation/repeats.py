"""Which bundles are repeats of one training under other seeds, and what to call them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ferlab.bundle import Bundle
from ferlab.errors import ConfigError, suggest


def group(bundles: Sequence[Bundle]) -> dict[str, list[Bundle]]:
    """A name -> the bundles that differ only in their seed: of one recipe on the same data.

    A bundle that knows no recipe stays alone. One seed twice is no further draw: where that happens only trainings at
    one commit stay together, and those of one commit only if each has another seed.
    """
    groups: list[list[Bundle]] = []
    for alike in _by(bundles, "recipe", "data_digest"):
        if not alike[0].provenance.get("recipe"):
            groups += [[bundle] for bundle in alike]
        elif _seeds_differ(alike):
            groups.append(alike)
        else:
            for part in _by(alike, "commit"):
                groups += [part] if _seeds_differ(part) else [[bundle] for bundle in part]
    return dict(zip(names([[run_folder(bundle) for bundle in each] for each in groups]), groups, strict=True))


def _by(bundles: Iterable[Bundle], *keys: str) -> list[list[Bundle]]:
    """The bundles whose provenance agrees in `keys`, together."""
    parts: dict[Any, list[Bundle]] = {}
    for bundle in bundles:
        parts.setdefault(tuple(bundle.provenance.get(key) for key in keys), []).append(bundle)
    return list(parts.values())


def _seeds_differ(bundles: Sequence[Bundle]) -> bool:
    return len({bundle.provenance.get("seed") for bundle in bundles}) == len(bundles)


def run_folder(bundle: Bundle) -> Path:
    """The folder of the run that made the bundle, or its own if it is called otherwise."""
    path = (bundle.path or Path("bundle")).resolve()
    return path.parent if path.name == "bundle" else path


def named(reference: str, groups: Mapping[str, Sequence[Bundle]]) -> str:
    """The group of this name, or with the bundle or run in this folder; ConfigError if there is none."""
    for name, members in groups.items():
        folders = {path for bundle in members if bundle.path for path in (bundle.path.resolve(), run_folder(bundle))}
        if reference == name or Path(reference).resolve() in folders:
            return name
    raise ConfigError(f"reference must be one of the bundles, got '{reference}'; {suggest(reference, groups)}")


def names(groups: Sequence[Sequence[Path]]) -> list[str]:
    """For each group of run folders the shortest name that no other group has.

    That is the run's name, or its folder with the time, or that with the day, or the whole path, of the first.
    """
    levels = [
        [_together([re.sub(r"^\d\d-\d\d-\d\d_", "", path.name) for path in paths]) for paths in groups],
        [_together([path.name for path in paths]) for paths in groups],
        [_together(["/".join(path.parts[-2:]) for path in paths]) for paths in groups],
        [_together([str(path) for path in paths]) for paths in groups],
    ]
    return [next(level[i] for level in levels if level.count(level[i]) == 1) for i in range(len(groups))]


def _together(texts: Sequence[str]) -> str:
    return texts[0] if len(set(texts)) == 1 else f"{texts[0]} and {len(texts) - 1} more"
