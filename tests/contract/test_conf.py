"""Every file under conf/ composes, fits its schema, and builds what it names."""

import inspect
from dataclasses import asdict, fields
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn

from ferlab.catalogue import conf_dir, groups
from ferlab.cli import COMMANDS, main
from ferlab.config import compose, instantiate, to_yaml, typed
from ferlab.data.augment import BatchAugment
from ferlab.data.loaders import Packed, Resident, Streamed, plan
from ferlab.data.source import Source, Split
from ferlab.data.synthetic import DrawnImages
from ferlab.errors import ConfigError
from ferlab.interrupt import StopRequest
from ferlab.labels import FERPLUS
from ferlab.training.build import build_fit, build_state, model_spec
from ferlab.training.clock import Clock
from ferlab.training.config import AugmentConfig, EngineOptions, MixOptions, TrainConfig, TrainerConfig
from ferlab.training.engine import launch
from ferlab.training.tracking import TrackerOptions

OPTIONS = [(group, option) for group, options in groups("train").items() for option in options]
EXPERIMENTS = [option for group, option in OPTIONS if group == "experiment"]
NARROW = ["model.options.width=8"]  # the networks of this size and larger are tried in test_models.py


def configured(*overrides):
    return typed(compose("train", list(overrides)), TrainConfig)


def source_of(votes=False):
    """Noise in all eight classes, with valence and arousal, with or without votes."""
    rng = np.random.default_rng(0)

    def split(name, n):
        pixels = rng.integers(0, 256, (n, 48, 48, 3), dtype=np.uint8)
        shares = rng.dirichlet(np.ones(8), n).astype(np.float32) if votes else None
        affect = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
        return Split(name, DrawnImages(pixels, name), np.arange(n) % 8, shares, affect)

    return Source(
        "noise", FERPLUS, {"train": split("train", 24), "validation": split("validation", 8)}, "noise", "none"
    )


@pytest.fixture(scope="module")
def fabric():
    return launch(EngineOptions(device="cpu", precision="32-true", deterministic=False))


def first_step(config, fabric, votes=False):
    """Build everything from a config and run one step by hand; returns what was built and the loss."""
    source = source_of(votes)
    run = build_fit(config, source, model_spec(config.model, source), fabric, StopRequest(), lambda step: None, Clock())
    (part, *_) = plan(run.order(0), 8, 1, run.seed, 0)
    (batch,) = run.train.batches(0, [part])
    images, targets = run.transform(batch, 0)
    if run.teacher is not None:
        targets |= run.teacher(images)
    loss = run.state.loss(run.state.module.train()(images), targets)
    fabric.backward(loss)
    run.state.optimizer.step()
    run.state.schedule.after_step()
    run.state.schedule.after_epoch(0.5)
    return run, float(loss.detach())


def taught(config, teacher_for):
    """The config with a teacher if its loss wants one."""
    if config.loss["_target_"].endswith("Distillation"):
        config.teacher = str(teacher_for(model_spec(config.model, source_of())))
    return config


# every file


def test_every_file_is_an_option_of_a_command_or_a_command():
    files = {path.relative_to(conf_dir()).with_suffix("").as_posix() for path in conf_dir().rglob("*.yaml")}
    commands = {command.config for command in COMMANDS.values()}
    there = {name for name in commands if (conf_dir() / f"{name}.yaml").exists()}
    options = {f"{group}/{option}" for name in there for group, known in groups(name).items() for option in known}
    assert files == there | options


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_function_and_its_schema_names_what_exists(name):
    command = COMMANDS[name]
    module, function = command.function.split(":")
    found = import_module(f"ferlab.commands.{module}")
    assert callable(getattr(found, function))
    if command.schema:
        schema = getattr(found, command.schema)
        assert not {key for key in compose(command.config, []) if key not in schema.__dataclass_fields__}


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.config])
def test_every_command_refuses_a_key_that_it_does_not_take(name, capsys):
    known = compose(COMMANDS[name].config, [])
    key = sorted(known)[0]
    assert main([*name.split(), f"{key}x=1"]) == 2
    error = capsys.readouterr().err
    assert f"unknown key '{key}x'" in error
    assert f"did you mean '{key}'?" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_fits_the_schema(group, option):
    config = configured(f"{group}={option}")
    assert isinstance(config, TrainConfig)
    assert isinstance(config.trainer, TrainerConfig)
    assert isinstance(config.augment, AugmentConfig)
    assert isinstance(config.tracker, TrackerOptions)
    assert yaml.safe_load(to_yaml(asdict(config)))["seed"] == 0  # the run's folder keeps it


