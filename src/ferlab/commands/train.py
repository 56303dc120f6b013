"""`ferlab train`: from a config to a run's folder with a bundle in it."""

import shlex
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_fabric import Fabric
from rich.console import Console

from ferlab import config
from ferlab.commands.artifacts import log_artifacts, write_bundle
from ferlab.commands.recipe import TrainConfig, build_fit, model_spec
from ferlab.data.source import Source
from ferlab.errors import TrainingError
from ferlab.files import write_text
from ferlab.metrics import LOWER_IS_BETTER
from ferlab.provenance import command_line, commit, environment
from ferlab.train.clock import Clock
from ferlab.train.engine import launch
from ferlab.train.fit import Epoch, Fit, fit
from ferlab.train.folder import RunFolder, new_folder
from ferlab.train.interrupt import listening
from ferlab.train.progress import ProgressView
from ferlab.train.state import load_checkpoint, save_checkpoint
from ferlab.train.tracking import Tracker, TrackerOptions, flatten

if TYPE_CHECKING:
    from ferlab.cli import Invocation


def train(invocation: "Invocation") -> int:
    """Train, keep the best epoch's bundle, track. 0 when done, 128 + the signal when stopped by one."""
    options, resumed, earlier = read_config(invocation)
    trainer = options.trainer
    fabric = launch(trainer, unused_parameters=trainer.freeze_epochs > 0)
    console = Console(quiet=not fabric.is_global_zero, highlight=False, soft_wrap=True)
    source: Source = config.instantiate(options.data)
    spec = model_spec(options.model, source)
    record = describe(options, source, fabric) | {"spec_digest": spec.digest}
    if earlier is not None:
        compare(earlier.read_record(), record, console, resumed is not None)
    announce(source, record, console)
    tracker = Tracker(options.tracker if fabric.is_global_zero else TrackerOptions("none"), console.print)
    clock = Clock()
    with listening() as stop, ProgressView(console, trainer.epochs, trainer.monitor) as view, ExitStack() as held:
        run = build_fit(options, source, spec, fabric, stop, view.step, clock)
        note_weights(run, record, console)
        note_teacher(run, record, console, earlier, resumed is not None)
        folder = resumed or new_run(options, source, fabric)  # not before: what cannot be built leaves nothing behind
        if fabric.is_global_zero:
            held.enter_context(folder.locked())
        console.print(f"run     {folder.path}")
        if resumed:
            run.state.restore(load_checkpoint(folder.checkpoint, fabric.device))
        with clock("tracking"):
            start_tracking(tracker, folder, record, options, run)
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
        if stop.signal is not None and run.state.position.epoch < trainer.epochs:
            tracker.finish("KILLED")
            note_tracking(tracker, folder, record)
            say_stopped(run, folder, options, console)
            return 128 + stop.signal
        with clock("tracking"):
            log_artifacts(tracker, folder, run, source)
            tracker.finish("FINISHED")
            note_tracking(tracker, folder, record)
    summarise(run, folder, options, source, clock, console)
    return 0


def read_config(invocation: "Invocation") -> tuple[TrainConfig, RunFolder | None, RunFolder | None]:
    """The checked config of a new, repeated or resumed run; the folder if it is resumed; and that of the run before."""
    options = config.typed(config.for_training(invocation.overrides, invocation.repeat), TrainConfig)
    folder = RunFolder(Path(options.resume)) if options.resume else None
    earlier = folder or (RunFolder(Path(invocation.repeat)) if invocation.repeat else None)
    return options, folder, earlier


def new_run(options: TrainConfig, source: Source, fabric: Fabric) -> RunFolder:
    """A new folder with the config in it, the same in every process."""
    folder: RunFolder | None = None
    if fabric.is_global_zero:
        folder = new_folder(Path(options.outputs), options.name or f"{options.model.name}_{source.name}")
        write_text(folder.config, config.to_yaml(asdict(options)))
    shared = fabric.broadcast(folder)
    assert shared is not None
    return shared


def describe(options: TrainConfig, source: Source, fabric: Fabric) -> dict[str, Any]:
    """The record of the run: what somebody needs to repeat it and to judge its numbers."""
    return {
        "command": command_line(),
        "commit": commit(),
        "environment": environment(fabric.device),
        "dataset": source.name,
        "protocol": source.protocol,
        "licence": source.licence,
        "counts": {name: len(split) for name, split in source.splits.items()},
        "dropped": dict(source.dropped),
        "data_digest": source.digest(),
        "mapping": dict(source.mapping),
        "recipe": options.digest,
        "seed": options.seed,
        "precision": str(fabric._precision.precision),
        "weights": None,
        "teacher": None,
        "mlflow_run": None,
    }


