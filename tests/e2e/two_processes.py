"""Run by torchrun, and alone: train a network without batch statistics in several ways, and write down what happened.

`two_processes.py JSON`, of folder -> the config of a training whose notes go there.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from ferlab.config import compose, instantiate, typed
from ferlab.interrupt import StopRequest
from ferlab.models import BUILDERS
from ferlab.models.net import Backbone
from ferlab.training.build import build_fit, model_spec
from ferlab.training.clock import Clock
from ferlab.training.config import TrainConfig
from ferlab.training.engine import launch
from ferlab.training.fit import fit


class Flat(Backbone):
    """No batch statistics, no dropout."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, 4, 5, 4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(12), nn.ReLU())
        self.layers(torch.zeros(1, channels, size, size))
        self.width = 12

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


BUILDERS["small_resnet"] = Flat


def main() -> None:  # a function, so that what it owns is gone before the interpreter is
    trainings = json.loads(sys.argv[1])
    configs = [typed(compose("train", words), TrainConfig) for words in trainings.values()]
    fabric = launch(configs[0].trainer)  # one for all: a group of processes begins but once
    for folder, options in zip(trainings, configs, strict=True):
        train(fabric, options, Path(folder))


def train(fabric: Fabric, options: TrainConfig, out: Path) -> None:
    options.model.options = {}
    source = instantiate(options.data)
    run = build_fit(
        options, source, model_spec(options.model, source), fabric, StopRequest(), lambda step: None, Clock()
    )
    seen: list[int] = []
    feed = run.train

    class Noting:
        def batches(self, epoch, parts):
            for batch in feed.batches(epoch, parts):
                seen.extend(batch.part.rows.tolist() if batch.part.share else [])
                yield batch

    run = replace(run, train=Noting())
    epochs = [epoch.metrics for epoch in fit(run)]
    everyone: list = [None] * fabric.world_size
    if fabric.world_size > 1:
        torch.distributed.all_gather_object(everyone, seen)
    else:
        everyone = [seen]
    if fabric.is_global_zero:
        torch.save(run.state.net.state_dict() | run.state.loss.state_dict(), out / "weights.pt")
        (out / "notes.json").write_text(json.dumps({"seen": everyone, "epochs": epochs}))


if __name__ == "__main__":
    main()
