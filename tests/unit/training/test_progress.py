import io
import sys
from types import SimpleNamespace

from ferlab import config
from ferlab.screen import Screen
from ferlab.training.config import TrainConfig
from ferlab.training.fit import Step
from ferlab.training.progress import ProgressView
from ferlab.training.run import faster_choices

METRICS = {
    "epoch": 2, "train/loss": 1.25, "train/accuracy": 0.5, "train/lr": 0.01, "validation/nll": 1.0,
    "validation/accuracy": 0.625, "validation/macro_f1": 0.5, "time/images_per_s": 1234.0, "time/epoch_s": 20.0,
}  # fmt: skip


def shown(terminal: bool) -> str:
    text = io.StringIO()
    screen = Screen(file=text, force_terminal=terminal, width=120)
    with ProgressView(screen, 4, "accuracy") as view:
        view.step(Step(2, 5, 10, 50, 1.5, 0.02))
        view.step(Step(2, 6, 10, 60, 1.4, 0.02))
        view._bar.refresh()
        view.epoch(METRICS, is_best=True)
    return text.getvalue()


def test_a_line_an_epoch_where_there_is_no_terminal():
    (line,) = shown(terminal=False).splitlines()
    assert line.startswith("epoch   2/4  loss 1.2500")
    assert "accuracy 0.6250" in line
    assert " * " in line


def test_a_terminal_shows_epoch_speed_loss_rate_and_time_left():
    text = shown(terminal=True)
    assert "epoch 2/4" in text
    assert "images/s" in text
    assert "loss 1.400" in text
    assert "lr 0.02" in text
    assert "epoch   2/4  loss 1.2500" in text  # the line stays when the bar is gone


def test_a_notebook_shows_the_bar_in_one_place_and_wipes_it(monkeypatch):
    shown = []
    cell = SimpleNamespace(update=lambda data, raw: shown.append(data["text/plain"]))
    place = SimpleNamespace(display=lambda data, raw, display_id: cell)
    notebook = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=None), display=place)
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", place)
    text = io.StringIO()
    with ProgressView(Screen(file=text, width=120), 4, "accuracy") as view:
        view.step(Step(2, 5, 10, 50, 1.5, 0.02))
        view.step(Step(2, 6, 10, 60, 1.4, 0.02))  # too soon to be drawn
    assert len(shown) == 2
    assert shown[0].startswith("epoch 2/4")
    assert "loss 1.500" in shown[0]
    assert (shown[1], text.getvalue()) == ("", "")


def told_of_time(monkeypatch, seconds_a_step: float, steps: int, *faster: str) -> str:
    now = iter(i * seconds_a_step for i in range(10_000))
    monkeypatch.setattr("ferlab.training.progress.time.perf_counter", lambda: next(now))
    text = io.StringIO()
    view = ProgressView(Screen(file=text, width=200), 10, "accuracy", faster)
    for step in range(1, steps + 1):
        view.step(Step(1, step, 218, 128 * step, 1.5, 0.02))
    return text.getvalue()


def test_the_run_says_once_how_long_it_will_take(monkeypatch):
    # 2,180 steps in all; from step 3 on, ten steps of 1 s: told at step 13, with 2,167 s to go.
    assert told_of_time(monkeypatch, 1.0, 12) == ""
    assert told_of_time(monkeypatch, 1.0, 60) == "time    about 36 min to go, validation aside\n"


def test_over_an_hour_names_what_is_faster(monkeypatch):
    told = told_of_time(monkeypatch, 3.0, 30, "model=small_resnet", "fewer trainer.epochs")
    assert "about 1 h 48 min to go" in told
    assert told.endswith("        faster on a CPU: model=small_resnet, fewer trainer.epochs\n")
    assert "faster" not in told_of_time(monkeypatch, 3.0, 30)
    assert "faster" not in told_of_time(monkeypatch, 1.0, 30, "fewer trainer.epochs")


def test_what_is_faster_is_not_what_is_chosen_already():
    words = ["data=synthetic", "tracker=none"]
    slow = config.typed(config.for_training([*words, "model=se_resnet", "augment=standard"], None), TrainConfig)
    assert faster_choices(slow)[:2] == ["model=small_resnet", "augment=batched"]
    default = config.typed(config.for_training(words, None), TrainConfig)
    assert faster_choices(default) == ["a smaller model.size", "fewer trainer.epochs"]
