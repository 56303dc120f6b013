import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from ferlab import catalogue
from ferlab.catalogue import conf_dir, groups
from ferlab.config import compose, instantiate, load, plain, repeat, to_yaml, typed
from ferlab.errors import ConfigError, DataError, suggest
from ferlab.quoting import as_item
from ferlab.training.config import TrainConfig

AWKWARD = [
    "faces/a b*.png", "gesichter/ä *.png", "日本/*.jpg", "a,b.png", "a=b.png", "[ab]?.png", "face (1).png", "~x",
    "it's.png", "back\\'s.png", "ends\\", "{a}.png", "C:\\faces\\x.png", "a;b#c!.png",
]  # fmt: skip


def refused(command, *overrides):
    """The one line with which overrides are refused."""
    with pytest.raises(ConfigError) as caught:
        compose(command, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# values as they are typed


@pytest.mark.parametrize("value", AWKWARD)
def test_a_path_needs_no_quotes_of_hydras_own(value):
    assert compose("predict", ["bundle=b", f"source={value}"]).source == value


def test_a_quoted_path_loses_its_quotes():
    assert compose("predict", ["bundle=b", "source='ä b.png'"]).source == "ä b.png"


@pytest.mark.parametrize("value", ["2024", "1.5", "true", "[ab]", "{a: b}"])
def test_text_stays_text_whatever_it_looks_like(value):
    assert compose("train", [f"outputs={value}"]).outputs == value


@pytest.mark.parametrize("value", ["2024_11_25", "1.10", "1e3", "0x10", "007", "1_0", "true", "on", ".5", "inf", "-0"])
def test_text_whose_default_is_null_stays_as_it_was_typed(value):
    @dataclass
    class Named:
        name: str | None
        out: str | None

    composed = compose("train", [f"name={value}"]).name, compose("data", [f"out={value}"]).out
    kept = typed(OmegaConf.create(dict(zip(("name", "out"), composed, strict=True))), Named)
    assert (kept.name, kept.out) == (value, value)


@pytest.mark.parametrize(("value", "number"), [("3", 3), ("1_0", 10), ("0", 0)])
def test_a_number_whose_default_is_null_is_a_number(value, number):
    assert typed(compose("train", [f"trainer.workers={value}"]), TrainConfig).trainer.workers == number
    assert typed(compose("train", ["trainer.clip=.5"]), TrainConfig).trainer.clip == 0.5


def test_a_home_folder_is_found_behind_the_equals_sign(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ä b")
    assert compose("predict", ["bundle=~/runs", "source=~/faces (1)/*.png"]).source == "/home/ä b/faces (1)/*.png"
    assert compose("train", ["data.root=~/1,2", "outputs=~/x"]).data.root == "/home/ä b/1,2"


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("optimizer.lr=1e-2", 0.01),
        ("trainer.ema=0.999", 0.999),
        ("trainer.compile=true", True),
        ("model.mean=[0.4]", [0.4]),
        ("augment.sample=null", None),
        ("name=null", None),
        ("name=a b", "a b"),
        ("seed=${trainer.epochs}", 28),
        ("++trainer.epochs=3", 3),
        ("scheduler.pct_start=1", 1),
    ],
)
def test_other_values_keep_their_kind(override, value):
    composed = compose("train", [override])
    assert OmegaConf.select(composed, override.lstrip("+").partition("=")[0]) == value


def test_an_override_goes_below_a_chosen_group_whatever_the_order():
    composed = compose("train", ["model.options.depth=3", "model=small_resnet"])
    assert composed.model.name == "small_resnet"
    assert composed.model.options.depth == 3


def test_an_experiment_gives_way_to_the_command_line():
    composed = compose("train", ["experiment=fer2013_small", "trainer.epochs=3", "loss=focal"])
    assert composed.trainer.epochs == 3
    assert composed.loss._target_ == "ferlab.losses.Focal"
    assert composed.optimizer.lr == 0.15  # the rest of the experiment stays


