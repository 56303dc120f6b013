"""What a person sees of a run: a live bar on a terminal and in a notebook, a line an epoch everywhere."""

import io
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from ferlab.screen import Screen, in_notebook
from ferlab.training.fit import Step

WARM_UP_STEPS = 3
REDRAW_S = 0.25  # seconds between two pictures of the bar
NOTEBOOK_WIDTH = 100  # columns


class ProgressView:
    """Shows steps and epochs. On anything but a terminal or in a notebook there is no bar.

    Args:
        screen: where to print.
        epochs: of the whole run.
        monitor: the validation metric to show.
        faster: choices that would make it faster, of which a run of over an hour is told.
    """

    def __init__(self, screen: Screen, epochs: int, monitor: str, faster: Sequence[str] = ()) -> None:
        self.screen = screen
        self.epochs = epochs
        self.monitor = monitor
        self.faster = faster
        columns: list[ProgressColumn] = [
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[rate]:,.0f} images/s  loss {task.fields[loss]:.3f}  lr {task.fields[lr]:.2g}"),
            TimeRemainingColumn(compact=True),
        ]
        self._bar = Progress(*columns, console=screen, transient=True, refresh_per_second=1 / REDRAW_S)
        self._task = self._bar.add_task("", total=None, epoch=0, epochs=epochs, rate=0.0, loss=0.0, lr=0.0)
        self._cell: Any = None
        self._drawn = 0.0  # time at which it was in the cell
        self._epoch = 0
        self._mark = (0.0, 0)  # time, and faces seen then
        self._first: tuple[float, int] | None = None  # time, and step of the run, from which the estimate counts
        self._estimated = False

    def __enter__(self) -> "ProgressView":
        if self.screen.is_terminal:
            self._bar.start()
        elif in_notebook() and not self.screen.quiet:
            self._cell = _notebook_cell()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.screen.is_terminal:
            self._bar.stop()
        if self._cell is not None:
            self._cell.update(_plain_text(""), raw=True)

    def step(self, step: Step) -> None:
        """Show where an epoch is, and once how long the run will take."""
        self._estimate(step)
        if not self.screen.is_terminal and self._cell is None:
            return
        done, total = (step.epoch - 1) * step.steps + step.step, self.epochs * step.steps
        if step.epoch != self._epoch:  # validation lay between: measure the rate anew
            if not self._epoch:  # also in a resumed run the time left follows from what is done from here on
                self._bar.reset(self._task, total=total, completed=done)
            self._epoch, self._mark = step.epoch, (time.perf_counter(), step.faces)
        then, faces = self._mark
        seconds = max(time.perf_counter() - then, 1e-9)
        rate = (step.faces - faces) / seconds if step.faces > faces else self._bar.tasks[0].fields["rate"]
        shown: dict[str, Any] = {"epoch": step.epoch, "rate": rate, "loss": step.loss, "lr": step.lr}
        self._bar.update(self._task, completed=done, **shown)
        if self._cell is not None and time.perf_counter() - self._drawn > REDRAW_S:
            text = io.StringIO()
            Screen(file=text, width=NOTEBOOK_WIDTH).print(self._bar.get_renderable())
            self._cell.update(_plain_text(text.getvalue()), raw=True)
            self._drawn = time.perf_counter()

    def _estimate(self, step: Step) -> None:
        """Say how long the run will take, once ten seconds and ten steps after its first ones, which warm up."""
        now, done = time.perf_counter(), (step.epoch - 1) * step.steps + step.step
        if self._estimated or (self._first is None and step.step < WARM_UP_STEPS):
            return
        if self._first is None:
            self._first = now, done
        since, start = self._first
        if done - start < 10 or now - since < 10:
            return
        self._estimated = True
        left = (self.epochs * step.steps - done) * (now - since) / (done - start)
        self.screen.say(f"time    about {_duration(left)} to go, validation aside")
        if left > 3600 and self.faster:
            self.screen.say(f"        faster on a CPU: {', '.join(self.faster)}")

    def epoch(self, metrics: Mapping[str, float], is_best: bool) -> None:
        """Print the line of a finished epoch; a star marks the best so far."""
        train = {"loss": "train/loss", "train": "train/accuracy"}
        validation = dict.fromkeys(("nll", "accuracy", "macro_f1", "valence_ccc", "arousal_ccc", self.monitor))
        values = (
            "  ".join(f"{name} {metrics[key]:.4f}" for name, key in keys.items() if key in metrics)
            for keys in (train, {name: f"validation/{name}" for name in validation})
        )
        self.screen.say(
            f"epoch {metrics['epoch']:>3.0f}/{self.epochs}  {'  |  '.join(values)}"
            f"{' *' if is_best else '  '}  |  lr {metrics['train/lr']:.2e}  "
            f"{metrics['time/images_per_s']:,.0f} images/s  {metrics['time/epoch_s']:.1f} s",
        )


def _notebook_cell() -> Any:
    """A place in the output of a notebook's cell whose content can be replaced.

    rich has a bar for notebooks too, which needs ipywidgets; this needs nothing.
    """
    return import_module("IPython.display").display(_plain_text(""), raw=True, display_id=True)


def _plain_text(text: str) -> dict[str, str]:
    return {"text/plain": text}


def _duration(seconds: float) -> str:
    """Such as 40 s, 9 min or 1 h 50 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
