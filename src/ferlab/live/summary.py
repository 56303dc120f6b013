"""What a session was, for session.json: what answered, how, what was seen, and on which machine."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ferlab.evaluation.drift import Drift, reference_of
from ferlab.live.camera import shown
from ferlab.live.kept import Kept
from ferlab.live.parts import Parts, Tuning
from ferlab.live.session import Tally
from ferlab.live.settings import LiveConfig
from ferlab.provenance import command_line, commit, machine, processor
from ferlab.runner import Runner


def summary(
    parts: Parts,
    settings: LiveConfig,
    tuning: Tuning,
    tally: Tally,
    drift: Drift,
    kept: Kept | None,
    ended: str,
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """What session.json holds, plain values.

    Args:
        parts: what answered.
        settings: of the session.
        tuning: at its end.
        tally, drift, kept: of its frames.
        ended: why it ended.
        more: of this kind of session.
    """
    runner, source = parts.runner, settings.source
    return {
        "ended": ended,
        "began": tally.date.isoformat(timespec="seconds"),
        "command": command_line().replace(source, shown(source)),
        "commit": commit(),
        "model": {
            "spec": runner.spec.digest,
            "sha256": parts.sha256,
            "name": runner.model.get("name"),
            "dataset": runner.provenance.get("dataset"),
            "labels": list(runner.labels),
        },
        "settings": {**asdict(settings), "source": shown(source)},
        "smoothing": asdict(tuning.smoothing),
        "detector": parts.detector.name,
        **tally.summary(),
        "drift": drift.summary(),
        "identity": parts.known,
        "kept": kept.summary() if kept else {},
        **more,
        "machine": {**machine(), "processor": processor()},
    }


def drift_of(runner: Runner) -> Drift:
    """How far a model's answers are from those on its validation split; of no answer yet."""
    return Drift(reference_of(runner.provenance, len(runner.labels)))