# mistakes


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=se_resnt", "unknown model 'se_resnt'; did you mean 'se_resnet'?"),
        ("model=null", f"unknown model 'null'; one of: {', '.join(groups('train')['model'])}"),
        ("experiment=fer2013_smal", "unknown experiment 'fer2013_smal'; did you mean 'fer2013_small'?"),
        ("modle=se_resnet", "unknown key 'modle' for ferlab train; did you mean 'model'?"),
        ("optimizer.lrr=1", "unknown key 'optimizer.lrr' for ferlab train; did you mean 'optimizer.lr'?"),
        ("trainer.epoks=3", "unknown key 'trainer.epoks' for ferlab train; did you mean 'trainer.epochs'?"),
        ("batch_size=3", "unknown key 'batch_size' for ferlab train; did you mean 'trainer.batch_size'?"),
        ("zzz=3", "unknown key 'zzz' for ferlab train; see --help"),
        ("trainer.epochs", "an argument must read key=value, got 'trainer.epochs'; see 'ferlab --help'"),
        ("=3", "an argument must read key=value, got '=3'; see 'ferlab --help'"),
        ("trainer.epochs=many", "'trainer.epochs' must be a number, got many; --cfg shows its default"),
        ("trainer.epochs=", "'trainer.epochs' must be a number, got nothing; --cfg shows its default"),
        ("optimizer.lr=null", "'optimizer.lr' must be a number, got null; --cfg shows its default"),
        ("optimizer.lr=true", "'optimizer.lr' must be a number, got true; --cfg shows its default"),
        ("trainer.compile=maybe", "'trainer.compile' must be true or false, got maybe; --cfg shows its default"),
        ("trainer.compile=1", "'trainer.compile' must be true or false, got 1; --cfg shows its default"),
        ("model.mean=0.5", "'model.mean' must be a list in brackets, got 0.5; --cfg shows its default"),
        ("model.options=3", "'model.options' must be keys and values, got 3; --cfg shows its default"),
        ("seed=${sede}", "there is no key 'sede' to take a value from; did you mean 'seed'?"),
        ("seed=${model.siz}", "there is no key 'model.siz' to take a value from; did you mean 'model.size'?"),
    ],
)  # fmt: skip
def test_a_mistake_names_what_was_meant(override, message):
    assert refused("train", override) == message


@pytest.mark.parametrize("override", ["trainer.epochs=[1", "trainer.epochs=3)", "model.mean=[0.5,0.5", "seed={1"])
def test_a_value_that_does_not_parse_is_named(override):
    message = refused("train", override)
    assert message.startswith(f"cannot read '{override}': ")
    assert message.endswith("; close its brackets and quotes")


def test_of_two_values_the_last_counts():
    assert compose("train", ["trainer.epochs=3", "trainer.epochs=5"]).trainer.epochs == 5
    assert "got many;" in refused("train", "trainer.epochs=3", "trainer.epochs=many")


def test_several_options_of_a_group_are_refused():
    assert "unknown model 'custom_cnn,se_resnet'" in refused("train", "model=custom_cnn,se_resnet")


def test_a_name_is_found_by_its_beginning_its_end_or_its_spelling():
    assert suggest("bf16", ["auto", "32-true", "bf16-mixed"]) == "did you mean 'bf16-mixed'?"
    assert suggest("lr", ["trainer.backbone_lr", "optimizer.lr"]) == "did you mean 'optimizer.lr'?"
    assert suggest("HAPINESS", ["Happiness", "Fear"]) == "did you mean 'Happiness'?"
    assert suggest("", ["a", "b"]) == "one of: a, b"
    assert suggest("xyz", [f"key{i}" for i in range(21)]) == "see --help"


# groups


def test_groups_are_those_that_the_command_takes():
    known = groups("train")
    assert {"data", "model", "loss", "optimizer", "scheduler", "augment", "trainer", "experiment"} <= set(known)
    assert known["model"] == sorted(known["model"])
    assert {"custom_cnn", "se_resnet", "small_resnet"} <= set(known["model"])
    assert set(groups("evaluate")) == {"data"}
    assert groups("predict") == {}


