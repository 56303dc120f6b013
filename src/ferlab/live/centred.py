"""Answers of videos made steady by what comes before and after: a box filter, as HSEmotion's (arXiv:2407.13184).

It looks ahead, and so is for files alone; the filters of `smooth`, which a camera needs, know the past alone. It adds
no lag, and is cut where a face comes and goes.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ferlab.live.pictures import Picture
from ferlab.live.videos import is_video
from ferlab.runner import Prediction

EQUAL = 1e-6  # seconds by which times may miss the window's edge, so that rounding treats both its ends alike

Answered = tuple[Picture, list[Prediction]]
Values = npt.NDArray[np.float64]


def centred(answered: Iterable[Answered], window: float) -> Iterator[Answered]:
    """Every face's answer as the mean of its track's from `window`/2 before to `window`/2 after.

    Args:
        answered: pictures and the answer of each of their faces; the frames of a video in the order of their times.
            What is no video is left as it is.
        window: s, however many frames that is.

    Yields:
        The same in the same order, each once the first frame beyond its window is there: half a window of pictures is
        held, and a window of answers.
    """
    half = window / 2 + EQUAL
    waiting: deque[Answered] = deque()
    tracks = _Tracks()
    for picture, answers in answered:
        if waiting and picture.path != waiting[0][0].path:
            yield from tracks.steadied(waiting, half)
            waiting, tracks = deque(), _Tracks()
        if not is_video(picture.path):
            yield picture, answers
            continue
        waiting.append((picture, answers))
        tracks.add(picture, answers)
        due: list[Answered] = []
        while picture.frame.time - waiting[0][0].frame.time > half:
            due.append(waiting.popleft())
        yield from tracks.steadied(due, half)
        tracks.forget(waiting[0][0].frame.time - half)
    yield from tracks.steadied(waiting, half)


class _Tracks:
    """The answers of each track of one video, as far back as they are needed."""

    def __init__(self) -> None:
        self._past: dict[int, deque[tuple[float, Values]]] = {}

    def add(self, picture: Picture, answers: Sequence[Prediction]) -> None:
        for number, answer in zip(_ids(picture), answers, strict=True):
            self._past.setdefault(number, deque()).append((picture.frame.time, _values(answer)))

    def forget(self, before: float) -> None:
        for past in self._past.values():
            while past and past[0][0] < before:
                past.popleft()
        self._past = {number: past for number, past in self._past.items() if past}

    def steadied(self, due: Iterable[Answered], half: float) -> Iterator[Answered]:
        for picture, answers in due:
            means = (self._mean(number, picture.frame.time, half) for number in _ids(picture))
            yield picture, [_as(mean, answer) for mean, answer in zip(means, answers, strict=True)]

    def _mean(self, number: int, time: float, half: float) -> Values:
        near = [values for then, values in self._past[number] if abs(then - time) <= half]
        mean: Values = np.mean(near, axis=0)
        return mean


def _ids(picture: Picture) -> list[int]:
    """The track of each face; a frame that is one face is a track of its own."""
    return [-1] if picture.faces is None else picture.faces.ids.tolist()


def _values(answer: Prediction) -> Values:
    """Probabilities in the order of the labels' names, then valence and arousal."""
    affect = [value for value in (answer.valence, answer.arousal) if value is not None]
    return np.array([*(answer.expression[name] for name in sorted(answer.expression)), *affect])


def _as(values: Values, answer: Prediction) -> Prediction:
    """Values as `_values` has them as an answer, its labels likeliest first."""
    names = sorted(answer.expression)
    shares = dict(zip(names, values.tolist(), strict=False))
    valence, arousal = (None, None) if answer.valence is None else values[len(names) :].tolist()
    return Prediction({name: shares[name] for name in sorted(names, key=lambda n: -shares[n])}, valence, arousal)