@pytest.mark.parametrize("option", ["scheduler", "optimizer", "loss", "augment"])
def test_every_option_builds_and_trains(option, fabric, teacher_for):
    for name in groups("train")[option]:
        votes = name == "soft_target"
        heads = {"multitask": "[expression,affect]", "affect": "[affect]"}.get(name, "[expression]")
        monitor = "ccc" if heads == "[affect]" else "accuracy"
        chosen = (f"{option}={name}", f"model.heads={heads}", f"trainer.monitor={monitor}")
        run, loss = first_step(taught(configured(*chosen, *NARROW), teacher_for), fabric, votes)
        assert np.isfinite(loss), name
        assert all(parameter.isfinite().all() for parameter in run.state.net.parameters()), name


@pytest.mark.parametrize("name", groups("train")["model"])
def test_every_model_builds_as_it_is(name, fabric):
    config = configured(f"model={name}")
    source = source_of()
    spec = model_spec(config.model, source)
    state = build_state(config, spec, nn.Identity(), fabric, steps=3)
    with torch.inference_mode():
        answer = state.answering.eval()(torch.zeros(2, spec.channels, spec.size, spec.size, dtype=torch.uint8))
    shapes = {"expression": (2, 8), "affect": (2, 2)}
    assert {key: value.shape for key, value in answer.items()} == {key: shapes[key] for key in config.model.heads}


