"""One frame at a time: find the faces, follow them, steady their boxes, cut and prepare them, answer, smooth."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.live.crop import FITS, crops
from ferlab.live.detect import Detector
from ferlab.live.frame import Faces, Frame
from ferlab.live.smooth import Levels, Shown, Smoother, Smoothing
from ferlab.live.steady import Steady
from ferlab.live.track import Tracker
from ferlab.runner import Runner
from ferlab.spec import Image

MOST = 16  # faces of a frame that are answered, the largest


@dataclass(frozen=True)
class Person:
    """What is said of one face.

    Attributes:
        track: its id, which no other face of the source gets.
        box: left, top, width and height in pixels, steadied.
        score: of the detector, in [0, 1].
        label, confidence: that is shown after smoothing, and its probability; None for a model without expressions.
        uncertain: whether that is below `Smoothing.certain`.
        second: the next label where it is close, or None.
        expression: smoothed probability of each label, largest first.
        unsmoothed: the label that the model itself would give to this frame.
        valence, arousal: in [-1, 1], or None for a model without that head.
        name: of who it is, where a gallery is asked and knows; None else.
    """

    track: int
    box: tuple[float, ...]
    score: float
    label: str | None = None
    confidence: float | None = None
    uncertain: bool = False
    second: str | None = None
    expression: Mapping[str, float] = field(default_factory=dict)
    unsmoothed: str | None = None
    valence: float | None = None
    arousal: float | None = None
    name: str | None = None


@dataclass(frozen=True)
class Seen:
    """A frame with all that is known of it.

    Attributes:
        frame: the picture.
        faces: in it, with ids and answers, both smoothed.
        raw: the model's own probabilities (n, k); (n, 0) for a model without expressions.
        shown: the label of each face after smoothing; none for a model without expressions.
        names: of the labels.
        detector_ms, classifier_ms: to find the faces, and to cut, prepare and answer them.
        pipeline_ms: for all of it, from when the frame was taken.
        age_ms: of a camera's frame, when it was taken; 0 for files.
        who: the name of each face, as `Identity` gives it; none where no gallery is asked.
        found: the boxes (m, 4) of all faces that the detector found, as it found them, those beyond MOST too.
        inputs: what the model saw, (n, c, s, s) uint8.
        raw_affect: the model's own valence and arousal (n, 2); (n, 0) for a model without them.
    """

    frame: Frame
    faces: Faces
    raw: npt.NDArray[Any]
    shown: list[Shown]
    names: tuple[str, ...]
    detector_ms: float
    classifier_ms: float
    pipeline_ms: float
    age_ms: float = 0.0
    who: tuple[str | None, ...] = ()
    found: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    inputs: Image = field(default_factory=lambda: np.zeros((0, 1, 1, 1), np.uint8))
    raw_affect: npt.NDArray[Any] = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def end_to_end_ms(self) -> float:
        """From the capture of a camera's frame, or from when a file's was taken, to its answers."""
        return self.age_ms + self.pipeline_ms

    @property
    def people(self) -> list[Person]:
        """What is said of each face."""
        return [self._person(i) for i in range(len(self.faces))]

    def _person(self, i: int) -> Person:
        faces, names = self.faces, self.names
        person = Person(int(faces.ids[i]), tuple(faces.boxes[i].tolist()), float(faces.scores[i]))
        if "expression" in faces.answers:
            shares, shown = faces.answers["expression"][i], self.shown[i]
            order = np.argsort(-shares, kind="stable").tolist()
            person = replace(
                person,
                label=names[shown.label],
                confidence=float(shares[shown.label]),
                uncertain=shown.uncertain,
                second=None if shown.second is None else names[shown.second],
                expression={names[j]: float(shares[j]) for j in order},
                unsmoothed=names[int(self.raw[i].argmax())],
            )
        if "affect" in faces.answers:
            valence, arousal = faces.answers["affect"][i].tolist()
            person = replace(person, valence=valence, arousal=arousal)
        return replace(person, name=self.who[i]) if self.who else person


class Pipeline:
    """What becomes of a frame.

    Attributes:
        smoothing: as given.
        heirs: see `Tracker.heirs`: with them, and `memory` as the patience, a `Smoother` smooths the answers as here.
        memory: seconds for which a lost face may have an heir.

    Args:
        runner: the model.
        detector: finds the faces.
        smoothing: of the answers.
        identify: names the faces of a frame, or None.
        clock: s, for the durations.
        least: score and longer side in pixels of a face that is answered; the detector may find others.
    """

    def __init__(
        self,
        runner: Runner,
        detector: Detector,
        smoothing: Smoothing,
        identify: Callable[[Frame, Faces], list[str | None]] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        least: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.runner, self.detector, self.identify, self.smoothing = runner, detector, identify, smoothing
        self._clock, self._least = clock, least
        self.fit = FITS.get((detector.name, str(runner.provenance.get("dataset"))))
        self._track, self._steady = Tracker(), Steady()
        self.memory, self.heirs = self._track.memory, self._track.heirs
        self._smooth = Smoother(smoothing, self.memory, self.heirs)
        self._level = Levels(smoothing, self.memory, self.heirs)

    def __call__(self, frame: Frame) -> Seen:
        """Find and answer the faces of a frame; frames come in the order of their times."""
        begun = self._clock()
        every = self.detector(frame)
        score, side = self._least
        faces = every[(every.scores >= score) & (every.boxes[:, 2:].max(1, initial=0) >= side)]
        largest = np.sort(np.argsort(-faces.boxes[:, 2:].prod(1), kind="stable")[:MOST])
        faces = self._steady(frame, self._track(frame, faces[largest]))
        found = self._clock()
        spec = self.runner.spec
        answers: dict[str, npt.NDArray[Any]] = {head: np.zeros((0, width)) for head, width in spec.widths.items()}
        inputs = np.zeros((0, spec.channels, spec.size, spec.size), np.uint8)
        if len(faces):
            whole = self.detector.name == "none"  # it is cut already, and margin and eyes are as they should be
            cut = [frame.image] if whole else crops(frame.image, faces, spec.face, self.fit)
            inputs = np.stack([spec.prepare(each) for each in cut])
            answers = dict(self.runner.answers(inputs))
        answered = self._clock()
        raw, raw_affect = (answers.get(head, np.zeros((len(faces), 0))) for head in ("expression", "affect"))
        shown: list[Shown] = []
        if "expression" in answers:
            answers["expression"], shown = self._smooth(frame.time, faces.ids.tolist(), raw)
        if "affect" in answers:
            answers["affect"] = self._level(frame.time, faces.ids.tolist(), answers["affect"])
        who = tuple(self.identify(frame, faces)) if self.identify else ()
        spans = (begun, found), (found, answered), (begun, self._clock())
        finding, answering, all_ms = (1e3 * (end - start) for start, end in spans)
        return Seen(
            frame, replace(faces, answers=answers), raw, shown, self.runner.labels, finding, answering, all_ms,
            who=who, found=every.boxes, inputs=inputs, raw_affect=raw_affect,
        )  # fmt: skip

    def go_on(self, before: "Pipeline") -> None:
        """Take over the tracks of another pipeline of this source, and its smoothing if that is the same.

        The other is not used after that.
        """
        self._track, self._steady, self.identify = before._track, before._steady, before.identify
        self.memory, self.heirs = before.memory, before.heirs
        if self.smoothing == before.smoothing:
            self._smooth, self._level = before._smooth, before._level
        else:
            self._smooth = Smoother(self.smoothing, self.memory, self.heirs)
            self._level = Levels(self.smoothing, self.memory, self.heirs)

    def warm_up(self) -> None:
        """Ask everything once, so that the first frame is as fast as the others; nothing is remembered of it."""
        spec = self.runner.spec
        self.detector(Frame(0, 0.0, np.zeros((480, 640, 3), np.uint8)))
        self.runner.answers(np.zeros((1, spec.channels, spec.size, spec.size), np.uint8))
