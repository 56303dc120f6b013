"""Every dataset with every loss, and every model with every loss, where they go together: one training step each."""

import numpy as np
import pytest

from ferlab.catalogue import groups
from ferlab.config import compose, instantiate, typed
from ferlab.data.layouts import write
from ferlab.data.loaders import plan
from ferlab.errors import ConfigError, TrainingError
from ferlab.interrupt import StopRequest
from ferlab.metrics import EPOCH_METRICS
from ferlab.training.build import build_fit, model_spec
from ferlab.training.clock import Clock
from ferlab.training.config import EngineOptions, TrainConfig
from ferlab.training.engine import launch

LOSSES = groups("train")["loss"]
HEADS = {"multitask": ["expression", "affect"], "affect": ["affect"]}
# data= -> the layout that it reads, and what its faces have beside a class.
DATA = {
    "affectnet": ("affectnet", {"affect"}),
    "fer2013": ("fer2013", set()),
    "ferplus": ("ferplus", set()),
    "imagefolder": ("imagefolder", set()),
    "mixed": ("ferplus", set()),
    "rafdb": ("rafdb", set()),
    "rafdb_compound": ("rafdb_compound", set()),
    "synthetic": (None, {"affect"}),
}
# Options that make a network small, where it has any, and fit it to 48 pixels.
SMALL = {
    "custom_cnn": ["model.options.widths=[4,4,4]"],
    "mlp": ["model.options.widths=[8]"],
    "mobilenetv2": ["model.size=48", "model.options.hidden=16"],
    "resnet18": ["model.size=48", "model.colour=gray"],
    "resnet18_multitask": ["model.size=48"],
    "se_resnet": ["model.options.width=8", "model.options.depth=1"],
    "small_resnet": ["model.options.width=4"],
    "timm": ["model.size=48", "model.options.name=test_resnet"],
    "vit_tiny": ["model.size=48"],
}


def test_nothing_is_left_out():
    assert set(DATA) == set(groups("train")["data"])
    assert set(SMALL) == set(groups("train")["model"])


@pytest.fixture(scope="module")
def fabric():
    return launch(EngineOptions(device="cpu", precision="32-true", deterministic=False, threads=1))


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """A folder with drawn faces in each layout that is read here."""
    base = tmp_path_factory.mktemp("layouts")
    for layout in {layout for layout, _ in DATA.values() if layout}:
        write(layout, base / layout, train=60, validation=24, test=0 if layout == "affectnet" else 8)
    return base


def located(data, roots):
    """What the command line would say to train on `data`."""
    if data == "synthetic":
        return ["data=synthetic", "data.train=32", "data.validation=16", "data.test=0"]
    if data == "mixed":
        sources = {"ferplus": "ferplus", "rafdb": "rafdb"}
        return ["data=mixed", *(f"data.sources.{name}.root={roots / layout}" for name, layout in sources.items())]
    return [f"data={data}", f"data.root={roots / DATA[data][0]}"]


def first_step(fabric, teacher_for, *overrides):
    """Build everything from a config and take one step; the loss, and the network's answers for two faces."""
    common = ["augment=batched", "trainer.batch_size=8", "scheduler=constant"]
    config = typed(compose("train", [*common, *overrides]), TrainConfig)
    source = instantiate(config.data)
    spec = model_spec(config.model, source)
    if config.loss["_target_"].endswith("Distillation"):
        config.teacher = str(teacher_for(spec))
    run = build_fit(config, source, spec, fabric, StopRequest(), lambda step: None, Clock())
    (part, *_) = plan(run.order(0), 8, 1, run.seed, 0)
    (batch,) = run.train.batches(0, [part])
    images, targets = run.transform(batch, 0)
    if run.teacher is not None:
        targets |= run.teacher(images)
    outputs = run.state.module.train()(images)
    loss = run.state.loss(outputs, targets)
    fabric.backward(loss)
    run.state.optimizer.step()
    return float(loss.detach()), {name: tuple(value.shape) for name, value in outputs.items()}, len(source.labels)


def with_loss(loss):
    heads = HEADS.get(loss, ["expression"])
    return [f"loss={loss}", f"model.heads=[{','.join(heads)}]", f"trainer.monitor={EPOCH_METRICS[heads[0]][0]}"]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("data", sorted(DATA))
def test_every_dataset_goes_with_every_loss_that_its_labels_allow(data, loss, roots, fabric, teacher_for):
    words = [*located(data, roots), *with_loss(loss), "model=custom_cnn", *SMALL["custom_cnn"]]
    if data == "ferplus" and loss == "soft_target":
        words.append("data.rule=cross_entropy")
    if data == "mixed" and loss == "soft_target":
        words.append("data.sources.ferplus.rule=cross_entropy")
    heads = HEADS.get(loss, ["expression"])
    if "affect" in heads and "affect" not in DATA[data][1]:
        with pytest.raises(Exception, match=r"has no valence and arousal; set model\.heads=\[expression\]"):
            first_step(fabric, teacher_for, *words)
    elif loss == "soft_target" and data not in ("ferplus", "mixed"):
        with pytest.raises(TrainingError, match="needs vote distributions"):
            first_step(fabric, teacher_for, *words)
    else:
        value, shapes, classes = first_step(fabric, teacher_for, *words)
        assert np.isfinite(value)
        sizes = {"expression": (8, classes), "affect": (8, 2)}
        assert shapes == {head: sizes[head] for head in heads}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", sorted(SMALL))
def test_every_model_goes_with_every_loss(model, loss, roots, fabric, teacher_for):
    data = "ferplus" if loss == "soft_target" else "synthetic"
    words = [*located(data, roots), f"model={model}", *SMALL[model], *with_loss(loss)]
    if loss == "soft_target":
        words.append("data.rule=cross_entropy")
    value, shapes, _ = first_step(fabric, teacher_for, *words)
    assert np.isfinite(value)
    sizes = {"expression": (8, 8), "affect": (8, 2)}
    assert shapes == {head: sizes[head] for head in HEADS.get(loss, ["expression"])}


def test_a_model_without_the_head_says_which_line_to_change(roots, fabric, teacher_for):
    with pytest.raises(ConfigError, match=r"the model has \[expression\]; set model\.heads=\[expression,affect\]"):
        first_step(
            fabric,
            teacher_for,
            *located("synthetic", roots),
            "loss=multitask",
            "model=custom_cnn",
            *SMALL["custom_cnn"],
        )