def test_a_timm_model_takes_what_its_weights_were_trained_on():
    def taken(*overrides):
        return model_spec(configured("model=timm", *overrides).model, source_of())

    spec = taken()
    assert (spec.size, spec.colour) == (224, "rgb")
    assert (spec.mean, spec.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert taken("model.options.name=inception_v3").size == 299
    assert taken("model.size=64", "model.std=[1,1,1]").std == (1, 1, 1)
    assert taken("model.size=64").mean == spec.mean
    assert taken("model.colour=gray").mean == pytest.approx((0.4488,), abs=1e-4)


def test_a_run_starts_from_weights_and_so_does_its_moving_average(fabric, tmp_path):
    config = configured("trainer.ema=0.9", f"model.weights={tmp_path}/w.safetensors", *NARROW)
    spec = model_spec(config.model, source_of())
    start = build_state(configured("seed=5", *NARROW), spec, nn.Identity(), fabric, 3).net.backbone.state_dict()
    save_file({key: value.contiguous() for key, value in start.items()}, tmp_path / "w.safetensors")
    state = build_state(config, spec, nn.Identity(), fabric, 3)
    for net in (state.net, state.answering):
        assert all(torch.equal(value, start[key]) for key, value in net.backbone.state_dict().items())
    assert state.weights.path == f"{tmp_path}/w.safetensors"


def test_a_resumed_run_needs_the_file_no_more(fabric, tmp_path):
    config = configured(f"model.weights={tmp_path}/gone.safetensors", *NARROW)
    spec = model_spec(config.model, source_of())
    with pytest.raises(ConfigError, match=r"got .*gone\.safetensors; check the path"):
        build_state(config, spec, nn.Identity(), fabric, 3)
    config.resume = "outputs/run"
    assert build_state(config, spec, nn.Identity(), fabric, 3).weights is None


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_builds_and_trains(name, fabric, teacher_for):
    config = taught(configured(f"experiment={name}", "model.weights=null"), teacher_for)  # nothing is downloaded here
    votes = config.loss["_target_"].endswith("SoftTarget")
    assert np.isfinite(first_step(config, fabric, votes)[1])
    assert configured(f"experiment={name}", "trainer.epochs=7", "debug=smoke").trainer.epochs == 7


def test_smoke_is_one_epoch_tracked_nowhere():
    config = configured("debug=smoke")
    assert (config.trainer.epochs, config.tracker.name) == (1, "none")


def test_a_moving_average_and_a_slower_backbone_are_built_from_the_config(fabric):
    config = configured("trainer.ema=0.9", "trainer.backbone_lr=0.1", "optimizer.lr=0.5", "scheduler=constant", *NARROW)
    run, _ = first_step(config, fabric)
    assert run.state.answering is run.state.ema.module
    assert run.state.ema.decay == 0.9
    rates = [group["lr"] for group in run.state.optimizer.param_groups]
    assert rates == pytest.approx([0.05, 0.05, 0.5, 0.5])
    decays = {group["weight_decay"] for group in run.state.optimizer.param_groups}
    assert decays == {0.0, 5e-4}


def test_the_same_seed_gives_the_same_first_weights(fabric):
    source = source_of()

    def weights(seed):
        config = configured(f"seed={seed}", *NARROW)
        torch.rand(3)  # what was drawn before does not matter
        return build_state(config, model_spec(config.model, source), nn.Identity(), fabric, 3).net.state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


# which feed a config asks for


@pytest.mark.parametrize(
    ("overrides", "train"),
    [
        (["augment=batched"], Resident),
        (["augment=none"], Resident),
        (["augment=light"], Streamed),
        (["augment=batched", "trainer.feed=streamed", "trainer.workers=0"], Streamed),
        (["augment=none", "trainer.feed=resident"], Resident),
        (["augment=none", "trainer.feed=packed"], Packed),
    ],
)
def test_faces_stay_in_memory_where_they_may(overrides, train, fabric):
    run, _ = first_step(configured(*overrides, *NARROW), fabric)
    assert type(run.train) is train
    assert type(run.validation) is (Packed if train is Packed else Resident)


def test_faces_in_memory_cannot_go_through_a_pipeline(fabric):
    with pytest.raises(
        ConfigError, match=r"^trainer\.feed=resident .* got an albumentations pipeline; use augment=batched"
    ):
        first_step(configured("augment=standard", "trainer.feed=resident", *NARROW), fabric)


# values that mean nothing


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=-1", "seed must be 0 or more and below 2^63, got -1"),
        ("seed=9223372036854775808", "seed must be 0 or more and below 2^63, got 9223372036854775808"),
        ("outputs=null", "outputs: Incompatible value 'None' for field of type 'str'"),
        ("trainer.workers=-1", "trainer.workers must be 0 or more, got -1"),
        ("trainer.threads=-2", "trainer.threads must be 0 or more, got -2"),
        ("trainer.patience=-1", "trainer.patience must be 0 or more, got -1"),
        ("trainer.backbone_lr=-0.1", "trainer.backbone_lr must be 0 or more, got -0.1"),
        ("trainer.epochs=0", "trainer.epochs must be 1 or more, got 0"),
        ("trainer.batch_size=0", "trainer.batch_size must be 1 or more, got 0"),
        ("trainer.accumulate=0", "trainer.accumulate must be 1 or more, got 0"),
        ("trainer.clip=0", "trainer.clip must be positive or null, got 0.0"),
        ("trainer.freeze_epochs=28", "trainer.freeze_epochs must be below 28 epochs, got 28"),
        ("trainer.epochs=1.5", "trainer.epochs: Value '1.5' of type 'float' could not be converted to Integer"),
        ("tracker.name=mlfow", "unknown tracker 'mlfow'; did you mean 'mlflow'?"),
        ("+trainer.epoks=3", "unknown key 'trainer.epoks'; did you mean 'epochs'?"),
        ("+sede=3", "unknown key 'sede'; did you mean 'seed'?"),
        ("+model.heads=[]", "model.heads must name expression, affect or both, got none; add one"),
        ("+model.heads=[expresion]", "unknown model.heads 'expresion'; did you mean 'expression'?"),
    ],
)
def test_the_schema_refuses_what_means_nothing(override, message):
    with pytest.raises(ConfigError) as caught:
        configured(override)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.colour=grey", "unknown model.colour 'grey'; did you mean 'gray'?"),
        ("model.size=4", "model.size must be 8 to 1024 pixels, got 4"),
        ("model.name=mlp", "unknown option 'width' of model mlp; did you mean 'widths'?"),
        ("model.name=se_resnt", "unknown model.name 'se_resnt'; did you mean 'se_resnet'?"),
        ("+model.options.widht=3", "unknown option 'widht' of model small_resnet; did you mean 'width'?"),
        ("trainer.sampler=weigthed", "unknown trainer.sampler 'weigthed'; did you mean 'weighted'?"),
        ("trainer.ema=2", "trainer.ema must be between 0 and 1, got 2.0"),
        ("optimizer.lr=-1", "cannot build torch.optim.SGD: Invalid learning rate: -1; see --cfg for its keys"),
        (
            "scheduler.pct_start=2",
            "cannot build ferlab.training.optim.onecycle: Expected float between 0 and 1 pct_start",
        ),
        ("+loss.gama=1", "cannot build ferlab.losses.CrossEntropy: "),
    ],
)
def test_building_refuses_what_means_nothing(override, message, fabric):
    with pytest.raises(ConfigError) as caught:
        first_step(configured(override, *NARROW), fabric)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cdua"}, "unknown device 'cdua'; did you mean 'cuda'?"),
        ({"precision": "bf16"}, "unknown trainer.precision 'bf16'; did you mean 'bf16-mixed'?"),
        ({"precision": "64"}, "unknown trainer.precision '64'; one of: auto, 32-true, bf16-mixed, 16-mixed"),
    ],
)
def test_the_engine_names_what_there_is(options, message):
    with pytest.raises(ConfigError) as caught:
        launch(EngineOptions(**{"device": "cpu", "deterministic": False} | options))
    assert str(caught.value) == message


