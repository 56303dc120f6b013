"""A clip watched once, its answers kept with the truth, and what any smoothing of them is worth."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.live import measures
from ferlab.live.frame import Faces
from ferlab.live.measures import NOTHING, Course, Matching
from ferlab.live.run import Live
from ferlab.live.smooth import Smoother, Smoothing
from ferlab.live.truth import Entry, Truth

IN_S = 5.0  # seconds for which spurious switches are stated
GAP = 3.0  # frames' distances from which a face was away between two of them

Labels = Callable[["Moment"], Sequence[int]]  # the label that is shown of each found face


@dataclass(frozen=True)
class Moment:
    """What is kept of a frame.

    Attributes:
        time: s.
        ids: m tracks of the found faces.
        raw: (m, k) the model's own probabilities; (m, 0) of a recorded session.
        known: for each true face its person, its label, and its place among the found ones or NOTHING.
        told: of a recorded session, method -> m labels that were shown; else empty.
    """

    time: float
    ids: list[int]
    raw: npt.NDArray[Any]
    known: list[tuple[int, int, int]]
    told: dict[str, list[int]] = field(default_factory=dict)


@dataclass
class Recording:
    """A clip, watched by a model.

    Attributes:
        clip: its name.
        labels: of the model.
        moments: its frames that were answered.
        matching: which found face was which true one; counts over all frames.
        heirs, memory: see `Pipeline`.
        ms: of each frame by name: detector, classifier, end_to_end, and age of a camera's.
        seconds, cpu_seconds: that it took, on the clock and of all processors; None of a recorded session.
        dropped, errors: frames that were not answered: for newer ones came, or they failed.
        tracks: person -> the track by which the truth names it.
        events: s, and what happened then.
        excluded: start and end in s of what counts nowhere.
    """

    clip: str
    labels: tuple[str, ...]
    moments: list[Moment] = field(default_factory=list)
    matching: Matching = field(default_factory=Matching)
    heirs: dict[int, int] = field(default_factory=dict)
    memory: float = 0.0
    ms: dict[str, list[float]] = field(default_factory=dict)
    seconds: float | None = None
    cpu_seconds: float | None = None
    dropped: int = 0
    errors: int = 0
    tracks: dict[int, int] = field(default_factory=dict)
    events: Sequence[tuple[float, str]] = ()
    excluded: Sequence[tuple[float, float]] = ()

    def add(
        self,
        time: float,
        faces: Faces,
        raw: npt.NDArray[Any],
        truth: Sequence[Entry],
        told: dict[str, list[int]] | None = None,
    ) -> None:
        """Keep a frame; see `Moment`."""
        places = matched(self.matching, truth, faces)
        known = [(entry.person, entry.label, place) for entry, place in zip(truth, places, strict=True)]
        self.tracks |= {entry.person: entry.track for entry in truth if entry.track is not None}
        self.moments.append(Moment(time, faces.ids.tolist(), raw, known, told or {}))

    def annotate(self, truth: Truth, last: float) -> None:
        """Keep what the truth says beside labels, of a clip whose last frame has this time, s."""
        self.events = truth.events
        self.excluded = [(start, min(end, last)) for start, end in truth.excluded if start < min(end, last)]


def matched(matching: Matching, truth: Sequence[Entry], faces: Faces) -> list[int]:
    """For each true face its place among the found ones or NOTHING: by its box, by its track, or the largest face."""
    tracks = faces.ids.tolist()
    if any(entry.box is None for entry in truth):
        largest = [int(faces.boxes[:, 2:].prod(1).argmax())] if len(faces) else []
        places = []
        for entry in truth:
            found = [i for i, each in enumerate(tracks) if each == entry.track] if entry.track is not None else largest
            places.append(found[0] if found else NOTHING)
        matching.faces, matching.found = matching.faces + len(truth), matching.found + sum(p != NOTHING for p in places)
        return places
    boxes = np.array([entry.box for entry in truth], np.float64).reshape(-1, 4)
    return matching([entry.person for entry in truth], boxes, tracks, faces.boxes.astype(np.float64))


def watch_clip(live: Live, clip: str, truth: Truth) -> Recording:
    """Let a session run over a clip, and keep what the model said and what it took."""
    recording = Recording(clip, live.runner.labels, memory=live.pipeline.memory)
    begun, used = time.perf_counter(), time.process_time()
    for seen in live:
        known = truth.at(seen.frame.index, seen.frame.time, seen.faces.ids.tolist())
        recording.add(seen.frame.time, seen.faces, seen.raw, known)
        recording.heirs |= live.pipeline.heirs
        for name in ("detector", "classifier", "end_to_end", "age"):
            recording.ms.setdefault(name, []).append(getattr(seen, f"{name}_ms"))
    recording.seconds, recording.cpu_seconds = time.perf_counter() - begun, time.process_time() - used
    recording.dropped = live.camera.counts.dropped if live.camera else 0
    recording.errors = live.tally.errors
    if recording.moments:
        recording.annotate(truth, recording.moments[-1].time)
    return recording


def smoothed(recording: Recording, smoothing: Smoothing) -> Labels:
    """The labels that this smoothing shows, when it is asked for one moment after the other."""
    smoother = Smoother(smoothing, recording.memory, recording.heirs)
    return lambda moment: [each.label for each in smoother(moment.time, moment.ids, moment.raw)[1]]


def courses(recording: Recording, labels: Labels) -> dict[int, Course]:
    """What was true and what was shown of each person over time."""
    rows: dict[int, list[tuple[float, int, int]]] = {}
    for moment in recording.moments:
        shown = labels(moment)
        for person, label, place in moment.known:
            told = NOTHING if place == NOTHING else shown[place]
            rows.setdefault(person, []).append((moment.time, label, told))
    found = {}
    for person, each in sorted(rows.items()):
        times, truth, predicted = zip(*each, strict=True)
        found[person] = Course(np.array(times), np.array(truth, np.int64), np.array(predicted, np.int64))
    return found


@dataclass(frozen=True)
class Scores:
    """What one way of smoothing is worth; `measures_of` says what each is. NaN where there is nothing to measure."""

    accuracy: float
    macro_f1: float
    pm_k: float
    spurious: float
    flip_probability: float
    response_p50: float
    response_p95: float
    response_mean: float
    missed: float
    changes: int
    edit: float
    f1_10: float
    f1_25: float
    f1_50: float
    frames: int


def score(found: Sequence[Course], window: float) -> Scores:
    """Measure courses; a change may be followed within `window` s."""
    waits = measures.responses(found)
    changes = len(waits.waits)
    f1 = [measures.segmental_f1(found, overlap / 100) for overlap in measures.OVERLAPS]
    return Scores(
        accuracy=measures.accuracy(found),
        macro_f1=measures.macro_f1(found),
        pm_k=measures.pm_k(found),
        spurious=IN_S * measures.spurious(found, window).rate,
        flip_probability=measures.flip_probability(found),
        response_p50=waits.within(0.5),
        response_p95=waits.within(0.95),
        response_mean=waits.mean,
        missed=waits.missed / changes if changes else measures.NAN,
        changes=changes,
        edit=measures.edit_score(found),
        f1_10=f1[0],
        f1_25=f1[1],
        f1_50=f1[2],
        frames=sum(map(len, found)),
    )


@dataclass(frozen=True)
class Measure:
    """How a number of `Scores` is shown, and what it is.

    Attributes:
        name: of it.
        unit: "%" of a share, "s", or "" of a number.
        better: "higher" or "lower".
        formula: in words.
    """

    name: str
    unit: str
    better: str
    formula: str

    def shown(self, value: float | None) -> str:
        """The number as a table has it; none or NaN is a dash, what never came is ∞."""
        if value is None or np.isnan(value):
            return "–"
        if np.isinf(value):
            return "∞"
        return f"{100 * value:.1f}" if self.unit == "%" else f"{value:.2f}"


def measures_of(window: float) -> dict[str, Measure]:
    """The numbers of `Scores` that tables show; a change may be followed within `window` s."""
    f1 = "2 TP / (2 TP + FP + FN) over segments; a TP shares {} % of frames (IoU) with a true one of its label"
    return {
        "accuracy": Measure("accuracy", "%", "higher", "right frames / frames; a face not found is wrong"),
        "macro_f1": Measure("macro F1", "%", "higher", "mean over true labels of 2 TP / (2 TP + FP + FN), in frames"),
        "pm_k": Measure(f"pm-{measures.WITHIN} accuracy", "%", "higher",
                        f"frames that are right with all {measures.WITHIN} before and after / frames (Shankar 2019)"),
        "spurious": Measure(f"spurious switches in {IN_S:g} s", "", "lower",
                            f"{IN_S:g} · switches with no change of the truth in the {window:g} s before / seconds "
                            "in which a switch would be one"),
        "flip_probability": Measure("flip probability", "%", "lower",
                                    "consecutive frames whose labels differ / pairs, mean over faces; right switches "
                                    "count too (Hendrycks & Dietterich 2019)"),
        "response_p50": Measure("response, median", "s", "lower",
                                "from a change to the first frame with its label before the next change; a missed "
                                "one counts as ∞"),
        "response_p95": Measure("response, 95 %", "s", "lower", "within which 95 % of all changes are followed"),
        "response_mean": Measure("response, mean", "s", "lower",
                                 "mean of the same; a missed change counts with all the time until the next"),
        "missed": Measure("missed changes", "%", "lower", "changes whose label is never shown before the next / all"),
        "edit": Measure("edit score", "%", "higher", "1 − Levenshtein distance of the order of labels / the longer of "
                        "both, mean over faces (MS-TCN 2019)"),
        "f1_10": Measure("F1@10", "%", "higher", f1.format(10)),
        "f1_25": Measure("F1@25", "%", "higher", f1.format(25)),
        "f1_50": Measure("F1@50", "%", "higher", f1.format(50)),
    }  # fmt: skip


def stretches(times: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> list[tuple[float, float, int]]:
    """Start and end in s of each run of one label, for a drawing; NOTHING too. A face that was away breaks a run."""
    if not len(times):
        return []
    steps = np.diff(times)
    step = float(np.median(steps)) if len(steps) else 0.0
    edges = [0, *(np.flatnonzero((np.diff(labels) != 0) | (steps > GAP * step)) + 1).tolist(), len(times)]
    found = []
    for start, end in pairwise(edges):
        last = float(times[end - 1]) + step
        until = min(last, float(times[end])) if end < len(times) else last
        found.append((float(times[start]), until, int(labels[start])))
    return found


def speed(recordings: Sequence[Recording]) -> dict[str, Any]:
    """What it took, over all clips: percentiles of ms, frames a second, CPU share, dropped frames and errors."""
    frames = sum(len(each.moments) for each in recordings)
    ms = {}
    for name in ("end_to_end", "detector", "classifier", "age"):
        values = [value for each in recordings for value in each.ms.get(name, [])]
        if values:
            p50, p95, p99 = np.percentile(values, (50, 95, 99)).tolist()
            ms[name] = {"p50": p50, "p95": p95, "p99": p99}
    seconds = sum(each.seconds for each in recordings if each.seconds is not None)
    used = sum(each.cpu_seconds for each in recordings if each.cpu_seconds is not None)
    return {
        "frames": frames,
        "ms": ms,
        "fps": frames / seconds if seconds else None,
        "cpu_share": used / seconds if seconds else None,
        "dropped": sum(each.dropped for each in recordings),
        "errors": sum(each.errors for each in recordings),
    }


def detection(recordings: Sequence[Recording]) -> dict[str, Any]:
    """How many of the true faces were found, and how often one got another track, over all clips."""
    faces, found = (sum(getattr(each.matching, name) for each in recordings) for name in ("faces", "found"))
    switches = sum(each.matching.switches for each in recordings)
    people = sum(len({person for moment in each.moments for person, _, _ in moment.known}) for each in recordings)
    return {"people": people, "faces": faces, "found": found, "recall": found / faces if faces else None,
            "id_switches": switches}  # fmt: skip


def clip_names(clips: Sequence[Path]) -> list[str]:
    """Names of clips for a table: their files', with the folder where two are alike."""
    stems = [path.name for path in clips]
    return [str(path) if stems.count(path.name) > 1 else path.name for path in clips]
