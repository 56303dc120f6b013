"""A whole training run, from a config to a folder with a bundle in it: what `ferlab train` and Python users call."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_fabric import Fabric
from matplotlib.figure import Figure

from ferlab import config
from ferlab.bundle import Bundle, load_bundle
from ferlab.data.source import Source
from ferlab.errors import printable
from ferlab.evaluation import plots
from ferlab.files import write_text
from ferlab.interrupt import listening
from ferlab.metrics import LOWER_IS_BETTER
from ferlab.screen import Screen
from ferlab.training.artifacts import log_artifacts, write_bundle
from ferlab.training.build import build_fit, model_spec
from ferlab.training.clock import Clock
from ferlab.training.config import TrainConfig
from ferlab.training.engine import launch
from ferlab.training.fit import Epoch, Fit, fit
from ferlab.training.folder import RunFolder, new_folder
from ferlab.training.progress import ProgressView
from ferlab.training.record import announce, compare, describe, note_concordance, note_past, note_teacher, note_weights
from ferlab.training.seen import past_of_run
from ferlab.training.state import Best, Position, load_checkpoint, save_checkpoint
from ferlab.training.tracking import Tracker, TrackerOptions

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Run:
    """What a training left.

    Attributes:
        folder: where everything lies.
        config, source: what was trained, on what.
        position: where it stopped; after its last epoch if nothing stopped it.
        best: the epoch in the bundle, and its value of `config.trainer.monitor`.
        stopped: the signal that stopped it early, or None.
        tracking_s: seconds spent on MLflow.
        is_main_process: whether this is the first of several processes, the one that writes and prints.
    """

    folder: RunFolder
    config: TrainConfig
    source: Source
    position: Position
    best: Best
    stopped: int | None
    tracking_s: float
    is_main_process: bool

    @property
    def history(self) -> "DataFrame":
        """The metrics of the finished epochs, as metrics.jsonl has them: a row an epoch, whose number is the index."""
        import pandas as pd

        rows = self.folder.rows(self.position.epoch)
        numbers = pd.Index([int(row["epoch"]) for row in rows], name="epoch")
        return pd.DataFrame([{k: v for k, v in row.items() if k != "epoch"} for row in rows], numbers)

    def plot(self) -> Figure:
        """Loss, scores and learning rate over the epochs; a dot marks the best."""
        return plots.curves(self.folder.rows(self.position.epoch))

    @property
    def bundle(self) -> Bundle:
        """The best epoch's bundle, on the CPU; BundleError if the run stopped before its first epoch ended."""
        return load_bundle(self.folder.bundle)

    def __repr__(self) -> str:
        monitor, best, stopped = self.config.trainer.monitor, self.best, ", stopped" if self.stopped else ""
        done = f"{self.position.epoch} of {self.config.trainer.epochs} epochs{stopped}"
        score = f"best {monitor} {best.value:.4f} at epoch {best.epoch}" if best.epoch else "no epoch ended"
        return printable(f"Run({self.folder.path}: {done}, {score})")


def train(
    options: TrainConfig | Sequence[str] = (), earlier: RunFolder | None = None, source: Source | None = None
) -> Run:
    """Train, keep the best epoch's bundle, track.

    Args:
        options: a config, or what follows `ferlab train`: `["data=fer2013", "trainer.epochs=5"]`.
        earlier: the run that this one repeats, to say where data, code or machine differ.
        source: what the config's `data` describes, if it is open already.

    Raises:
        FerlabError: as the command would say it; nothing is left behind if it comes before the first step.
    """
    if not isinstance(options, TrainConfig):
        options = config.typed(config.for_training(options, None), TrainConfig)
    trainer, resumed = options.trainer, RunFolder(Path(options.resume)) if options.resume else None
    earlier = resumed or earlier
    fabric = launch(trainer, unused_parameters=trainer.freeze_epochs > 0)
    screen = Screen(quiet=not fabric.is_global_zero)
    source = config.instantiate(options.data) if source is None else source
    spec = model_spec(options.model, source)
    record = describe(options, source, fabric) | {"spec_digest": spec.digest}
    if earlier is not None:
        compare(earlier.read_record(), record, screen, resumed is not None)
    announce(source, record, screen)
    tracker = Tracker(options.tracker if fabric.is_global_zero else TrackerOptions("none"), screen.say)
    faster = faster_choices(options) if fabric.device.type == "cpu" else []
    view = ProgressView(screen, trainer.epochs, trainer.monitor, faster)
    clock = Clock()
    with listening() as stop, view:
        run = build_fit(options, source, spec, fabric, stop, view.step, clock)
        note_weights(run, record, screen)
        note_teacher(run, record, screen, earlier, resumed is not None)
        note_concordance(run, screen)
        past = past_of_run(run, source, trainer.sampler, resumed) if fabric.is_global_zero else None
        with claimed(resumed, options, source, fabric) as folder:  # not before: what cannot be built leaves nothing
            screen.say(f"run     {folder.path}")
            if resumed:
                run.state.restore(load_checkpoint(folder.checkpoint, fabric.device))
            note_past(past, folder, screen)
            with clock("tracking"):
                start_tracking(tracker, folder, record, options, run, screen)
            try:
                for epoch in fit(run):
                    if epoch.complete:
                        is_best = note_epoch(run, epoch, folder)
                        if is_best and fabric.is_global_zero:
                            write_bundle(run, epoch, folder, record, spec, options.model)
                        view.epoch(epoch.metrics, is_best)
                    save_checkpoint(run.state, folder.checkpoint)
                    with clock("tracking"):
                        tracker.log_epochs([epoch.metrics] if epoch.complete else [])
                        note_tracking(tracker, folder, record)
                    if stop.signal is not None or out_of_patience(run, trainer.patience):
                        break
            except BaseException:
                tracker.finish("FAILED")
                raise
            stopped = stop.signal if run.state.position.epoch < trainer.epochs else None
            with clock("tracking"):
                end_tracking(tracker, folder, record, run, source, stopped is None)
    state, tracking_s = run.state, clock.seconds["tracking"]
    return Run(folder, options, source, state.position, state.best, stopped, tracking_s, fabric.is_global_zero)


