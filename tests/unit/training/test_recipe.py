from dataclasses import asdict

import pytest

from ferlab.config import CONFIG_FILE, compose, for_training, to_yaml, typed
from ferlab.training.config import TrainConfig


def configured(*overrides):
    return typed(compose("train", list(overrides)), TrainConfig)


@pytest.mark.parametrize("override", ["seed=7", "name=b", "outputs=elsewhere", "tracker=none", "resume=outputs/x"])
def test_runs_that_differ_only_in_seed_name_or_place_have_one_recipe(override):
    assert configured(override).digest == configured().digest


@pytest.mark.parametrize(
    "override",
    [
        "trainer.device=cuda", "trainer.threads=8", "trainer.workers=4", "trainer.feed=packed",
        "trainer.channels_last=false", "trainer.compile=true", "trainer.deterministic=false", "data.root=/elsewhere",
    ],
)  # fmt: skip
def test_seeds_from_two_machines_are_of_one_recipe(override):
    assert configured("data=fer2013", override).digest == configured("data=fer2013").digest


def test_so_are_those_of_a_mixture_whose_parts_lie_elsewhere():
    moved = configured("data=mixed", "data.sources.ferplus.root=/a", "data.sources.rafdb.root=/b")
    assert moved.digest == configured("data=mixed").digest
    assert configured("data=mixed", "data.sources.ferplus.rule=probability").digest != moved.digest


@pytest.mark.parametrize(
    "override",
    [
        "optimizer.lr=0.5", "data.rule=probability", "model.size=64", "trainer.epochs=9", "augment=light",
        "trainer.accumulate=2", "trainer.precision=32-true",
    ],
)  # fmt: skip
def test_anything_else_is_another_recipe(override):
    assert configured("data=ferplus", override).digest != configured("data=ferplus").digest


def test_a_repeated_run_has_the_recipe_of_the_first(tmp_path):
    first = configured("experiment=ferplus_small")
    (tmp_path / CONFIG_FILE).write_text(to_yaml(asdict(first)), encoding="utf-8")
    again = typed(for_training(["seed=3"], str(tmp_path)), TrainConfig)
    assert again.seed == 3
    assert again.digest == first.digest
    assert len(first.digest) == 16
