"""What a live evaluation writes: live_evaluate.json, for programs, and live_evaluate.html, one page by itself."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ferlab import __version__
from ferlab.evaluation import plots
from ferlab.evaluation.page import template, write_folder
from ferlab.labels import COLOURS
from ferlab.live.measures import NOTHING, Course
from ferlab.live.plots import PALETTE, flicker_response
from ferlab.live.scoring import (
    IN_S,
    Recording,
    Scores,
    courses,
    detection,
    measures_of,
    score,
    smoothed,
    speed,
    stretches,
)
from ferlab.live.smooth import Smoothing
from ferlab.live.strength import Point, quickest
from ferlab.provenance import commit, machine, processor

FORMAT = 1
KIND = "live_evaluate"  # the files' name
DRAWN = 12  # people whose timelines are on the page; the JSON has all
BUSY = 0.5  # of the CPUs: above it other work lengthens the times

Found = dict[str, list[dict[int, Course]]]  # way -> for each clip person -> course


@dataclass
class Model:
    """A model, or a recorded session, with what came of it.

    Attributes:
        name: in tables.
        about: plain values: where it lies, its digest, what network it is.
        recordings: one a clip.
        found: see `Found`.
        curves: way -> points; none without a sweep.
        peak_mb: largest memory of the process by then, MiB; None where it cannot be told.
    """

    name: str
    about: Mapping[str, Any]
    recordings: Sequence[Recording]
    found: Found
    curves: Mapping[str, Sequence[Point]]
    peak_mb: float | None = None

    def scores(self, window: float) -> dict[str, Scores]:
        """Of each way, over all clips."""
        return {way: score([c for each in clips for c in each.values()], window) for way, clips in self.found.items()}

    def by_clip(self, window: float) -> dict[str, dict[str, Scores]]:
        """Clip -> way -> its scores."""
        return {
            recording.clip: {way: score(list(clips[i].values()), window) for way, clips in self.found.items()}
            for i, recording in enumerate(self.recordings)
        }


@dataclass(frozen=True)
class Evaluation:
    """A live evaluation.

    Attributes:
        models: side by side.
        presets: way -> how; none of a recorded session.
        settings: of the command, plain values.
        origin: what the clips are made of, plain values; empty if that is not known.
        load: mean number of running processes before it began, or None.
    """

    models: Sequence[Model]
    presets: Mapping[str, Smoothing]
    settings: Mapping[str, Any]
    origin: Mapping[str, Any]
    load: float | None

    @property
    def window(self) -> float:
        """Seconds within which a change may be followed."""
        return float(self.settings["response"])


def found_by(recordings: Sequence[Recording], presets: Mapping[str, Smoothing]) -> Found:
    """What each preset shows of the same answers."""
    return {name: [courses(each, smoothed(each, how)) for each in recordings] for name, how in presets.items()}


def protocol(evaluation: Evaluation) -> str:
    """One sentence without which the numbers mean nothing."""
    first, settings = evaluation.models[0], evaluation.settings
    found = detection(first.recordings)
    clips, people = len(first.recordings), found["people"]
    made = "a recorded session" if settings["session"] else f"{clips} clip{'s' * (clips > 1)}"
    excluded = sum(end - start for each in first.recordings for start, end in each.excluded)
    left = f", {excluded:.1f} s excluded" if excluded else ""
    origin, seen = evaluation.origin, ""
    if origin:
        seen = f" made of {origin['dataset']}'s {origin['split']} faces ({origin['protocol']}; seed {origin['seed']})"
    how = "" if settings["session"] else (
        f"; detect={settings['detector']}, search={settings['search']}, side={settings['side']}, "
        f"{'played as a camera' if settings['paced'] else 'every frame answered'}, "
        f"{settings['threads']} thread{'s' * (settings['threads'] > 1)}"
    )  # fmt: skip
    return (
        f"{made}{seen}: {people} stays of people, {found['faces']:,} true faces{left}; a change may be followed within "
        f"{evaluation.window:g} s{how}; {processor()}; ferlab {__version__}, commit {commit() or 'unknown'}"
    )


def cautions(evaluation: Evaluation) -> list[str]:
    """Sentences on what makes the numbers doubtful."""
    said = []
    if evaluation.origin:
        said.append(
            f"a person of these clips is pictures of many people, one each {evaluation.origin['held']:g} s: mistakes "
            "come and go faster than on one real face; compare by these numbers, and do not promise them"
        )
        said.append("the faces are validation faces: a model that was selected on them is a little better on them")
    for model in evaluation.models:
        took = speed(model.recordings)
        if took["errors"]:
            said.append(f"{took['errors']:,} frames of {model.name} failed and are left out")
        if took["dropped"]:
            said.append(f"{took['dropped']:,} frames were dropped by {model.name}, for newer ones had come")
    cpus = machine()["cpus"] or 1
    if evaluation.load is not None and evaluation.load > BUSY * cpus:
        said.append(
            f"the machine was busy ({evaluation.load:.1f} running processes on {cpus} CPUs): times are too long"
        )
    return said


def to_document(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as plain values; None stands for what cannot be said, or never came."""
    window, settings = evaluation.window, evaluation.settings
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "ferlab": {"version": __version__, "commit": commit()},
        "protocol": protocol(evaluation),
        "cautions": cautions(evaluation),
        "machine": {**machine(), "processor": processor(), "load": evaluation.load},
        "settings": dict(settings),
        "clips": dict(evaluation.origin),
        "measures": {name: asdict(each) for name, each in measures_of(window).items()},
        "presets": {name: asdict(how) for name, how in evaluation.presets.items()},
        "models": [_model(each, evaluation) for each in evaluation.models],
    }


