"""How right, how steady and how quick labels are over time: the published measures, each with its formula and source.

There is no standard of flicker for expressions, so each formula is spelt out. One
number alone can be had for nothing: a label that never changes has no flicker, and no response. Look at both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ferlab.live.track import overlaps

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NOTHING = -1  # the predicted label of a frame in which a face was not found
NAN, INF = float("nan"), float("inf")
WITHIN = 10  # k of pm-k, frames to either side
OVERLAPS = (10, 25, 50)  # % of F1@
SAME = 0.3  # intersection over union from which a box is a face's: datasets and detectors draw different boxes


@dataclass(frozen=True)
class Course:
    """One face over time.

    Attributes:
        times: (n,) s, ascending, from its first frame in the truth.
        truth: (n,) ids of the true labels.
        predicted: (n,) ids of the labels that were shown; NOTHING where the face was not found.

    Raises:
        ValueError: lengths that differ, or times that fall.
    """

    times: Floats
    truth: Ints
    predicted: Ints

    def __post_init__(self) -> None:
        if not len(self.times) == len(self.truth) == len(self.predicted):
            lengths = len(self.times), len(self.truth), len(self.predicted)
            raise ValueError(f"times, truth and predicted must have one value a frame, got {lengths}")
        if (np.diff(self.times) < 0).any():
            raise ValueError("times must not fall")

    def __len__(self) -> int:
        return len(self.times)

    @property
    def changes(self) -> Ints:
        """Frames with another true label than the one before."""
        return np.flatnonzero(np.diff(self.truth)) + 1

    @property
    def switches(self) -> Ints:
        """Frames with another shown label than the one before; from or to NOTHING is none."""
        before, after = self.predicted[:-1], self.predicted[1:]
        return np.flatnonzero((before != after) & (before != NOTHING) & (after != NOTHING)) + 1


def accuracy(courses: Iterable[Course]) -> float:
    """Right frames / frames, of all faces; where a face was not found its frame is wrong. NaN without a frame."""
    right = [course.truth == course.predicted for course in courses]
    return float(np.concatenate(right).mean()) if sum(map(len, right)) else NAN


def macro_f1(courses: Sequence[Course]) -> float:
    """Mean over the true labels that occur of 2 TP / (2 TP + FP + FN), over the frames of all faces.

    A frame in which the face was not found is an FN of its label. NaN without a frame.
    """
    truth = np.concatenate([course.truth for course in courses] or [np.zeros(0, np.int64)])
    predicted = np.concatenate([course.predicted for course in courses] or [np.zeros(0, np.int64)])
    scores = []
    for label in np.unique(truth):
        hits = ((truth == label) & (predicted == label)).sum()
        scores.append(2 * hits / ((truth == label).sum() + (predicted == label).sum()))
    return float(np.mean(scores)) if scores else NAN


def flip_probability(courses: Iterable[Course]) -> float:
    """Mean over faces of the share of consecutive frames whose shown labels differ (Hendrycks & Dietterich 2019, FP).

    Right switches count as well; pairs in which the face was not found do not. NaN without a pair.
    """
    shares = []
    for course in courses:
        pairs = int(((course.predicted[:-1] != NOTHING) & (course.predicted[1:] != NOTHING)).sum())
        if pairs:
            shares.append(len(course.switches) / pairs)
    return float(np.mean(shares)) if shares else NAN


@dataclass(frozen=True)
class Spurious:
    """Switches without a reason.

    Attributes:
        switches: how many.
        seconds: in which a switch is one.
    """

    switches: int
    seconds: float

    @property
    def rate(self) -> float:
        """A second; NaN if there was no time for one."""
        return self.switches / self.seconds if self.seconds else NAN


def spurious(courses: Iterable[Course], window: float) -> Spurious:
    """Switches of the shown label at a time t without a change of the truth in (t − window, t], and the time for them.

    A face's first frame is a change of its truth: it had no label. A right switch that comes later than `window` after
    its change is spurious too. Rate = switches / seconds outside of the windows.

    Args:
        courses: faces.
        window: s, in which a change may be followed.
    """
    switches, seconds = 0, 0.0
    for course in courses:
        if len(course):
            reasons = course.times[np.concatenate([[0], course.changes])]
            since = course.times - reasons[np.searchsorted(reasons, course.times, side="right") - 1]
            settled = since >= window - 1e-9  # times are rounded in files
            switches += int(settled[course.switches].sum())
            seconds += float(np.diff(course.times)[settled[1:]].sum())
    return Spurious(switches, seconds)


def pm_k(courses: Iterable[Course], k: int = WITHIN) -> float:
    """Share of frames that are right together with every frame of their face within ±k (Shankar et al. 2019).

    At a face's first and last frames there are fewer than 2 k + 1. NaN without a frame.
    """
    right: list[bool] = []
    for course in courses:
        wrong = np.concatenate([[0], np.cumsum(course.truth != course.predicted)])
        n = len(course)
        right += [bool(wrong[min(n, i + k + 1)] == wrong[max(0, i - k)]) for i in range(n)]
    return float(np.mean(right)) if right else NAN


@dataclass(frozen=True)
class Segment:
    """A run of frames with one label, from `start` to before `end`."""

    label: int
    start: int
    end: int


def segments(labels: Ints) -> list[Segment]:
    """The runs of equal labels, in their order; those of NOTHING are left out."""
    if not len(labels):
        return []
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    runs = (Segment(int(labels[start]), start, end) for start, end in pairwise(edges))
    return [run for run in runs if run.label != NOTHING]


def edit_score(courses: Iterable[Course]) -> float:
    """Mean over faces of 1 − d / max(a, b), in [0, 1] (segmental edit score; Farha & Gall 2019, MS-TCN, in %).

    d is the Levenshtein distance between the labels of the true and of the shown segments, a and b are their numbers.
    Durations do not count: too many segments do. NaN without a face.
    """
    scores = []
    for course in courses:
        if len(course):
            true, shown = ([run.label for run in segments(each)] for each in (course.truth, course.predicted))
            scores.append(1 - levenshtein(true, shown) / max(len(true), len(shown)))
    return float(np.mean(scores)) if scores else NAN


def levenshtein(first: Sequence[int], second: Sequence[int]) -> int:
    """The fewest insertions, deletions and replacements that make the second of the first."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        above, row = row, [i]
        for j, b in enumerate(second, 1):
            row.append(min(row[-1] + 1, above[j] + 1, above[j - 1] + (a != b)))
    return row[-1]


