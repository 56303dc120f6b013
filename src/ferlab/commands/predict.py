"""`ferlab predict`: what a bundle says of face crops, as a table, JSON or CSV."""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from ferlab import config
from ferlab.catalogue import choice
from ferlab.errors import ConfigError, DataError
from ferlab.evaluation.text import no_formula
from ferlab.screen import Screen

if TYPE_CHECKING:
    from ferlab.cli import Invocation
    from ferlab.runner import Prediction, Runner


@dataclass
class PredictConfig:
    """Keys of conf/predict.yaml, which explains them."""

    bundle: str = config.MISSING
    source: str = config.MISSING
    top: int = 3
    format: str = choice("table", "ferlab.commands.predict:WRITERS")
    device: str = "auto"


def predict(invocation: "Invocation") -> None:
    """Answer for each face crop that `source` names. Nothing is printed unless every one of them can be read."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), PredictConfig)
    if settings.top < 1:
        raise ConfigError(f"top must be at least 1, got {settings.top}")
    paths = find_pictures(settings.source)

    from ferlab.bundle import pick_device
    from ferlab.formats import open_model

    bundle = open_model(settings.bundle, pick_device(settings.device))
    WRITERS[settings.format](bundle, list(zip(paths, bundle.predict(paths), strict=True)), settings.top)
    if left := left_out(settings.source, paths):
        Screen(stderr=True).say(left)


def find_pictures(source: str) -> list[Path]:
    """The files that `source` names, sorted.

    A picture is itself, a folder its pictures by suffix (not those of its folders), and anything else a glob, in
    which ** reaches into folders; every file that a glob matches is taken for a picture.

    Raises:
        DataError: nothing found.
    """
    from ferlab.data.imagefolder import SUFFIXES

    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES)
        kinds = ", ".join(sorted(SUFFIXES))
        looked_for = f"pictures ({kinds}) in the folder {path}; for folders in it use {_below(path)}"
    else:
        found = sorted(Path(name) for name in glob(str(path), recursive=True) if Path(name).is_file())
        looked_for = f"a picture, a folder or files matching '{source}' in {Path.cwd()}; check the path"
    if not found:
        raise DataError(f"source must name face crops, found nothing: looked for {looked_for}")
    return found


def left_out(source: str, paths: Sequence[Path]) -> str | None:
    """What a folder holds beside its pictures, in one sentence; None if that is nothing but hidden files."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return None
    others = [path for path in set(folder.iterdir()) - set(paths) if not path.name.startswith(".")]
    folders = sum(path.is_dir() for path in others)
    kinds = {"folders": folders, "links to nothing": sum(not path.exists() for path in others)}
    kinds["other files"] = len(others) - sum(kinds.values())
    said = " and ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)
    remedy = f"; for pictures in folders use {_below(folder)}" if folders else ""
    return f"left out of {folder}: {said}{remedy}" if said else None


def _below(folder: Path) -> str:
    """What `source=` must be for the pictures in the folders in `folder` too, as it is typed."""
    return f"'{escape(str(folder))}/**/*'"


Answers = list[tuple[Path, "Prediction"]]


def write_table(bundle: "Runner", answers: Answers, top: int) -> None:
    """A row a face, the likeliest labels first."""
    face = bundle.spec.face
    cut = f"faces are taken as cut: margin {face.margin:g}, eyes {'aligned' if face.aligned else 'not aligned'}"
    table = Table(box=None, pad_edge=False, header_style="bold", caption=cut, caption_justify="left")
    table.add_column("source", overflow="fold")
    for rank in range(min(top, len(bundle.spec.expression))):
        table.add_column("expression, %" if rank == 0 else "")
    for name in ("valence", "arousal") if bundle.spec.affect else ():
        table.add_column(name, justify="right")
    for path, answer in answers:
        shares = [f"{name} {100 * share:.1f}" for name, share in list(answer.expression.items())[:top]]
        affect = [f"{value:+.2f}" for value in (answer.valence, answer.arousal) if value is not None]
        table.add_row(str(path), *shares, *affect)
    Screen().print(table)


def write_json(bundle: "Runner", answers: Answers, top: int) -> None:
    """One document: the bundle's digest and a list of faces with their `top` labels, likeliest first."""
    faces = []
    for path, answer in answers:
        face: dict[str, Any] = {"source": str(path)}
        if bundle.spec.expression:
            face["expression"] = dict(list(answer.expression.items())[:top])
        if bundle.spec.affect:
            face |= {"valence": answer.valence, "arousal": answer.arousal}
        faces.append(face)
    text = json.dumps({"bundle": bundle.spec.digest, "faces": faces}, indent=2, ensure_ascii=False, allow_nan=False)
    # What moves a cursor or is no Unicode, such as an undecodable byte of a file's name, as JSON's own escape.
    shown = (c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    sys.stdout.write("".join(shown) + "\n")


def write_csv(bundle: "Runner", answers: Answers, top: int) -> None:
    """A row a face: source, the likeliest label, and a probability column for every label in the bundle's order.

    All labels whatever `top` is, so that the columns are the same for every face, as data frames want them. A text that
    a spreadsheet would take for a formula begins with an apostrophe.
    """
    names = bundle.spec.expression
    writer = csv.writer(sys.stdout, lineterminator="\n")
    affect = ["valence", "arousal"] if bundle.spec.affect else []
    writer.writerow(["source", *(["expression"] if names else []), *map(no_formula, names), *affect])
    for path, answer in answers:
        likeliest = list(answer.expression)[:1]
        shares = [f"{answer.expression[name]:.6f}" for name in names]
        numbers = [f"{value:.6f}" for value in (answer.valence, answer.arousal) if value is not None]
        writer.writerow([no_formula(str(path)), *map(no_formula, likeliest), *shares, *numbers])


WRITERS = {"table": write_table, "json": write_json, "csv": write_csv}
