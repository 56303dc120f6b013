"""One frame at a time: find the faces, follow them, steady their boxes, cut and prepare them, answer, smooth."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ferlab.live.crop import FITS, crops
from ferlab.live.detect import Detector
from ferlab.live.frame import Faces, Frame
from ferlab.live.smooth import Shown, Smoother, Smoothing
from ferlab.live.steady import Steady
from ferlab.live.track import Tracker
from ferlab.runner import Runner

MOST = 16  # faces of a frame that are answered, the largest


@dataclass(frozen=True)
class Seen:
    """A frame with all that is known of it.

    Attributes:
        frame: the picture.
        faces: in it, with ids and answers: "expression" smoothed, "affect" as the model gave it.
        raw: the model's own probabilities (n, k); (n, 0) for a model without expressions.
        shown: the label of each face after smoothing; none for a model without expressions.
        detector_ms, classifier_ms: to find the faces, and to cut, prepare and answer them.
    """

    frame: Frame
    faces: Faces
    raw: npt.NDArray[Any]
    shown: list[Shown]
    detector_ms: float
    classifier_ms: float


class Pipeline:
    """What becomes of a frame.

    Args:
        runner: the model.
        detector: finds the faces.
        smoothing: of the answers.
        clock: s, for the durations.
    """

    def __init__(
        self, runner: Runner, detector: Detector, smoothing: Smoothing, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.runner, self.detector, self._clock = runner, detector, clock
        self.fit = FITS.get((detector.name, str(runner.provenance.get("dataset"))))
        self._track, self._steady = Tracker(), Steady()
        self._smooth = Smoother(smoothing, self._track.memory, self._track.heirs)

    def __call__(self, frame: Frame) -> Seen:
        """Find and answer the faces of a frame; frames come in the order of their times."""
        begun = self._clock()
        faces = self.detector(frame)
        largest = np.sort(np.argsort(-faces.boxes[:, 2:].prod(1), kind="stable")[:MOST])
        faces = self._steady(frame, self._track(frame, faces[largest]))
        found = self._clock()
        spec = self.runner.spec
        answers: dict[str, npt.NDArray[Any]] = {head: np.zeros((0, width)) for head, width in spec.widths.items()}
        if len(faces):
            cut = crops(frame.image, faces, spec.face, self.fit)
            answers = dict(self.runner.answers(np.stack([spec.prepare(each) for each in cut])))
        answered = self._clock()
        raw = answers.get("expression", np.zeros((len(faces), 0)))
        shown: list[Shown] = []
        if "expression" in answers:
            answers["expression"], shown = self._smooth(frame.time, faces.ids.tolist(), raw)
        return Seen(
            frame, replace(faces, answers=answers), raw, shown, 1e3 * (found - begun), 1e3 * (answered - found)
        )  # fmt: skip

    def warm_up(self) -> None:
        """Ask everything once, so that the first frame is as fast as the others; nothing is remembered of it."""
        spec = self.runner.spec
        self.detector(Frame(0, 0.0, np.zeros((480, 640, 3), np.uint8)))
        self.runner.answers(np.zeros((1, spec.channels, spec.size, spec.size), np.uint8))
