"""From a Split to batches of prepared tensors.

What a face becomes depends on the seed, the epoch and its position in the epoch alone: not on the number of workers,
processes or parts, nor on where a run was resumed.
"""

import random
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from ferlab.data.augment import BatchAugment, CameraAugment
from ferlab.data.packed import packed, prepare_all
from ferlab.data.source import SAMPLERS, Split
from ferlab.errors import ConfigError, FerlabError, suggest
from ferlab.spec import ModelSpec

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """A microbatch: some faces of one optimizer step, those that one process runs at once.

    Attributes:
        step: the optimizer step, from 0 in each epoch.
        positions: (n,) places in the epoch's order, ascending.
        rows: (n,) rows of the split.
        share: the part of the step's faces that is here; the shares of a step sum to 1 over parts and processes.
        uniform: (n, u) numbers in [0, 1) for augmentation, one row a face.
    """

    step: int
    positions: Rows
    rows: Rows
    share: float
    uniform: Tensor


@dataclass(frozen=True)
class Batch:
    """A part with its pixels.

    Attributes:
        part: which faces these are.
        images: (n, c, s, s) uint8.
        targets: "expression" (n,) int64 ids or (n, k) float32 distributions; "affect" (n, 2) float32 if any.
    """

    part: Part
    images: Tensor
    targets: dict[str, Tensor]


class Feed(Protocol):
    """Turns parts into batches, in order."""

    def batches(self, epoch: int, parts: Sequence[Part]) -> Iterator[Batch]: ...


def expected_draws(split: Split, sampler: str) -> npt.NDArray[np.float64]:
    """How often an epoch sees each face on average, shape (n,).

    "shuffle" sees every face once. "weighted" sees each class equally often, and as many faces as have a class; those
    without one (label -1) never.

    Raises:
        ConfigError: an unknown sampler, or "weighted" where no face has a class.
    """
    if sampler == "shuffle":
        return np.ones(len(split))
    if sampler == "weighted":
        labelled = split.labels >= 0
        if not labelled.any():
            raise ConfigError(f"trainer.sampler=weighted needs faces with a class, {split.name} has none; use shuffle")
        chance: npt.NDArray[np.float64] = np.where(labelled, 1 / np.bincount(split.labels[labelled])[split.labels], 0.0)
        chance *= labelled.sum() / chance.sum()
        return chance
    raise ConfigError(f"unknown trainer.sampler '{sampler}'; {suggest(sampler, SAMPLERS)}")


def epoch_order(split: Split, sampler: str, seed: int, epoch: int) -> Rows:
    """The rows that an epoch sees, in order: a permutation, or drawn with replacement; see `expected_draws`."""
    rng = np.random.default_rng([seed, epoch, 0])
    draws = expected_draws(split, sampler)
    if sampler == "shuffle":
        return rng.permutation(len(split))
    drawn: Rows = rng.choice(len(split), size=round(draws.sum()), p=draws / draws.sum())
    return drawn


def steps_of(faces: int, batch_size: int) -> int:
    """Optimizer steps of an epoch. A single face that is left goes with the step before: batch normalisation of
    features without height and width needs two, and would end a training after its first epoch.
    """
    return -(-faces // batch_size) - (faces % batch_size == 1 and faces > batch_size > 1)


def plan(
    order: Rows, batch_size: int, pieces: int, seed: int, epoch: int, start: int = 0, rank: int = 0, world: int = 1
) -> list[Part]:
    """Cut an epoch into the parts of one process.

    A face and the one at the mirrored place of the step go to the same part: they are partners in MixUp and CutMix,
    whichever way the step is cut, and nothing is read or augmented twice for it. A face alone in the middle goes with
    the pair before it, so no part is of a single face unless the step is.

    Args:
        order: (n,) rows in the order in which they are seen.
        batch_size: faces of an optimizer step over all processes; the last step has what is left, see `steps_of`.
        pieces: parts that a process cuts its pairs of a step into, to save memory.
        seed, epoch: of the random numbers.
        start: the first step, for a run that was stopped in the middle of an epoch.
        rank, world: which process of how many.
    """
    parts = []
    steps = steps_of(len(order), batch_size)
    for step in range(start, steps):
        positions = np.arange(step * batch_size, (step + 1) * batch_size if step + 1 < steps else len(order))
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence([seed, epoch, 1, step]).generate_state(1)[0])
        )
        first = torch.rand(len(positions), BatchAugment.DRAWS + 1, generator=generator)
        # Drawn after the others, so that who has no use for them gets the same numbers with or without them.
        camera = torch.rand(len(positions), CameraAugment.DRAWS - BatchAugment.DRAWS, generator=generator)
        uniform = torch.cat([first[:, :-1], camera, first[:, -1:]], 1)
        middle = len(positions) // 2
        pairs = np.arange(max(middle, 1))[rank::world]
        # A process without a face in a short last step still takes part in the all-reduce, with weight 0.
        for firsts in [p for p in np.array_split(pairs, pieces) if len(p)] or [np.zeros(1, np.int64)]:
            last = [middle] if middle - 1 in firsts else []  # with the last pair; of an even step it is one of that
            local = np.unique(np.concatenate([firsts, len(positions) - 1 - firsts, np.array(last, np.int64)]))
            share = len(local) / len(positions) if len(pairs) else 0.0
            parts.append(Part(step, positions[local], order[positions[local]], share, uniform[torch.from_numpy(local)]))
    return parts


