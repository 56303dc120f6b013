"""What `ferlab evaluate` and `ferlab compare` ask for alike."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ferlab.errors import ConfigError

if TYPE_CHECKING:
    from ferlab.evaluate.evaluation import Settings


@dataclass(kw_only=True)
class ScoringConfig:
    """The keys that conf/evaluate.yaml and conf/compare.yaml share, which explain them."""

    data: dict[str, Any] = field(default_factory=dict)
    split: str = "validation"
    tta: str = "plain"
    bootstrap: int = 2000
    seed: int = 0
    batch_size: int = 256
    device: str = "auto"
    out: str | None = None

    def __post_init__(self) -> None:
        for key in ("bootstrap", "batch_size"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} must be at least 1, got {getattr(self, key)}")

    def settings(self) -> "Settings":
        """How to evaluate; ConfigError for an unknown tta, before minutes of work."""
        from ferlab.evaluate.evaluation import Settings
        from ferlab.evaluate.tta import views

        views(self.tta)
        return Settings(self.split, self.tta, self.bootstrap, self.seed, self.batch_size)
