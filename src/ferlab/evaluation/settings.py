"""How to evaluate: what `ferlab evaluate` and `ferlab compare` ask for alike, and what a report says of itself."""

from dataclasses import dataclass

from ferlab.catalogue import choice
from ferlab.data.source import SPLITS
from ferlab.errors import ConfigError, suggest

TTA = ("plain", "flip", "ten_crop")  # of `ferlab.evaluation.tta.VIEWS`, which needs torch


@dataclass(kw_only=True)
class Settings:
    """Keys that conf/evaluate.yaml and conf/compare.yaml share.

    Attributes:
        split: which part of the dataset.
        tta: a name in `ferlab.evaluation.tta.VIEWS`.
        unseen: leave out the faces that a model, or a parent of it, was trained or selected on.
        bootstrap: resamples for the intervals.
        seed: of the bootstrap, the random baseline and the folds of the cross-fitting.
        batch_size: faces at a time.

    Raises:
        ConfigError: a number below 1, or an unknown tta: before minutes of work.
    """

    split: str = choice("validation", SPLITS)
    tta: str = choice("plain", TTA)
    unseen: bool = False
    bootstrap: int = 2000
    seed: int = 0
    batch_size: int = 256

    def __post_init__(self) -> None:
        for key in ("bootstrap", "batch_size"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} must be at least 1, got {getattr(self, key)}")
        if self.tta not in TTA:
            raise ConfigError(f"unknown tta '{self.tta}'; {suggest(self.tta, TTA)}")