# typed


@dataclass
class Inner:
    depth: int = 1
    rate: float = 0.5


@dataclass
class Schema:
    bundle: str
    inner: Inner = field(default_factory=Inner)
    several: list[float] = field(default_factory=list)
    anything: Any = None


def test_typed_gives_instances_with_converted_values():
    value = typed(
        OmegaConf.create({"bundle": 3, "inner": {"rate": 1}, "several": [1, 2], "anything": {"a": [1]}}), Schema
    )
    assert value == Schema("3", Inner(1, 1.0), [1.0, 2.0], {"a": [1]})
    assert isinstance(value.inner, Inner)
    assert type(value.inner.rate) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "'bundle' must be given, got nothing; add bundle=…"),
        ({"bundle": "???"}, "'bundle' must be given, got nothing; add bundle=…"),
        ({"bundle": "b", "inner": {"dept": 3}}, "unknown key 'inner.dept'; did you mean 'depth'?"),
        ({"bundle": "b", "innr": {}}, "unknown key 'innr'; did you mean 'inner'?"),
        ({"bundle": "b", "inner": {"depth": "deep"}}, "inner.depth: Value 'deep' of type 'str' could not be"),
        ({"bundle": "b", "inner": {"depth": 1.5}}, "inner.depth: Value '1.5' of type 'float' could not be"),
        ({"bundle": None}, "bundle: Incompatible value 'None' for field of type 'str'; see --cfg for the types in use"),
        ({"bundle": "${bundel}"}, "there is no key 'bundel' to take a value from; did you mean 'bundle'?"),
    ],
)  # fmt: skip
def test_typed_refuses_in_one_line(values, message):
    with pytest.raises(ConfigError) as caught:
        typed(OmegaConf.create(values), Schema)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


# load and repeat


@pytest.fixture
def run(tmp_path):
    """The config of an earlier run, on disk."""
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(compose("train", ["model=small_resnet", "name=first"])), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "name", ["bored", "happily surprised", "très engagé", "1", "true", "null", "it's", "a,b", "x]", "a\\b", "a:b", " "]
)
def test_an_item_of_a_list_is_read_as_it_was(name):
    config = compose("train", ["data=imagefolder", f"data.labels=[{as_item(name)},{as_item('other')}]"])
    assert list(config.data.labels) == [name, "other"]


def test_a_written_config_reads_back(run):
    assert plain(load(run)) == plain(compose("train", ["model=small_resnet", "name=first"]))


def test_a_repeated_run_is_the_same_but_for_what_is_changed(run):
    before = plain(load(run))
    assert plain(repeat(run, [])) == before
    changed = plain(repeat(run, ["trainer.epochs=3", "optimizer.lr=2e-3", "model.mean=[0.4]", "trainer.ema=0.9"]))
    before["trainer"] |= {"epochs": 3, "ema": 0.9}
    before["optimizer"]["lr"] = 0.002
    before["model"]["mean"] = [0.4]
    assert changed == before
    assert plain(load(run))["trainer"]["epochs"] == 28  # the file stays


@pytest.mark.parametrize("value", AWKWARD)
def test_a_repeated_run_takes_paths_as_they_are_typed(run, value):
    assert repeat(run, [f"data.root={value}"]).data.root == value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=se_resnet", "--from keeps the run's model, got 'model=se_resnet'; change its keys, or start a new run"),
        ("model=se_resnt", "unknown model 'se_resnt'; did you mean 'se_resnet'?"),
        ("trainer.epoks=3", "unknown key 'trainer.epoks' in {run}; did you mean 'trainer.epochs'?"),
        ("+zzz=3", "unknown key '+zzz' in {run}; see --help"),
        ("scheduler.pct_strat=0.3", "unknown key 'scheduler.pct_strat' in {run}; did you mean 'scheduler.pct_start'?"),
        ("trainer.epochs=many", "'trainer.epochs' must be a number, got many; --cfg shows its default"),
        ("seed=1,2", "'seed' must have one value, got 'seed=1,2'; put brackets around a list"),
        ("trainer.epochs", "an argument must read key=value, got 'trainer.epochs'; see 'ferlab --help'"),
    ],
)  # fmt: skip
def test_a_repeated_run_refuses_in_one_line(run, override, message):
    with pytest.raises(ConfigError) as caught:
        repeat(run, [override])
    assert str(caught.value) == message.format(run=run)