# YAML and code agree


def section(name):
    return yaml.safe_load((conf_dir() / f"{name}.yaml").read_text(encoding="utf-8"))


def test_the_trainers_yaml_holds_every_key_with_its_default():
    assert section("trainer/default") == asdict(TrainerConfig())


def test_the_trackers_yaml_holds_every_key_with_its_default():
    assert section("tracker/mlflow") == asdict(TrackerOptions())


def test_the_train_yaml_holds_every_key():
    assert set(compose("train", [])) == {each.name for each in fields(TrainConfig)}


TARGETS = [(group, option) for group, option in OPTIONS if group in ("data", "loss", "scheduler")]


@pytest.mark.parametrize(("group", "option"), TARGETS)
def test_a_yaml_lists_the_options_of_what_it_builds(group, option):
    """All of them, so that --help and --cfg show what there is; and none that is not there."""
    values = dict(compose("train", [f"{group}={option}"])[group])
    module, _, name = values.pop("_target_").rpartition(".")
    parameters = inspect.signature(getattr(import_module(module), name)).parameters
    given = {"counts", "optimizer", "steps", "epochs", "maximise"}  # by the recipe
    assert set(values) == set(parameters) - given


@pytest.mark.parametrize("name", groups("train")["augment"])
def test_an_augmentation_lists_every_option(name):
    values = section(f"augment/{name}")
    assert set(values) == {each.name for each in fields(AugmentConfig)}
    assert set(values["mix"]) == {each.name for each in fields(MixOptions)}
    if values["batch"] is not None:
        module, _, kind = values["batch"].pop("_target_").rpartition(".")
        chain = [each for each in getattr(import_module(module), kind).__mro__ if issubclass(each, BatchAugment)]
        parameters = {name for each in chain for name in inspect.signature(each).parameters}
        assert set(values["batch"]) == parameters - {"others"}


# augmentation pipelines


def pipeline(name) -> Any:
    node = compose("train", [f"augment={name}"]).augment.sample
    return None if node is None else instantiate(node)


@pytest.mark.parametrize("name", groups("train")["augment"])
@pytest.mark.parametrize("size", [48, 100])
def test_every_pipeline_gives_a_face_that_can_be_prepared(name, size):
    sample = pipeline(name)
    spec = model_spec(configured(f"augment={name}").model, source_of())
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, size, dtype=np.uint8)
    face = np.stack(
        [np.tile(ramp, (size, 1)), np.tile(ramp[:, None], (1, size)), rng.integers(0, 256, (size, size))], -1
    )
    face = face.astype(np.uint8)
    before = face.copy()
    changed = 0
    if sample is not None:
        sample.set_random_seed(0)
    for _ in range(12):
        result = face if sample is None else sample(image=face)["image"]
        assert result.dtype == np.uint8
        assert result.shape[2] == 3
        assert spec.prepare(result).shape == (1, 48, 48)
        changed += result.shape != face.shape or (result != face).any()
        assert (face == before).all()  # the face itself is left alone
    assert changed >= 5 if sample is not None else changed == 0


@pytest.mark.parametrize("name", [name for name in groups("train")["augment"] if pipeline(name) is not None])
def test_every_pipeline_mirrors_and_keeps_the_face_in_view(name):
    """A bright left half stays in the picture, on either side, about as often on each."""
    sample = pipeline(name)
    sample.set_random_seed(0)
    face = np.zeros((48, 48, 3), np.uint8)
    face[:, :24] = 255
    left = []
    for _ in range(60):
        result = sample(image=face)["image"].astype(float)
        assert result.max() - result.min() > 60
        left.append(result[:, :24].mean() > result[:, 24:].mean())
    assert 15 < sum(left) < 45