def _model(model: Model, evaluation: Evaluation) -> dict[str, Any]:
    window = evaluation.window
    return {
        "name": model.name,
        "about": dict(model.about),
        "scores": {way: _plain(scores) for way, scores in model.scores(window).items()},
        "by_clip": {clip: {way: _plain(each) for way, each in ways.items()}
                    for clip, ways in model.by_clip(window).items()},
        "detection": detection(model.recordings),
        "speed": {**speed(model.recordings), "peak_mb": model.peak_mb},
        "curves": {way: [_point(point) for point in points] for way, points in model.curves.items()},
        "at_equal_flicker": {way: None if best is None else _point(best)
                             for way, points in model.curves.items()
                             for best in (quickest(points, evaluation.settings["flicker"]),)},
        "timelines": timelines(model),
        "annotations": [{"clip": each.clip, "events": [[round(time, 3), text] for time, text in each.events],
                         "excluded": [[round(start, 3), round(end, 3)] for start, end in each.excluded]}
                        for each in model.recordings if each.events or each.excluded],
    }  # fmt: skip


def _plain(scores: Scores) -> dict[str, Any]:
    return {name: value if math.isfinite(value) else None for name, value in asdict(scores).items()}


def _point(point: Point) -> dict[str, Any]:
    how = point.smoothing
    times = {"filter": how.filter, "window": how.window, "streak": how.streak}
    return {"factor": point.factor, **times, "scores": _plain(point.scores)}


def timelines(model: Model) -> list[dict[str, Any]]:
    """For each person of each clip when which label was true and shown: [start, end, label or None], s."""
    found = []
    for i, recording in enumerate(model.recordings):
        people = next(iter(model.found.values()))[i]
        for person, course in people.items():
            shown = {way: _spans(recording, clips[i][person], False) for way, clips in model.found.items()}
            whose = {"clip": recording.clip, "person": person, "track": recording.tracks.get(person)}
            found.append({**whose, "start": float(course.times[0]), "truth": _spans(recording, course, True),
                          "shown": shown})  # fmt: skip
    return found


def _spans(recording: Recording, course: Course, truth: bool) -> list[list[Any]]:
    spans = stretches(course.times, course.truth if truth else course.predicted)
    names = recording.labels
    return [[round(a, 3), round(b, 3), None if label == NOTHING else names[label]] for a, b, label in spans]


def colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each label: an emotion has its own, a label of one's own one of a palette."""
    return {name: COLOURS.get(name, PALETTE[i % len(PALETTE)]) for i, name in enumerate(labels)}


def render(evaluation: Evaluation, document: Mapping[str, Any]) -> str:
    """The HTML; every word from a bundle, a clip or a file of truth is escaped."""
    models, window = evaluation.models, evaluation.window
    known = measures_of(window)
    columns = [(model.name, way, scores) for model in models for way, scores in model.scores(window).items()]
    best = {name: _best([getattr(scores, name) for _, _, scores in columns], each.better)
            for name, each in known.items()}  # fmt: skip
    curves = {model.name: model.curves for model in models if model.curves}
    equal = [(model.name, way, quickest(points, evaluation.settings["flicker"]))
             for model in models for way, points in model.curves.items()]  # fmt: skip
    labels = list(dict.fromkeys(label for model in models for each in model.recordings for label in each.labels))
    return template(f"{KIND}.html.j2", "ferlab.live").render(
        report=document,
        models=models,
        measures=known,
        columns=columns,
        best=best,
        by_clip={model.name: model.by_clip(window) for model in models},
        headline=headline(models[0], window),
        equal=equal,
        figure=plots.data_uri(flicker_response(curves, evaluation.settings["flicker"])) if curves else None,
        colours=colours(labels),
        drawn=DRAWN,
        in_s=IN_S,
    )


def headline(model: Model, window: float) -> dict[str, Any]:
    """What the cards show: the steadiest way of a model, and the one that smooths nothing."""
    scores = model.scores(window)
    steadiest = min(scores, key=lambda way: math.inf if math.isnan(scores[way].spurious) else scores[way].spurious)
    plain = scores.get("raw", scores.get("unsmoothed"))
    ratio = plain.spurious / scores[steadiest].spurious if plain and scores[steadiest].spurious else None
    return {"way": steadiest, "scores": scores[steadiest], "plain": plain, "ratio": ratio}


def _best(values: Sequence[float], better: str) -> float | None:
    """The best of several values that differ."""
    finite = [value for value in values if math.isfinite(value)]
    if len(set(finite)) < 2:
        return None
    return max(finite) if better == "higher" else min(finite)


def write_evaluation(evaluation: Evaluation, folder: Path) -> dict[str, Any]:
    """Write both files to `folder`, which appears whole or not at all and replaces an older evaluation.

    Returns:
        What the JSON holds.

    Raises:
        ConfigError: the folder holds something else, or cannot be written.
    """
    document = to_document(evaluation)
    write_folder(folder, KIND, document, render(evaluation, document))
    return document


def load() -> float | None:
    """Mean number of running processes over the last minute; None where it cannot be told."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