def test_a_repeated_value_that_does_not_parse_is_named(run):
    with pytest.raises(ConfigError, match=r"^cannot read 'trainer\.epochs=\[1': .*; close its brackets and quotes$"):
        repeat(run, ["trainer.epochs=[1"])


@pytest.mark.parametrize("text", [None, "a: [1", "- a\n- b\n", ""])
def test_a_file_that_is_no_config_says_so(tmp_path, text):
    file = tmp_path / "config.yaml"
    if text is not None:
        file.write_text(text)
    if text == "":  # YAML reads nothing as no keys
        assert plain(load(file)) == {}
        return
    with pytest.raises(
        ConfigError, match=r"must (be a run's config|hold keys and values), got .*; check the path$"
    ) as caught:
        load(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_yaml_holds_every_value():
    values = {"a": 1, "b": [0.5, None, True], "c": {"d": "text: with # signs", "e": "1"}}
    assert yaml.safe_load(to_yaml(values)) == values


# instantiate


class Thing:
    def __init__(self, size, extra=None):
        if size < 0:
            raise DataError("the size must be 0 or more, got -1")
        if size > 100:
            raise ValueError("too\nlarge")
        self.size, self.extra = size, extra


HERE = f"{Thing.__module__}.Thing"


@pytest.fixture
def named(monkeypatch, tmp_path):
    """A conf/ that names Thing, and something that does not exist."""
    (tmp_path / "conf" / "data").mkdir(parents=True)
    (tmp_path / "conf" / "data" / "mine.yaml").write_text(
        f"_target_: {HERE}\nextra: {{_target_: ferlab.nowhere.Thing}}\n"
    )
    monkeypatch.setattr(catalogue, "conf_dir", lambda: tmp_path / "conf")
    catalogue.trusted.cache_clear()
    yield
    catalogue.trusted.cache_clear()


@pytest.mark.usefixtures("named")
def test_instantiate_builds_the_target_with_the_very_arguments():
    extra = [object()]
    thing = instantiate({"_target_": HERE, "size": 3}, extra=extra)
    assert thing.size == 3
    assert thing.extra is extra


@pytest.mark.usefixtures("named")
def test_instantiate_hands_plain_lists_and_dicts_on():
    thing = instantiate(OmegaConf.create({"_target_": HERE, "size": 3, "extra": {"a": [1, 2]}}))
    assert type(thing.extra) is dict
    assert type(thing.extra["a"]) is list


@pytest.mark.usefixtures("named")
def test_an_error_of_ferlabs_comes_out_as_itself():
    with pytest.raises(DataError, match=r"^the size must be 0 or more, got -1$"):
        instantiate({"_target_": HERE, "size": -1})
    nested = {"_target_": HERE, "size": 1, "extra": {"_target_": HERE, "size": -1}}
    with pytest.raises(DataError, match=r"^the size must be 0 or more, got -1$"):
        instantiate(nested)


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ({"_target_": HERE, "size": 101}, "too large"),
        ({"_target_": HERE, "size": 1, "sise": 3}, "unexpected keyword argument 'sise'"),
        ({"_target_": HERE}, "missing 1 required positional argument: 'size'"),
        ({"_target_": "ferlab.nowhere.Thing"}, "ferlab.nowhere"),
        ({"_target_": HERE, "size": 1, "extra": {"_target_": HERE, "size": 101}}, "too large"),
    ],
)
def test_other_errors_become_one_line(node, reason):
    with pytest.raises(ConfigError) as caught:
        instantiate(node)
    message = str(caught.value)
    assert message.startswith(f"cannot build {node['_target_']}: ")
    assert reason in message
    assert "\n" not in message


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    "values",
    [
        {"_target_": "os.system", "command": "touch ran"},
        {"_target_": HERE, "size": 1, "extra": [{"a": {"_target_": "os.system", "command": "touch ran"}}]},
        "${oc.create:'{_target_: os.system, command: touch ran}'}",
        "${oc.decode:'{_target_: os.system, command: touch ran}'}",
        "${oc.create:${oc.decode:'{_target_: os.system, command: touch ran}'}}",
        "${other}",
        {"_target_": "${other._target_}", "command": "touch ran"},
        {"_target_": HERE, "size": 1, "extra": "\\${oc.create:'{_target_: os.system, command: touch ran}'}"},
        {"_target_": ["os.system"], "command": "touch ran"},
        {"_target_": f"{Thing.__module__}.Path.home"},
        {"_target_": None, "_args_": []},
        {"size": 1},
    ],
)
def test_nothing_is_called_that_conf_does_not_name(values, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    node = OmegaConf.create({"node": values, "other": {"_target_": "os.system", "command": "touch ran"}}).node
    with pytest.raises(ConfigError, match=r"must (name|hold) ") as caught:
        instantiate(node)
    assert "\n" not in str(caught.value)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('data: "${oc.create:{_target_: os.system}}"', "must hold values, got the reference '\\${oc.create:"),
        ('data: "$\\x7boc.env:HOME}"', "must hold values, got the reference '\\${oc.env:HOME}'"),
        ("a: [b, {c: 'x${seed}'}]", "must hold values, got the reference 'x\\${seed}'"),
        ('data: {"\\x5ftarget_": os.system}', "must name code that a file under conf/ names, got 'os.system'"),
        ("a: [[{_target_: os.system}]]", "got 'os.system'"),
        ("data: {_target_: ferlab.data.ferplus.ferpluss}", "did you mean 'ferlab.data.ferplus.ferplus'"),
        ("data: {_target_: [os.system]}", "must name code that a file under conf/ names, got "),
        ("a: &a [1, 2]\nb: [*a, *a]", "must hold values, got a YAML alias; write the value itself"),
    ],
)
def test_a_runs_config_holds_values_and_names_known_code(tmp_path, text, said):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        load(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_pipe_in_a_configs_place_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match="got no such file"):
        load(tmp_path / "config.yaml")


