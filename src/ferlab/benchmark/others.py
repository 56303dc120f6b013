"""How others train the same network: the loop of PyTorch tutorials, the same at its best, and timm's way."""

import copy
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from timm.data.dataset_factory import create_dataset
from timm.data.loader import create_loader
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from ferlab import catalogue, config
from ferlab.benchmark.turns import seconds
from ferlab.data.source import Split
from ferlab.losses import distribution
from ferlab.models import build
from ferlab.spec import ModelSpec
from ferlab.training.config import TrainConfig
from ferlab.training.engine import is_nhwc
from ferlab.training.fit import Fit

WARM, AHEAD = 2, 4  # batches before and after those that are timed, so that workers are as busy at either end
DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}  # of the run's precision; others are float32


class Loop:
    """A training loop in plain PyTorch.

    Args:
        options, spec: what the network, the optimizer and the batch are.
        run: its loss, its teacher and its precision are this loop's too.
        pictures: see there.
        tuned: the run's precision by autocast and channels_last, compiled if the run is; else float32 and NCHW.
        steps: that are timed.
    """

    def __init__(
        self, options: TrainConfig, spec: ModelSpec, run: Fit, pictures: "Pictures", tuned: bool, steps: int
    ) -> None:
        self.device = run.state.fabric.device
        self.batches, self.steps, self.faces = pictures.batches, steps, steps * options.trainer.batch_size
        self.dtype = DTYPES.get(precision_of(run)) if tuned else None
        self.format = torch.channels_last if tuned and is_nhwc(None, self.device) else torch.contiguous_format
        self.net = build(spec, options.model.name, options.model.options).train()
        self.net.to(self.device).to(memory_format=self.format)
        self.optimizer = config.instantiate(options.optimizer, params=self.net.parameters())
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.module: Any = torch.compile(self.net) if tuned and options.trainer.compile else self.net
        self.loss, self.teacher = copy.deepcopy(run.state.loss), run.teacher
        self.labels, self.classes = pictures.labels.to(self.device), len(spec.expression)

    def step(self) -> None:
        """Train on one batch."""
        self.train(islice(iter(self.batches), 1))

    def rate(self, i: int) -> float:
        """Images/s with the loader's queue as full at the end as at the beginning."""
        with free_of_promises():
            batches = iter(self.batches)
            self.train(islice(batches, WARM))
            taken = seconds(lambda: self.train(islice(batches, self.steps)), self.device)
            deque(batches, maxlen=0)
        return self.faces / taken

    def train(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """A step for each batch."""
        for images, ids in batches:
            images = images.to(self.device, non_blocking=True).contiguous(memory_format=self.format)
            targets = self.targets(ids)
            if self.teacher is not None:
                targets |= self.teacher(images)
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
                loss = self.loss(self.module(images), targets)
            self.optimizer.zero_grad()
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def targets(self, ids: Tensor) -> dict[str, Tensor]:
        """What any loss takes: all votes for the class, and valence and arousal of 0."""
        targets = {"affect": torch.zeros(len(ids), 2, device=self.device)}
        if self.classes:
            labels = self.labels[ids.to(self.device, non_blocking=True)]
            targets["expression"] = distribution(labels, self.classes)
        return targets


@contextmanager
def free_of_promises() -> Iterator[None]:
    """No equal bits for equal seeds meanwhile: ferlab's run promises them, these do not, and a GPU pays for it."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=True)
        torch.backends.cudnn.benchmark = before[1]


def precision_of(run: Fit) -> str:
    """The run's precision in Lightning's words, such as bf16-mixed."""
    return str(run.state.fabric._precision.precision)


def workers_of(device: torch.device) -> int:
    """Processes that read pictures, where it is not this one: on a CPU they take its cores from the network."""
    return 2 if device.type == "cpu" else min(os.cpu_count() or 1, 12)


def write_pictures(split: Split, spec: ModelSpec, batches: int, batch_size: int, folder: Path) -> None:
    """PNG files of prepared faces, a folder a class, as many as a loader needs for so many batches."""
    for i in range((WARM + batches + AHEAD) * batch_size):
        row = i % len(split)
        place = folder / f"{split.labels[row]:02d}"
        place.mkdir(exist_ok=True)
        cv2.imwrite(str(place / f"{i}.png"), spec.prepare(split.read(row)).transpose(1, 2, 0)[..., ::-1])


@dataclass(frozen=True)
class Pictures:
    """A loader over a folder of pictures.

    Attributes:
        batches: pictures (n, c, s, s) and ids (n,) of their folders; the workers stay from one pass to the next.
        labels: (ids,) the class that each id stands for.
    """

    batches: Iterable[tuple[Tensor, Tensor]]
    labels: Tensor


def tutorial(folder: Path, spec: ModelSpec, batch_size: int, workers: int, device: torch.device) -> Pictures:
    """ImageFolder, albumentations as in conf/augment/standard.yaml, and DataLoader."""
    pipeline = config.instantiate(config.load(catalogue.conf_dir() / "augment" / "standard.yaml").sample)

    def transform(picture: Any) -> Tensor:
        pixels = pipeline(image=np.asarray(picture.convert("L" if spec.channels == 1 else "RGB")))["image"]
        return torch.from_numpy(pixels.reshape(spec.size, spec.size, spec.channels).transpose(2, 0, 1).copy())

    data = ImageFolder(str(folder), transform)
    pinned, stay = device.type == "cuda", workers > 0
    loader: DataLoader[Any] = DataLoader(
        data, batch_size, shuffle=True, num_workers=workers, persistent_workers=stay, pin_memory=pinned
    )
    return Pictures(loader, _labels(data.class_to_idx))


def timm(folder: Path, spec: ModelSpec, batch_size: int, workers: int, device: torch.device) -> Pictures:
    """What timm's training script reads a folder by, as it is by default: dataset, transforms, prefetching loader."""
    mode = "L" if spec.channels == 1 else "RGB"
    data = create_dataset("", str(folder), search_split=False, input_img_mode=mode)
    loader = create_loader(
        data,
        (spec.channels, spec.size, spec.size),
        batch_size,
        is_training=True,
        mean=(0.0,) * spec.channels,  # the network normalises
        std=(1 / 255,) * spec.channels,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        device=device,
    )
    return Pictures(loader, _labels(data.reader.class_to_idx))


def _labels(ids: Mapping[str, int]) -> Tensor:
    """The class of each id, from the ids of the folders, which classes name."""
    return torch.tensor([int(name) for name in sorted(ids, key=lambda name: ids[name])])
