"""`ferlab models`: the trained models that are at hand, in the box and on disk, and their cards."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markdown import Markdown
from rich.table import Table

from ferlab import config
from ferlab.box import BOX, located
from ferlab.documents import read_document, spec_of
from ferlab.errors import BundleError, FerlabError, SpecError, printable
from ferlab.files import read_json, read_text
from ferlab.screen import Screen

if TYPE_CHECKING:
    from ferlab.cli import Invocation
    from ferlab.spec import ModelSpec

FIGURES = {"accuracy": "{:.1%}", "mean_recall": "{:.1%}", "valence_ccc": "{:.3f}", "arousal_ccc": "{:.3f}"}
WIDTH = 140  # columns, where the output is no terminal


@dataclass
class ModelsConfig:
    """Keys of conf/models.yaml, which explains them."""

    show: str | None = None
    folder: str = "outputs"


@dataclass(frozen=True)
class Known:
    """A model at hand.

    Attributes:
        name: what `bundle=` takes.
        spec: what goes in and comes out.
        architecture: its name.
        data: the dataset that it was trained on.
        figures: name -> value on the validation faces; those of FIGURES that are known.
        size: of the file with its weights, bytes.
    """

    name: str
    spec: "ModelSpec"
    architecture: str
    data: str
    figures: dict[str, float]
    size: int


def models(invocation: "Invocation") -> None:
    """Print a table of what is in the box and on disk, or one model's card."""
    settings = config.typed(config.compose(invocation.command.config, invocation.overrides), ModelsConfig)
    if settings.show is not None:
        show(settings.show)
        return
    screen, left_out = Screen(WIDTH), []
    found = [known(name, path) for name, path in BOX.items()]
    for path in on_disk(Path(settings.folder)):
        try:
            found.append(known(str(path), path))
        except FerlabError as error:  # one broken bundle of many
            left_out.append(f"left out: {error}")
    screen.print(_table(found))
    screen.say(*left_out)
    screen.say(
        "figures: of the validation faces on which each was selected; bundle=NAME uses a model, "
        f"ferlab models show=NAME prints its card{'' if len(found) > len(BOX) else f'; in {settings.folder} lies none'}"
    )


def show(name: str) -> None:
    """Print the card that lies with a model.

    Raises:
        BundleError: there is none.
    """
    path = located(name)
    folder = path if path.is_dir() else path.parent
    card = next((each / "README.md" for each in (folder, folder / "bundle") if (each / "spec.json").is_file()), None)
    if card is None:
        raise BundleError(f"show must name a model in the box, a bundle or its run, got {name}; see ferlab models")
    try:
        text = read_text(card)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "text that is not UTF-8"
        raise BundleError(f"{folder} must hold README.md, got {reason}; copy the whole folder") from error
    screen = Screen()
    if screen.is_terminal:
        screen.print(Markdown("\n".join(map(printable, text.split("\n"))), hyperlinks=False))
    else:
        screen.say(*text.rstrip("\n").split("\n"))


def on_disk(folder: Path) -> Iterator[Path]:
    """The bundles in a folder and in its folders, the newest run last."""
    for file in sorted(folder.glob("**/bundle/spec.json")):
        yield file.parent


def known(name: str, path: Path) -> Known:
    """What the documents beside a model say of it; nothing is loaded.

    Raises:
        BundleError, SpecError: they are missing, damaged or foreign.
    """
    folder = path if path.is_dir() else path.parent
    weights = path / "weights.safetensors" if path.is_dir() else path
    document = read_document(folder / "spec.json")
    spec = spec_of(document)
    try:
        metrics: dict[str, Any] = read_json(folder / "metrics.json")
        size = weights.stat().st_size
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BundleError(f"{folder} must hold metrics.json and {weights.name}, got {reason}; copy it whole") from error
    values = {each: metrics.get(f"validation/{each}") for each in FIGURES}
    figures = {each: float(value) for each, value in values.items() if isinstance(value, int | float)}
    model = document.get("model")
    if not isinstance(model, dict) or not isinstance(document.get("provenance"), dict):
        raise SpecError(f"{folder / 'spec.json'} must name a model and where it comes from; copy it again")
    return Known(name, spec, str(model.get("name")), str(document["provenance"].get("dataset")), figures, size)


def _table(found: list[Known]) -> Table:
    table = Table("bundle=", "model", "input", "trained on", box=None, pad_edge=False, header_style="bold")
    shown = [name for name in FIGURES if any(name in each.figures for each in found)]
    for title in ("labels", "MB", *(name.replace("_", " ") for name in shown)):
        table.add_column(title, justify="right")
    for each in found:
        cells = [FIGURES[name].format(each.figures[name]) if name in each.figures else "–" for name in shown]
        size = f"{each.spec.size} px, {each.spec.colour}"
        labels = str(len(each.spec.expression) or "–")
        table.add_row(each.name, each.architecture, size, each.data, labels, f"{each.size / 1e6:.1f}", *cells)
    return table
