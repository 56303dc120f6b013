"""`ferlab train`: from a config to a run's folder with a bundle in it."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferlab import catalogue, config
from ferlab.quoting import as_item
from ferlab.screen import Screen
from ferlab.training.config import TrainConfig
from ferlab.training.folder import RunFolder
from ferlab.training.tracking import TrackerOptions, flatten

if TYPE_CHECKING:
    from ferlab.cli import Invocation
    from ferlab.data.source import Source
    from ferlab.training.run import Run


def train(invocation: "Invocation") -> int:
    """Train, and say where to look next. 0 when done, 128 + the signal when stopped by one."""
    options = config.typed(config.for_training(invocation.overrides, invocation.repeat), TrainConfig)
    if earlier := invocation.repeat or options.resume:
        RunFolder(Path(earlier)).read_record()
    source: Source = config.instantiate(options.data)

    from ferlab.training.run import train as run  # takes seconds: a mistake in what was typed is told before

    done = run(options, RunFolder(Path(invocation.repeat)) if invocation.repeat else None, source)
    if done.is_main_process:
        summarise(done) if done.stopped is None else say_stopped(done)
    return 0 if done.stopped is None else 128 + done.stopped


def say_stopped(run: "Run") -> None:
    """Where the run stands and how to go on; a tracking store has to be named again, see `config.repeat`, and so has
    what was elsewhere this time than the run's config says.
    """
    from ferlab.provenance import quoted

    position, uri = run.position, run.config.tracker.uri
    before, now = flatten(config.plain(config.load(run.folder.config))), flatten(asdict(run.config))
    moved = {key: value for key, value in now.items() if config.movable(key) and value != before.get(key)}
    moved |= {} if uri is None else {"tracker.uri": uri}
    words = [f"resume={run.folder.path}", *(f"{key}={'null' if v is None else v}" for key, v in moved.items())]
    lines = [
        f"stopped after epoch {position.epoch} and {position.step} steps; all is saved. To go on:",
        f"  ferlab train {quoted(words)}",
    ]
    Screen().say(*lines)


def summarise(run: "Run") -> None:
    """The best epoch, and where to look next."""
    from ferlab.provenance import quoted

    best, faces = run.best, len(run.source.split("validation"))
    words = [f"bundle={run.folder.bundle}", f"data={run.source.name}", *data_options(run.config.data, run.source.name)]
    lines = [
        f"best    {run.config.trainer.monitor} {best.value:.4f} at epoch {best.epoch}, on {faces:,} validation faces, "
        f"plain, selected on this split; tracking took {run.tracking_s:.1f} s",
        f"next    ferlab evaluate {quoted(words)}",
        *(f"        {each}" for each in where_tracked(run.config.tracker)),
    ]
    Screen().say(*lines)


def where_tracked(tracker: TrackerOptions) -> list[str]:
    """How to look at the run in MLflow, if it was tracked."""
    from ferlab.provenance import quoted

    if tracker.name == "none":
        return []
    if tracker.address.startswith(("http://", "https://")):  # a server has pages of its own
        return [f"MLflow at {tracker.shown}"]
    return [f"ferlab ui {quoted([f'uri={tracker.uri}'])}" if tracker.uri else "ferlab ui"]


def data_options(data: Mapping[str, Any], name: str) -> list[str]:
    """The `data.key=value` by which a run differs from `data=<name>` alone; parts of a mixture are left out."""
    if name not in catalogue.groups("evaluate")["data"]:
        return []
    default = config.plain(config.compose("evaluate", [f"data={name}"]))["data"]
    changed = {key: value for key, value in data.items() if value != default.get(key)}
    texts = {k: str(v).lower() if isinstance(v, bool) else v for k, v in changed.items()}
    texts |= {k: f"[{','.join(map(as_item, v))}]" for k, v in changed.items() if isinstance(v, list)}
    return [f"data.{k}={v}" for k, v in texts.items() if isinstance(v, str | int | float)]
