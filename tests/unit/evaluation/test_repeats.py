from pathlib import Path

import pytest

from ferlab.bundle import Bundle
from ferlab.evaluation.repeats import group, names
from ferlab.models import build
from ferlab.spec import ModelSpec

SPEC = ModelSpec(("anger", "fear"), size=16)
NET = build(SPEC, "custom_cnn", {"widths": [4], "hidden": 8})


def trained(folder, seed, recipe="aa", data="d", commit="c"):
    provenance = {"recipe": recipe, "data_digest": data, "commit": commit, "seed": seed}
    return Bundle(SPEC, {"name": "custom_cnn", "options": {}}, NET, provenance, Path("/runs") / folder / "bundle")


def grouped(*bundles):
    return {name: [bundles.index(member) for member in members] for name, members in group(bundles).items()}


def test_seeds_of_one_recipe_on_one_dataset_are_together():
    runs = [trained(f"1/10-00-0{seed}_small", seed) for seed in range(3)]
    other = trained("1/11-00-00_wide", 0, recipe="bb")
    assert grouped(runs[0], other, *runs[1:]) == {"small": [0, 2, 3], "wide": [1]}


def test_other_data_is_another_training():
    assert grouped(trained("1/a", 0), trained("1/b", 1, data="e")) == {"a": [0], "b": [1]}


def test_a_bundle_without_a_recipe_is_alone():
    old = [trained(f"1/10-00-0{seed}_small", seed, recipe=None) for seed in range(2)]
    assert grouped(*old) == {"10-00-00_small": [0], "10-00-01_small": [1]}


def test_another_commit_alone_parts_nothing():
    assert grouped(trained("1/a", 0), trained("2/a", 1, commit="d")) == {"a": [0, 1]}


def test_where_a_seed_comes_twice_the_commits_are_apart():
    before = [trained(f"1/10-00-0{seed}_x", seed) for seed in (0, 1)]
    after = [trained(f"1/11-00-0{seed}_x", seed, commit="d") for seed in (0, 1)]
    assert grouped(*before, *after) == {"10-00-00_x and 1 more": [0, 1], "11-00-00_x and 1 more": [2, 3]}


def test_a_training_that_was_only_run_again_is_no_further_seed():
    runs = [trained("1/a", 0), trained("1/b", 0), trained("1/c", 1)]
    assert grouped(*runs) == {"a": [0], "b": [1], "c": [2]}


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["/r/1/10-00-00_x", "/r/1/10-00-01_y"], ["x", "y"]),
        (["/r/1/10-00-00_x", "/r/1/10-00-01_x", "/r/1/10-00-02_y"], ["10-00-00_x", "10-00-01_x", "y"]),
        (["/r/1/10-00-00_x", "/r/2/10-00-00_x"], ["1/10-00-00_x", "2/10-00-00_x"]),
        (["/r/1/x", "/s/1/x"], ["/r/1/x", "/s/1/x"]),
    ],
)
def test_names_are_as_short_as_they_can_be(folders, expected):
    assert names([[Path(folder)] for folder in folders]) == expected


def test_a_group_of_several_names_says_so():
    assert names([[Path("/r/x_seed0"), Path("/r/x_seed1")], [Path("/r/y")]]) == ["x_seed0 and 1 more", "y"]