class Resident:
    """All faces prepared once and kept on the device as uint8.

    Args:
        split: what to read.
        spec: prepares each face.
        device: where batches go.
        channels_last: memory format of the batches.
    """

    def __init__(self, split: Split, spec: ModelSpec, device: torch.device, channels_last: bool) -> None:
        self.images = self.keep(split, spec, device)
        self.targets = {name: value.to(self.images.device) for name, value in _targets(split).items()}
        self.device = device
        self.format = torch.channels_last if channels_last else torch.contiguous_format

    def keep(self, split: Split, spec: ModelSpec, device: torch.device) -> Tensor:
        """The prepared faces, (n, c, s, s) uint8, where they are kept."""
        return torch.from_numpy(prepare_all(split, spec)).to(device)

    def batches(self, epoch: int, parts: Sequence[Part]) -> Iterator[Batch]:
        for part in parts:
            rows = torch.from_numpy(part.rows).to(self.images.device)
            targets = {name: value[rows].to(self.device) for name, value in self.targets.items()}
            images = self.images[rows].to(self.device).contiguous(memory_format=self.format)
            yield Batch(part, images, targets)


class Packed(Resident):
    """All faces prepared once and kept in the cache on disk: for data that memory cannot hold. Arguments as there."""

    def keep(self, split: Split, spec: ModelSpec, device: torch.device) -> Tensor:
        self.faces = packed(split, spec)
        return torch.from_numpy(self.faces.pixels)

    def batches(self, epoch: int, parts: Sequence[Part]) -> Iterator[Batch]:
        for part in parts:
            self.faces.check(part.rows)
            yield from super().batches(epoch, [part])


class Streamed:
    """Faces read, augmented by albumentations and prepared as they are needed, in worker processes.

    Args:
        split: what to read.
        spec: prepares each face, after augmentation.
        device: where batches go.
        sample: an albumentations transform of one (h, w, 3) uint8 RGB face, or None.
        channels_last: memory format of the batches.
        seed: of the transform.
        workers: processes; 0 reads in this one.
    """

    def __init__(
        self,
        split: Split,
        spec: ModelSpec,
        device: torch.device,
        sample: Callable[..., Any] | None,
        channels_last: bool,
        seed: int,
        workers: int,
    ) -> None:
        self.targets = _targets(split)
        self.device = device
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.keys = _Keys()
        self.loader: DataLoader[Tensor | FerlabError] = DataLoader(
            _Faces(split, spec, sample, seed),
            batch_sampler=self.keys,  # of another epoch each time; the workers stay
            collate_fn=_stack,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
            worker_init_fn=_start_worker,
            prefetch_factor=4 if workers else None,
            generator=torch.Generator(),  # else each pass draws from the generator that dropout uses
        )

    def batches(self, epoch: int, parts: Sequence[Part]) -> Iterator[Batch]:
        self.keys.epoch, self.keys.parts = epoch, parts
        for part, images in zip(parts, self.loader, strict=True):
            if isinstance(images, FerlabError):
                raise images
            rows = torch.from_numpy(part.rows)
            targets = {name: value[rows].to(self.device, non_blocking=True) for name, value in self.targets.items()}
            images = images.to(self.device, non_blocking=True).contiguous(memory_format=self.format)
            yield Batch(part, images, targets)


class _Keys:
    """The (epoch, position, row) of each face, a list a part, made as they are asked for: an epoch may be long."""

    def __init__(self) -> None:
        self.epoch = 0
        self.parts: Sequence[Part] = ()

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        for part in self.parts:
            yield [(self.epoch, int(p), int(r)) for p, r in zip(part.positions, part.rows, strict=True)]


class _Faces(Dataset[Tensor | FerlabError]):
    """One prepared face for (epoch, position, row), or why it cannot be had: torch would wrap an error that a worker
    raises in a traceback.
    """

    def __init__(self, split: Split, spec: ModelSpec, sample: Callable[..., Any] | None, seed: int) -> None:
        self.split, self.spec, self.sample, self.seed = split, spec, sample, seed

    def __getitem__(self, key: tuple[int, int, int]) -> Tensor | FerlabError:
        try:
            return self._face(*key)
        except FerlabError as error:
            return error

    def _face(self, epoch: int, position: int, row: int) -> Tensor:
        face = self.split.read(row)
        if self.sample is not None:
            words = [self.seed, epoch, 2, position]
            self.sample.set_random_state(np.random.default_rng(words), random.Random(repr(words)))  # type: ignore[attr-defined]
            face = self.sample(image=face)["image"]
        return torch.from_numpy(self.spec.prepare(face))


def _stack(faces: list[Tensor | FerlabError]) -> Tensor | FerlabError:
    """The faces as one tensor, or the first error among them."""
    errors = [face for face in faces if isinstance(face, FerlabError)]
    stacked: Tensor | FerlabError = errors[0] if errors else default_collate(faces)
    return stacked


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # workers are the parallelism
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches them too, but the main process still needs its step


def _targets(split: Split) -> dict[str, Tensor]:
    targets = {"expression": torch.from_numpy(split.labels if split.votes is None else split.votes)}
    if split.affect is not None:
        targets["affect"] = torch.from_numpy(split.affect)
    return targets
