"""Finds a smoothing for a stated trade-off with Optuna (Akiba et al. 2019, arXiv:1907.10902)."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ferlab.errors import ConfigError, DataError
from ferlab.files import why_unwritable, write_json
from ferlab.live.scoring import Recording, Scores
from ferlab.live.smooth import FILTERS, PRESETS, Smoothing
from ferlab.live.strength import scored

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

LONGEST = 3.0  # seconds of window and streak that are tried
FAR = 1000.0  # what a setting that flickers too much is worse by than any that does not


@dataclass(frozen=True)
class Tuned:
    """What was found.

    Attributes:
        smoothing: with the shortest mean response among those tried that flicker no more than was asked.
        sought: its scores on the clips on which it was sought: the first, the third and so on.
        others: its scores on the other clips; None if there are none.
    """

    smoothing: Smoothing
    sought: Scores
    others: Scores | None


def tune(
    recordings: Sequence[Recording],
    window: float,
    flicker: float,
    trials: int,
    seed: int = 0,
    watch: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> Tuned:
    """Seek the smoothing with the shortest mean response that flickers at most so much, on every other clip.

    Args:
        recordings: of the clips.
        window: s, in which a change may be followed.
        flicker: spurious switches in 5 s, at most.
        trials: settings to try; the presets come first.
        seed: of the sampler.
        watch: goes through the trials, and may show how far it is.

    Raises:
        ConfigError: Optuna is not installed, or nothing that was tried flickers so little.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("tune=true needs optuna, got none; pip install 'ferlab[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seen, others = recordings[::2], recordings[1::2]
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    for each in PRESETS.values():
        if each.filter != "none":
            study.enqueue_trial({key: getattr(each, key) for key in ("filter", "window", "streak", "strong")})

    def worth(trial: "BaseTrial") -> float:
        found = scored(seen, suggested(trial), window)
        return found.response_mean if found.spurious <= flicker else FAR + found.spurious

    for _ in watch(range(trials)):
        study.optimize(worth, n_trials=1)
    if study.best_value >= FAR:
        raise ConfigError(
            f"flicker must be reached by some smoothing, got {study.best_value - FAR:.2f} at the least of {trials} "
            f"tried for {flicker:g}; raise flicker, or trials"
        )
    best = suggested(optuna.trial.FixedTrial(study.best_params))
    return Tuned(best, scored(seen, best, window), scored(others, best, window) if others else None)


def suggested(trial: "BaseTrial") -> Smoothing:
    """The smoothing of a trial; what it does not choose is that of Smoothing."""
    return Smoothing(
        filter=trial.suggest_categorical("filter", sorted(FILTERS)),
        window=trial.suggest_float("window", 0.0, LONGEST),
        streak=trial.suggest_float("streak", 0.0, LONGEST),
        strong=trial.suggest_float("strong", 0.5, 1.0),
    )


def write_preset(found: Tuned, flicker: float, path: Path) -> None:
    """Write what `ferlab live preset=FILE` reads, and what it is worth; DataError if that cannot be done."""
    plain = {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(found.smoothing).items()}
    scores = {name: asdict(each) for name, each in (("sought", found.sought), ("others", found.others)) if each}
    document = {"smoothing": plain, "asked": {"spurious_in_5_s": flicker}, "scores": scores}
    try:
        write_json(path, json.loads(json.dumps(document), parse_constant=lambda _: None))  # JSON has no infinity
    except OSError as error:
        raise DataError(f"cannot write {path}: {why_unwritable(error)}; set out=…") from error
