"""Exported files as export, verify and benchmark export deal with them: which, of what model, how they compare."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from ferlab import catalogue, config
from ferlab.errors import ConfigError, ExportError

if TYPE_CHECKING:
    from ferlab.bundle import Bundle
    from ferlab.cli import Invocation
    from ferlab.evaluation.parity import Parity, Sample
    from ferlab.formats.exported import Exported
    from ferlab.runner import Outputs


def with_dataset(invocation: "Invocation", key: str, schema: type) -> Sequence[str]:
    """The overrides, with the dataset that the model named by `key` was trained on unless they choose one.

    Whatever `schema` can find wrong is told before the model is opened, the dataset's own keys aside.

    A model is a bundle, an exported file, or a folder of them, of which the first speaks for all.
    """
    others = [override for override in invocation.overrides if not override.startswith("data.")]
    config.typed(config.compose(invocation.command.config, others), schema)
    given = dict(override.split("=", 1) for override in invocation.overrides if "=" in override)
    if "data" in given or key not in given:
        return invocation.overrides

    from ferlab.formats import open_model

    path = next(iter(files_in(given[key])), given[key])
    dataset = open_model(path).provenance.get("dataset")
    if dataset not in catalogue.groups(invocation.command.config)["data"]:
        raise ConfigError(
            f"data must be given: the model was trained on {dataset or 'it does not say what'}; add data=…"
        )
    return [f"data={dataset}", *invocation.overrides]


def files_in(path: str | Path) -> list[Path]:
    """The exported files in a folder, by name; none if it is no folder, or a bundle's or a run's."""
    from ferlab.formats import RUNTIMES

    found = sorted(Path(path).glob("*")) if Path(path).is_dir() else []
    return [file for file in found if file.suffix in RUNTIMES and not file.name.startswith(".")]  # .… is unfinished


def check_origin(file: "Exported", bundle: "Bundle") -> None:
    """Raise an ExportError unless a file was exported from this bundle's model, in a format that is known here."""
    from ferlab.formats import FORMATS

    if file.seal.kind not in FORMATS:
        raise ExportError(
            f"{file.path} must be of a known format, got '{file.seal.kind}'; use the ferlab that wrote it"
        )
    if file.spec.digest != bundle.spec.digest:
        raise ExportError(
            f"{file.path} must be of the model {bundle.spec.digest} in {bundle.path}, got {file.spec.digest}; "
            "set bundle=…"
        )


def compared(file: "Exported", reference: "Outputs", sample: "Sample") -> tuple["Parity", list[str]]:
    """How a file's answers compare with its bundle's, `reference`, and in what it is further off than it may be.

    A file that gives none, or NaN, is as far off as one can be; others are compared all the same.
    """
    from ferlab.evaluation.parity import Parity, answer_all, parity
    from ferlab.formats import FORMATS

    try:
        answers = answer_all(file, sample.images)
    except ExportError as error:
        return Parity(len(sample.images), math.nan, None, None, None), [str(error).removeprefix(f"{file.path} ")]
    found = parity(reference, answers, sample)
    return found, found.faults(FORMATS[file.seal.kind].tolerance)


SCORES = {"accuracy": ("accuracy, %", ".2f", 100), "ccc": ("CCC", ".4f", 1)}  # title, digits, scale


def parity_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A row a file: `file`, `bytes`, `parity` as `Parity.to_dict` gives it, and `verdict`."""
    scores = [name for name in SCORES if any(row["parity"][name] for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file")
    for title in ("size", "worst |Δ|", "agree, %", *(t for name in scores for t in (SCORES[name][0], "of the bundle"))):
        table.add_column(title, justify="right")
    table.add_column()
    for row in rows:
        parity = row["parity"]
        cells = [row["file"], f"{row['bytes'] / 2**20:.2f} MiB", _number(parity["worst"], ".2g")]
        cells.append("–" if parity["agreement"] is None else f"{100 * parity['agreement']:.2f}")
        for name in scores:
            _, style, scale = SCORES[name]
            cells += [_number(parity[name][who], style, scale) for who in ("file", "bundle")]
        table.add_row(*cells, row["verdict"])
    return table


def _number(value: float | None, style: str, scale: int = 1) -> str:
    return "NaN" if value is None else f"{scale * value:{style}}"
