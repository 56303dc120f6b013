"""The loop of PyTorch tutorials, to compare with: ImageFolder, albumentations, DataLoader, float32."""

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from ferlab import config
from ferlab.commands.recipe import TrainConfig
from ferlab.data.source import Split
from ferlab.models import build
from ferlab.spec import ModelSpec
from ferlab.train.teacher import Teacher


class PlainLoop:
    """The same network and loss, fed from picture files.

    Args:
        options: model, optimizer and batch size.
        split: its first `faces` faces are written as PNG files.
        spec, loss, teacher, device: as in the run.
        faces: of one round.
        folder: where the files go.
    """

    def __init__(
        self,
        options: TrainConfig,
        split: Split,
        spec: ModelSpec,
        loss: Any,
        teacher: Teacher | None,
        device: torch.device,
        faces: int,
        folder: Path,
    ) -> None:
        for i in range(faces):
            row = i % len(split)
            place = folder / f"{split.labels[row]:02d}"
            place.mkdir(exist_ok=True)
            cv2.imwrite(str(place / f"{i}.png"), spec.prepare(split.read(row)).transpose(1, 2, 0)[..., ::-1])
        pipeline = config.instantiate(config.load(config.conf_dir() / "augment" / "standard.yaml").sample)

        def transform(picture: Any) -> torch.Tensor:
            pixels = pipeline(image=np.asarray(picture.convert("L" if spec.channels == 1 else "RGB")))["image"]
            return torch.from_numpy(pixels.reshape(spec.size, spec.size, spec.channels).transpose(2, 0, 1).copy())

        self.data = ImageFolder(str(folder), transform)
        self.net = build(spec, options.model.name, options.model.options).to(device).train()
        self.optimizer = config.instantiate(options.optimizer, params=self.net.parameters())
        self.loss, self.teacher, self.device, self.batch_size = loss, teacher, device, options.trainer.batch_size

    def rate(self, workers: int) -> float:
        """Images/s of one pass over the files."""
        loader = DataLoader(self.data, self.batch_size, shuffle=True, num_workers=workers)
        started = time.perf_counter()
        for images, labels in loader:
            images = images.to(self.device)
            outputs = self.net(images)
            affect = torch.zeros(len(labels), 2, device=self.device)
            targets = {"expression": labels.to(self.device), "affect": affect}
            if self.teacher is not None:
                targets |= self.teacher(images)
            loss = self.loss(outputs, targets)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()
        return len(self.data) / (time.perf_counter() - started)
