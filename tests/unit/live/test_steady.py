import numpy as np
import pytest

from ferlab.live.frame import Faces, Frame
from ferlab.live.steady import Steady

NOTHING = np.zeros((4, 4, 3), np.uint8)


def smoothed(steady: Steady, times: np.ndarray, boxes: np.ndarray, number: int = 0) -> np.ndarray:
    """The boxes (n, 4) of a track, smoothed."""
    found = []
    for time, box in zip(times, boxes, strict=True):
        faces = Faces.found(box[None])
        faces.ids[:] = number
        found.append(steady(Frame(0, float(time), NOTHING), faces).boxes[0])
    return np.array(found)


def path(times: np.ndarray, speed: float, jitter: float = 0.0) -> np.ndarray:
    boxes = np.tile([0.0, 50, 100, 100], (len(times), 1))
    boxes[:, 0] += speed * times
    return boxes + np.random.default_rng(0).normal(0, jitter, boxes.shape)


@pytest.mark.parametrize("rate", [10, 30, 120])
def test_it_halves_jitter_and_hardly_lags(rate: int) -> None:
    times = np.arange(0, 4, 1 / rate)
    noise = path(times, 0, 1.0)
    rested = smoothed(Steady(), times, noise)
    assert np.diff(rested, axis=0).std() < (0.85 if rate == 10 else 0.5) * np.diff(noise, axis=0).std()
    moved = path(times, 100)  # its own width a second
    lag = moved[rate:, 0] - smoothed(Steady(), times, moved)[rate:, 0]
    assert 0 < lag.max() < 3  # px of 100
    assert Steady(rest=0)(Frame(0, 0.0, NOTHING), Faces.found(noise[:1])).boxes[0] == pytest.approx(noise[0], abs=1e-4)


def test_a_picture_twice_as_large_is_smoothed_alike() -> None:
    times = np.arange(0, 1, 1 / 30)
    boxes = path(times, 60, 1.0)
    assert smoothed(Steady(), times, 2 * boxes) == pytest.approx(2 * smoothed(Steady(), times, boxes), rel=1e-5)


def test_nobody_a_stranger_and_one_time_twice() -> None:
    steady = Steady(patience=1.0)
    assert len(steady(Frame(0, 0.0, NOTHING), Faces.found(np.zeros((0, 4))))) == 0
    first, second = np.array([[0.0, 0, 10, 10]]), np.array([[50.0, 0, 10, 10]])
    assert smoothed(steady, np.array([0.1]), first, 1)[0].tolist() == first[0].tolist()
    assert smoothed(steady, np.array([0.1]), second, 2)[0].tolist() == second[0].tolist()
    assert smoothed(steady, np.array([0.1]), second, 1)[0].tolist() == second[0].tolist()  # no time passed: as it is
    assert smoothed(steady, np.array([5.0]), first, 1)[0].tolist() == first[0].tolist()  # long after: begun anew
    assert len(steady._traces) == 1