def faster_choices(options: TrainConfig) -> list[str]:
    """What of a training can be chosen faster on a CPU, and is not yet."""
    small = [] if options.model.name == "small_resnet" else ["model=small_resnet"]
    batched = [] if options.augment.sample is None else ["augment=batched"]
    return [*small, *batched, "a smaller model.size", "fewer trainer.epochs"]


def new_run(options: TrainConfig, source: Source, fabric: Fabric) -> RunFolder:
    """A new folder with the config in it, the same in every process."""
    folder: RunFolder | None = None
    if fabric.is_global_zero:
        folder = new_folder(Path(options.outputs), options.name or f"{options.model.name}_{source.name}")
        write_text(folder.config, config.to_yaml(asdict(options)))
    shared = fabric.broadcast(folder)
    assert shared is not None
    return shared


@contextmanager
def claimed(resumed: RunFolder | None, options: TrainConfig, source: Source, fabric: Fabric) -> Iterator[RunFolder]:
    """The folder of the resumed run or a new one, held; a new one in which nothing was saved is removed at the end."""
    folder = resumed or new_run(options, source, fabric)
    if not fabric.is_global_zero:
        yield folder
        return
    try:
        with folder.locked():
            yield folder
    finally:
        if not resumed:
            folder.discard()


def start_tracking(
    tracker: Tracker, folder: RunFolder, record: dict[str, Any], options: TrainConfig, run: Fit, screen: Screen
) -> None:
    """Open the run in MLflow, or the one that it was before, and send epochs that it has not seen."""
    if not run.state.fabric.is_global_zero:
        return
    if options.tracker.name != "none" and options.tracker.environment:
        screen.say(f"tracker MLflow at {options.tracker.shown}")
    earlier = folder.rewind(run.state.position.epoch)
    tags = {"git_commit": str(record["commit"]), "command": record["command"], "folder": str(folder.path.absolute())}
    shown = {k: v for k, v in record.items() if k not in ("command", "commit", "mlflow_run", "mapping")}
    tracker.start(folder.path.name, asdict(options) | {"run": shown}, tags, record["mlflow_run"], earlier)
    record["mlflow_run"] = tracker.run_id or record["mlflow_run"]
    folder.write_record(record)


def note_tracking(tracker: Tracker, folder: RunFolder, record: dict[str, Any]) -> None:
    """Write MLflow's id down once there is one: its store may come up later than the run."""
    if tracker.run_id is not None and record["mlflow_run"] != tracker.run_id:
        record["mlflow_run"] = tracker.run_id
        folder.write_record(record)


def end_tracking(
    tracker: Tracker, folder: RunFolder, record: dict[str, Any], run: Fit, source: Source, finished: bool
) -> None:
    """Send what a finished run leaves, and close the run in MLflow."""
    if finished:
        log_artifacts(tracker, folder, run, source)
    tracker.finish("FINISHED" if finished else "KILLED")
    note_tracking(tracker, folder, record)


def note_epoch(run: Fit, epoch: Epoch, folder: RunFolder) -> bool:
    """Write the epoch's metrics down; whether it is the best so far."""
    value, best = epoch.metrics[f"validation/{run.monitor}"], run.state.best
    is_best = best.epoch == 0 or (value < best.value if run.monitor in LOWER_IS_BETTER else value > best.value)
    if is_best:
        best.value, best.epoch = value, epoch.number
    if run.state.fabric.is_global_zero:
        folder.append(epoch.metrics)
    return is_best


def out_of_patience(run: Fit, patience: int) -> bool:
    """Whether the best epoch lies `patience` epochs back."""
    return bool(patience) and run.state.position.epoch - run.state.best.epoch >= patience