def segmental_f1(courses: Iterable[Course], overlap: float) -> float:
    """F1 = 2 TP / (2 TP + FP + FN) over the segments of all faces (Farha & Gall 2019, F1@overlap).

    A shown segment is a TP if its intersection over union, in frames, with the true segment of its label that it
    overlaps most is at least `overlap`, and no earlier segment was that segment's; else an FP. A true segment without
    one is an FN. NaN without a segment.

    Args:
        courses: faces.
        overlap: from 0 to 1.
    """
    hits = shown = true = 0
    for course in courses:
        wanted, found = segments(course.truth), segments(course.predicted)
        taken: set[int] = set()
        for run in found:
            shares = [_shared(run, other) if run.label == other.label else 0.0 for other in wanted]
            best = int(np.argmax(shares))
            if shares[best] >= overlap and best not in taken:
                taken.add(best)
        hits, shown, true = hits + len(taken), shown + len(found), true + len(wanted)
    return 2 * hits / (shown + true) if shown + true else NAN


def _shared(a: Segment, b: Segment) -> float:
    both = max(0, min(a.end, b.end) - max(a.start, b.start))
    return both / (a.end - a.start + b.end - b.start - both)


@dataclass(frozen=True)
class Responses:
    """How changes of the truth were followed.

    Attributes:
        waits: (m,) s from each change to the first frame with its label before the next change; infinite if missed.
        given: (m,) s from each change to the next one, or to the face's last frame.
    """

    waits: Floats
    given: Floats

    @property
    def missed(self) -> int:
        """Changes that were not followed before the next."""
        return int(np.isinf(self.waits).sum())

    def within(self, share: float) -> float:
        """The shortest time, s, within which this share of all changes was followed; infinite if fewer were, NaN if
        there was none.
        """
        return float(np.quantile(self.waits, share, method="inverted_cdf")) if len(self.waits) else NAN

    @property
    def mean(self) -> float:
        """Mean wait in s, for a missed change all the time that it was given. NaN without a change."""
        return float(np.minimum(self.waits, self.given).mean()) if len(self.waits) else NAN


def responses(courses: Iterable[Course]) -> Responses:
    """How long each change of the truth waits for its label; see `Responses`.

    A face's first label is no change. The frame of the change itself may have the label already: 0 s. What is never
    shown is missed, and counts as infinite, so that a label that never changes has no response, and not a good one.
    """
    waits, given = [], []
    for course in courses:
        for start, end in pairwise([*course.changes.tolist(), len(course)]):
            right = np.flatnonzero(course.predicted[start:end] == course.truth[start])
            waits.append(course.times[start + right[0]] - course.times[start] if len(right) else INF)
            given.append(course.times[min(end, len(course) - 1)] - course.times[start])
    return Responses(np.array(waits, np.float64), np.array(given, np.float64))


class Matching:
    """Which found face is which true one, frame after frame, as CLEAR MOT does it (Bernardin & Stiefelhagen 2008).

    Pairs of the frame before stay as long as their boxes overlap by at least SAME; the others are matched from the
    largest overlap down.

    Attributes:
        faces: true faces over all frames.
        found: those that were matched.
        switches: identity switches: matches of a true face with another track than the last.
    """

    def __init__(self) -> None:
        self.faces = self.found = self.switches = 0
        self._last: dict[int, int] = {}  # true face -> the track that it had last
        self._held: dict[int, int] = {}  # those of the frame before

    def __call__(self, faces: Sequence[int], boxes: Floats, tracks: Sequence[int], found: Floats) -> list[int]:
        """Match one frame.

        Args:
            faces: n ids of the true faces.
            boxes: (n, 4) theirs: left, top, width, height.
            tracks: m ids of the found ones.
            found: (m, 4) their boxes.

        Returns:
            For each true face the place of its match among the found ones, or NOTHING.
        """
        shared = overlaps(boxes.reshape(-1, 4), found.reshape(-1, 4))
        for i, face in enumerate(faces):
            if (track := self._held.get(face)) in tracks and shared[i, (j := tracks.index(track))] >= SAME:
                shared[i, j] += 1  # before all others
        places = [NOTHING] * len(faces)
        for place in np.argsort(-shared, axis=None, kind="stable").tolist():
            i, j = divmod(place, len(tracks))
            if shared[i, j] < SAME:
                break
            if places[i] == NOTHING and j not in places:
                places[i] = j
        self.faces, self.found = self.faces + len(faces), self.found + sum(j != NOTHING for j in places)
        now = {face: tracks[j] for face, j in zip(faces, places, strict=True) if j != NOTHING}
        self.switches += sum(self._last.get(face, track) != track for face, track in now.items())
        self._held, self._last = now, self._last | now
        return places

    @property
    def recall(self) -> float:
        """Share of the true faces that were found; NaN without a face."""
        return self.found / self.faces if self.faces else NAN
