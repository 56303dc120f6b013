"""The loops that ferlab is compared with."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from ferlab.benchmark import others
from ferlab.benchmark.train import Way, describe, look
from ferlab.data.images import ArrayImages
from ferlab.data.source import Split
from ferlab.losses import CrossEntropy, LabelCounts, SoftTarget
from ferlab.spec import ModelSpec
from ferlab.training.config import AugmentConfig, MixOptions

SPEC = ModelSpec(("anger", "fear", "happiness"), size=8)
CPU = torch.device("cpu")


def loop(batches, labels=(0, 1, 2), loss=CrossEntropy, steps=3):
    """A Loop over ready batches of two faces, as of a run in bfloat16."""
    model = SimpleNamespace(name="custom_cnn", options={"widths": [2], "hidden": 4, "dropout": 0.0})
    optimizer = {"_target_": "torch.optim.SGD", "lr": 0.1}
    options = SimpleNamespace(model=model, optimizer=optimizer, trainer=SimpleNamespace(batch_size=2, compile=False))
    fabric = SimpleNamespace(device=CPU, _precision=SimpleNamespace(precision="bf16-mixed"))
    run = SimpleNamespace(state=SimpleNamespace(fabric=fabric, loss=loss(LabelCounts(3, [1, 1, 1]))), teacher=None)
    return others.Loop(options, SPEC, run, others.Pictures(batches, torch.tensor(labels)), True, steps)


def ready(n):
    return [(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1])) for _ in range(n)]


def test_batches_at_either_end_of_a_turn_are_not_timed(monkeypatch):
    passes = []
    made = loop(ready(others.WARM + 3 + others.AHEAD))
    made.net.register_forward_hook(lambda *_: passes.append("step"))
    monkeypatch.setattr(others, "seconds", lambda work, device: passes.append("clock") or work() or 0.5)
    assert made.rate(1) == 3 * 2 / 0.5
    assert passes == ["step"] * others.WARM + ["clock"] + ["step"] * 3


def test_a_loader_keeps_its_place_in_the_queue_until_the_turn_ends():
    taken = []
    made = loop(taken.append(i) or batch for i, batch in enumerate(ready(others.WARM + 3 + others.AHEAD)))
    made.rate(1)
    assert len(taken) == others.WARM + 3 + others.AHEAD  # else workers would read the rest in somebody else's turn


@pytest.mark.parametrize("loss", [CrossEntropy, SoftTarget])
def test_the_ids_of_folders_become_the_classes_that_they_stand_for(loss):
    made = loop(ready(1), labels=(2, 1), loss=loss)
    assert made.targets(torch.tensor([0, 1]))["expression"].tolist() == [[0, 0, 1], [0, 1, 0]]
    before = made.net.heads["expression"].bias.clone()
    made.step()
    assert not torch.equal(made.net.heads["expression"].bias, before)


class Learned(CrossEntropy):
    """A loss with a weight of its own."""

    def __init__(self, counts):
        super().__init__(counts)
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, outputs, targets):
        return self.weight * super().forward(outputs, targets)


def test_the_run_does_not_learn_from_the_losses_of_others():
    mine = Learned(LabelCounts(3, [1, 1, 1]))
    made = loop(ready(1), loss=lambda counts: mine)
    made.step()
    assert made.loss.weight.grad is not None
    assert mine.weight.grad is None


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # timm leaves its pictures to be collected
@pytest.mark.parametrize("read", [others.tutorial, others.timm])
@pytest.mark.parametrize(("colour", "channels"), [("gray", 1), ("rgb", 3)])
def test_the_others_read_prepared_pictures_and_their_classes(read, colour, channels, tmp_path):
    spec = ModelSpec(SPEC.expression, size=8, colour=colour, mean=(0.5,) * channels, std=(0.25,) * channels)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 10, 10), dtype=np.uint8)
    split = Split("train", ArrayImages(pixels, np.arange(4), tmp_path, np.arange(4)), np.array([2, 0, 2, -1]))
    others.write_pictures(split, spec, batches=2, batch_size=2, folder=tmp_path)
    pictures = read(tmp_path, spec, 2, 0, CPU)
    assert sorted(pictures.labels.tolist()) == [-1, 0, 2]
    batches = list(pictures.batches)
    assert len(batches) == others.WARM + 2 + others.AHEAD
    assert {images.shape for images, _ in batches} == {(2, channels, 8, 8)}
    assert max(images.max() for images, _ in batches) > 100  # 0 to 255: the network normalises
    classes = torch.cat([pictures.labels[ids] for _, ids in batches]).tolist()
    assert sorted(classes) == sorted([2, 0, 2, -1] * 4)


def test_the_others_are_free_of_the_promises_of_the_run_and_the_run_is_not(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)  # whatever a run before this test asked for
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with others.free_of_promises():
            assert not torch.are_deterministic_algorithms_enabled()
            assert torch.backends.cudnn.benchmark
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("layout", "name"), [("contiguous_format", "NCHW"), ("channels_last", "channels_last")])
def test_precision_and_layout_are_what_the_layers_gave(dtype, layout, name):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(4, 2))
    net.to(memory_format=getattr(torch, layout))

    def step():
        with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
            net(torch.zeros(2, 3, 8, 8).to(memory_format=getattr(torch, layout)))

    expected = {"precision": str(dtype).removeprefix("torch."), "layout": name}
    assert look(Way("any", "none", 0, net, step, lambda i: 1.0)) == expected
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("augment", "said"),
    [
        (AugmentConfig(), "none"),
        (AugmentConfig(sample={}), "albumentations"),
        (AugmentConfig(batch={}, mix=MixOptions(cutmix=1.0)), "on batches, mixing"),
        (AugmentConfig(batch={}, mix=MixOptions(mixup=1.0, probability=0.0)), "on batches"),
    ],
)
def test_an_augmentation_in_a_few_words(augment, said):
    assert describe(augment) == said
