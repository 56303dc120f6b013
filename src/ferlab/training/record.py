"""What a run says of itself: the record in run.json, what is printed of it, and how it differs from the run before."""

from typing import Any

from lightning_fabric import Fabric

from ferlab.data.source import Source
from ferlab.errors import TrainingError
from ferlab.losses import Affect
from ferlab.past import Past
from ferlab.provenance import command_line, commit, environment
from ferlab.screen import Screen
from ferlab.training.config import TrainConfig
from ferlab.training.fit import Fit
from ferlab.training.folder import RunFolder
from ferlab.training.tracking import flatten


def describe(options: TrainConfig, source: Source, fabric: Fabric) -> dict[str, Any]:
    """The record of the run: what somebody needs to repeat it and to judge its numbers."""
    return {
        "command": command_line(),
        "commit": commit(),
        "environment": environment(fabric.device),
        "dataset": source.name,
        "protocol": source.protocol,
        "licence": source.licence,
        "origin": source.origin,
        "counts": {name: len(split) for name, split in source.splits.items()},
        "dropped": dict(source.dropped),
        "data_digest": source.digest(),
        "mapping": dict(source.mapping),
        "recipe": options.digest,
        "seed": options.seed,
        "precision": str(fabric._precision.precision),
        "weights": None,
        "teacher": None,
        "mlflow_run": None,
    }


def compare(before: dict[str, Any], record: dict[str, Any], screen: Screen, resumed: bool) -> None:
    """Say where data, code or machine differ from those of the run before; a resumed run keeps its MLflow run."""
    compared = ("data_digest", "spec_digest", "commit", "precision", "environment")
    was, now = (flatten({key: values.get(key) for key in compared}) for values in (before, record))
    for key in now:
        if was.get(key) != now[key]:
            screen.say(f"note: {key} was {was.get(key)}, now {now[key]}: numbers may differ")
    if resumed:
        record |= {key: before[key] for key in ("command", "mlflow_run", "weights") if key in before}


def announce(source: Source, record: dict[str, Any], screen: Screen) -> None:
    """Print the data, what was left out of it, how its labels were mapped, and the machine."""
    faces = ", ".join(f"{n:,} {name}" for name, n in record["counts"].items())
    screen.say(f"data    {source.protocol}: {faces}")
    for reason, n in source.dropped.items():
        screen.say(f"        left out: {n:,} ({reason})")
    for place, n in source.unread.items():
        screen.say(f"        warning: {n:,} pictures in {place} are in no split; move them, or away from there")
    if source.unlearnable:
        screen.say(f"        warning: no face to train on is labelled {', '.join(source.unlearnable)}")
    names = {found: name if name in source.labels else "left out" for found, name in source.mapping.items()}
    screen.say("labels  " + ", ".join(k if k == v else f"{k} → {v}" for k, v in names.items()))
    screen.say(f"machine {record['environment']['device']}, {record['precision']}")


def note_weights(run: Fit, record: dict[str, Any], screen: Screen) -> None:
    """Print and record what the network started from, if not from scratch."""
    if (weights := run.state.weights) is not None:
        screen.say(f"weights {weights}")
        record["weights"] = {"path": weights.path, "sha256": weights.sha256}


def note_teacher(run: Fit, record: dict[str, Any], screen: Screen, earlier: RunFolder | None, resumed: bool) -> None:
    """Print and record who teaches, if anybody; a resumed run must find the teacher that it began with."""
    if run.teacher is None:
        return
    now = record["teacher"] = run.teacher.origin
    teacher, student = (sum(w.numel() for w in net.parameters()) for net in (run.teacher.bundle.net, run.state.net))
    screen.say(f"teacher {now['path']}: {now['model']}, {teacher:,} parameters; the student has {student:,}")
    was = (earlier.read_record().get("teacher") if earlier else None) or now
    if was["sha256"] == now["sha256"]:
        return
    if resumed:
        raise TrainingError(
            f"the teacher must be the one that the run began with, sha256 {was['sha256'][:16]}, got "
            f"{now['sha256'][:16]} at {now['path']}; put it back, or start a new run with --from"
        )
    screen.say(f"note: teacher was {was['path']}, sha256 {was['sha256'][:16]}: numbers may differ")


def note_past(past: Past | None, folder: RunFolder, screen: Screen) -> None:
    """Print how many faces the model will have seen, and write down which; None in all processes but the first."""
    if past is None:
        return
    unknown = "" if past.whole else "; what its start weights or teacher saw is not known"
    screen.say(f"seen    {len(past.trained):,} faces to train on, {len(past.selected):,} to select on{unknown}")
    past.write(folder.past)


def note_concordance(run: Fit, screen: Screen) -> None:
    """Say where the number of parts changes what is trained: a correlation is no mean over faces."""
    parts = run.options.accumulate * run.state.fabric.world_size
    if parts > 1 and any(isinstance(loss, Affect) and loss.ccc for loss in run.state.loss.modules()):
        faces = run.options.batch_size / parts
        screen.say(f"note: the loss 1 - CCC is that of each microbatch of about {faces:.0f} faces, not of the batch")