def test_configs_are_found_in_the_wheel_and_in_a_checkout(monkeypatch, tmp_path):
    assert (conf_dir() / "train.yaml").is_file()
    wheel = tmp_path / "ferlab"
    (wheel / "conf").mkdir(parents=True)
    monkeypatch.setattr(catalogue, "__file__", str(wheel / "catalogue.py"))
    assert conf_dir() == Path(wheel / "conf")


@pytest.mark.parametrize(
    ("command", "words", "meant"),
    [
        ("predict", ["face.png"], "source=face.png"),
        ("predict", ["outputs/run"], "source=outputs/run"),
        ("predict", ["bundle=b", "faces"], "source=faces"),
        ("export", ["outputs/run"], "bundle=outputs/run"),
        ("train", ["se_resnet"], "model=se_resnet"),
        ("data", ["fer2013"], "data=fer2013"),
    ],
)
def test_a_word_alone_is_told_its_key(command, words, meant):
    assert refused(command, *words).endswith(f"got '{words[-1]}'; did you mean '{meant}'?")


def test_a_word_that_means_nothing_is_told_where_to_look():
    assert refused("train", "foo") == "an argument must read key=value, got 'foo'; see 'ferlab --help'"


@pytest.mark.parametrize("override", ["optimizer.lr=0.1,0.01", "trainer.epochs=3,4"])
def test_several_values_for_one_number_are_refused(override):
    key = override.partition("=")[0]
    expected = f"'{key}' must have one value, got '{override}'; put brackets around a list"
    assert refused("train", override) == expected
