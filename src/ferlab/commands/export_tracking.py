"""What MLflow gets of an export: the verified files and how they compare, on the run that trained the bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferlab import config
from ferlab.errors import ConfigError, FerlabError
from ferlab.formats.interface import WRITTEN
from ferlab.screen import Screen
from ferlab.training.folder import RunFolder
from ferlab.training.tracking import Tracker, TrackerOptions

if TYPE_CHECKING:
    from ferlab.bundle import Bundle
    from ferlab.spec import Image

DOCUMENTS = ("parity.json", "past.bin", *WRITTEN)  # what lies beside exported files


@dataclass(frozen=True)
class Tracked:
    """Where exports are logged.

    Attributes:
        options: of the tracker.
        run_id: MLflow's, of the run that trained the bundle; None if it is not known.
        name: of a new run, if there has to be one.
        register: what the files are called in the registry, or None.
        asked: whether the command names a tracker or registers; then a run is made if that of the training is not
            there, as in a copy of its folder on another machine.
    """

    options: TrackerOptions
    run_id: str | None
    name: str
    register: str | None
    asked: bool


def tracked(bundle: "Bundle", given: TrackerOptions | None, register: str | None) -> Tracked:
    """Where to log: by default the tracker and the run of the training, if the bundle lies in a run's folder.

    A store that only the run's folder names is not contacted: the folder may come from anywhere.

    Raises:
        ConfigError: something is to be registered and there is no tracker to do it.
    """
    screen = Screen()
    folder = RunFolder((bundle.path or Path()).absolute().parent)
    run_id = own = None
    try:
        if folder.record.is_file() and (run_id := folder.read_record().get("mlflow_run")):
            own = TrackerOptions(**config.plain(config.load(folder.config).tracker))
    except (FerlabError, AttributeError, TypeError) as error:  # the folder may come from anywhere
        screen.say(f"the run of {bundle.path} cannot be told ({' '.join(str(error).split())}); the export goes on")
    if not given and own and own.uri not in (None, config.own_store()):
        screen.say(
            f"the training was tracked at {own.uri!r}, which neither conf/ nor this command names: nothing is logged; "
            f"if it is yours, add tracker=mlflow tracker.uri={own.uri!r}"
        )
        own = None
    if not given and own and not (own.uri or own.environment) and not (Path("mlruns") / "mlflow.db").exists():
        screen.say("the training's mlruns/ is not in this folder: nothing is logged; run there, or add tracker=mlflow")
        own = None
    options = given or own or TrackerOptions("none")
    if register and options.name == "none":
        raise ConfigError(f"register needs MLflow, got no tracker of the run for {bundle.path}; add tracker=mlflow")
    return Tracked(options, run_id, f"{folder.path.name}_export", register, given is not None or register is not None)


def log_exports(run: Tracked, folder: Path, rows: Sequence[Mapping[str, Any]], faces: "Image") -> None:
    """Send the verified files of `rows`, which lie in `folder`, with what says how they compare; never raises.

    Args:
        run: where to.
        folder: of the export.
        rows: of the report, those of files that were written.
        faces: (n, c, s, s) uint8, an example for the registry.
    """
    if run.options.name == "none" or not rows:
        return
    if run.options.environment:
        Screen().say(f"tracker: MLflow at {run.options.shown}")
    tracker = Tracker(run.options, Screen().say, "the files are written")
    attached = run.run_id is not None and tracker.attach(run.run_id)
    if not attached:
        if not run.asked:
            return
        tracker.start(run.name, {}, {}, None, [])
    documents = [name for name in DOCUMENTS if (folder / name).is_file()]  # older bundles have no past.bin
    tracker.log_files([folder / name for name in (*(row["file"] for row in rows), *documents)], "exports")
    tracker.log_results({name: value for row in rows for name, value in results(row).items()})
    if run.register:
        register(tracker, run.register, folder, rows, faces)
    if not attached:
        tracker.finish("FINISHED")


def results(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a file that are worth comparing between runs."""
    parity, name = row["parity"], f"export/{row['format']}"
    found = {f"{name}/worst": parity["worst"], f"{name}/agreement": parity["agreement"]}
    found |= {f"{name}/{key}": parity[key]["file"] for key in ("accuracy", "ccc") if parity[key]}
    return {key: value for key, value in found.items() if value is not None}


def register(tracker: Tracker, name: str, folder: Path, rows: Sequence[Mapping[str, Any]], faces: "Image") -> None:
    """Put each file in the registry, as the next version of `name`."""
    from ferlab import formats

    for row in rows:
        path = folder / row["file"]
        tracker.register(name, path, formats.FORMATS[row["format"]].extra, faces, formats.read(path).answers(faces))