def compare(before: dict[str, Any], record: dict[str, Any], console: Console, resumed: bool) -> None:
    """Say where data, code or machine differ from those of the run before; a resumed run keeps its MLflow run."""
    compared = ("data_digest", "spec_digest", "commit", "precision", "environment")
    was, now = (flatten({key: values[key] for key in compared}) for values in (before, record))
    for key in now:
        if was.get(key) != now[key]:
            console.print(f"note: {key} was {was.get(key)}, now {now[key]}: numbers may differ")
    if resumed:
        record |= {key: before[key] for key in ("command", "mlflow_run", "weights") if key in before}


def announce(source: Source, record: dict[str, Any], console: Console) -> None:
    """Print the data, what was left out of it, how its labels were mapped, and the machine."""
    faces = ", ".join(f"{n:,} {name}" for name, n in record["counts"].items())
    console.print(f"data    {source.protocol}: {faces}")
    for reason, n in source.dropped.items():
        console.print(f"        left out: {n:,} ({reason})")
    names = {found: name if name in source.labels else "left out" for found, name in source.mapping.items()}
    console.print("labels  " + ", ".join(k if k == v else f"{k} → {v}" for k, v in names.items()))
    console.print(f"machine {record['environment']['device']}, {record['precision']}")


def note_weights(run: Fit, record: dict[str, Any], console: Console) -> None:
    """Print and record what the network started from, if not from scratch."""
    if (weights := run.state.weights) is not None:
        console.print(f"weights {weights}")
        record["weights"] = {"path": weights.path, "sha256": weights.sha256}


def note_teacher(run: Fit, record: dict[str, Any], console: Console, earlier: RunFolder | None, resumed: bool) -> None:
    """Print and record who teaches, if anybody; a resumed run must find the teacher that it began with."""
    if run.teacher is None:
        return
    now = record["teacher"] = run.teacher.origin
    teacher, student = (sum(w.numel() for w in net.parameters()) for net in (run.teacher.bundle.net, run.state.net))
    console.print(f"teacher {now['path']}: {now['model']}, {teacher:,} parameters; the student has {student:,}")
    was = (earlier.read_record().get("teacher") if earlier else None) or now
    if was["sha256"] == now["sha256"]:
        return
    if resumed:
        raise TrainingError(
            f"the teacher must be the one that the run began with, sha256 {was['sha256'][:16]}, got "
            f"{now['sha256'][:16]} at {now['path']}; put it back, or start a new run with --from"
        )
    console.print(f"note: teacher was {was['path']}, sha256 {was['sha256'][:16]}: numbers may differ")


def start_tracking(tracker: Tracker, folder: RunFolder, record: dict[str, Any], options: TrainConfig, run: Fit) -> None:
    """Open the run in MLflow, or the one that it was before, and send epochs that it has not seen."""
    if not run.state.fabric.is_global_zero:
        return
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


def say_stopped(run: Fit, folder: RunFolder, options: TrainConfig, console: Console) -> None:
    """Where the run stands and how to go on; a tracking store has to be named again, see `config.repeat`."""
    position = run.state.position
    console.print(f"stopped after epoch {position.epoch} and {position.step} steps; all is saved. To go on:")
    words = [f"resume={folder.path}"] + [f"tracker.uri={options.tracker.uri}"] * (options.tracker.uri is not None)
    console.print(f"  ferlab train {' '.join(map(shlex.quote, words))}")


def data_options(data: Mapping[str, Any], name: str) -> list[str]:
    """The `data.key=value` by which a run differs from `data=<name>` alone; lists and parts are left out."""
    if name not in config.groups("evaluate")["data"]:
        return []
    default = config.plain(config.compose("evaluate", [f"data={name}"]))["data"]
    changed = {key: value for key, value in data.items() if value != default.get(key)}
    texts = {k: str(v).lower() if isinstance(v, bool) else v for k, v in changed.items()}
    return [f"data.{k}={v}" for k, v in texts.items() if isinstance(v, str | int | float)]


def summarise(
    run: Fit, folder: RunFolder, options: TrainConfig, source: Source, clock: Clock, console: Console
) -> None:
    """The best epoch, and where to look next."""
    best = run.state.best
    console.print(
        f"best    {run.monitor} {best.value:.4f} at epoch {best.epoch}, on {len(run.truth):,} validation faces, "
        f"plain, selected on this split; tracking took {clock.seconds['tracking']:.1f} s"
    )
    words = [f"bundle={folder.bundle}", f"data={source.name}", *data_options(options.data, source.name)]
    console.print(f"next    ferlab evaluate {' '.join(map(shlex.quote, words))}")
    console.print("        ferlab ui")
