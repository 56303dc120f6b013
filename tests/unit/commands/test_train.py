"""What `ferlab train` says at its end."""

import shlex
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from ferlab import config
from ferlab.commands.train import data_options, say_stopped, where_tracked
from ferlab.errors import ConfigError
from ferlab.training.config import TrainConfig
from ferlab.training.folder import RunFolder
from ferlab.training.tracking import TrackerOptions


@pytest.fixture
def folder(tmp_path):
    """A run's, in which nothing but the config is."""
    made = RunFolder(tmp_path / "[old] run")
    made.path.mkdir()
    options = config.typed(config.compose("train", ["tracker=none"]), TrainConfig)
    made.config.write_text(config.to_yaml(asdict(options)))
    return made


def test_a_resumed_run_that_stops_says_again_where_things_lie(folder, capsys):
    words = [f"resume={folder.path}", "data.root=/elsewhere", "trainer.device=cpu"]
    resumed = config.typed(config.for_training(words, None), TrainConfig)
    say_stopped(SimpleNamespace(folder=folder, config=resumed, position=SimpleNamespace(epoch=1, step=2)))
    command = capsys.readouterr().out.splitlines()[1]
    assert shlex.split(command)[2:] == words
    stopped_first = replace(resumed, data=resumed.data | {"root": "data/ferplus"})
    stopped_first.trainer.device = "auto"
    say_stopped(SimpleNamespace(folder=folder, config=stopped_first, position=SimpleNamespace(epoch=1, step=2)))
    assert shlex.split(capsys.readouterr().out.splitlines()[1])[2:] == words[:1]


def test_resume_refuses_what_would_make_it_another_run(folder):
    for word in ("optimizer.lr=1", "data.rule=majority", "trainer.epochs=3", "model=mlp"):
        with pytest.raises(ConfigError, match=f"keeps its config, for with {word} it would be another; resume= takes"):
            config.for_training([f"resume={folder.path}", word], None)
    moved = ["outputs=x", "tracker=mlflow", "trainer.workers=2", "trainer.threads=1", "teacher=t"]
    found = config.for_training([f"resume={folder.path}", *moved], None)
    assert (found.tracker.name, found.outputs, found.trainer.workers) == ("mlflow", "x", 2)


def test_a_folder_that_is_no_run_names_one_near_it(folder):
    day = folder.path.parent
    for given in (day, folder.path / "bundle"):
        given.mkdir(exist_ok=True)
        with pytest.raises(ConfigError, match=r"resume must be a run's folder, got .*; did you mean .*\[old\] run\?"):
            config.for_training([f"resume={given}"], None)


@pytest.mark.parametrize(
    ("tracker", "said"),
    [
        (TrackerOptions("none"), []),
        (TrackerOptions(), ["ferlab ui"]),
        (TrackerOptions(uri="sqlite:///my runs.db"), ["ferlab ui 'uri=sqlite:///my runs.db'"]),
        (TrackerOptions(uri="http://me:secret@host"), ["MLflow at http://…@host"]),
    ],
)
def test_next_names_nothing_that_is_switched_off(tracker, said):
    assert where_tracked(tracker) == said


def test_the_command_that_is_next_names_labels_of_ones_own():
    changed = {"root": "own", "labels": ["bored", "très engagé"]}
    assert data_options(changed, "imagefolder") == ["data.root=own", "data.labels=[bored,'très engagé']"]
