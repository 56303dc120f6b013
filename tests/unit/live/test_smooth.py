import numpy as np
import pytest

from ferlab.errors import ConfigError
from ferlab.live.smooth import (
    MOST,
    PRESETS,
    Adaptive,
    Average,
    Exponential,
    Hold,
    Levels,
    Shown,
    Smoother,
    Smoothing,
    gap,
)

SURE, DOUBT, OTHER = np.array([0.9, 0.05, 0.05]), np.array([0.4, 0.35, 0.25]), np.array([0.05, 0.9, 0.05])


def shown(how: Smoothing, times: list[float], answers: list[np.ndarray]) -> list[int]:
    """The label of the only face, frame by frame."""
    smoother = Smoother(how)
    return [smoother(time, [7], shares[None])[1][0].label for time, shares in zip(times, answers, strict=True)]


def test_the_gap_is_the_lead_of_the_first() -> None:
    assert gap(np.array([0.2, 0.5, 0.3])) == pytest.approx(0.2)
    assert gap(np.array([1.0])) == 1


def test_an_average_is_of_its_seconds() -> None:
    average = Average(0.25)
    found = [average(i / 10, np.array([float(i), 0])) for i in range(5)]
    assert [each[0] for each in found] == [0, 0.5, 1, 2, 3]  # of at most 0.25 s: the newest three from 0.2 s on


def test_the_adaptive_filter_takes_what_the_newest_answer_allows() -> None:
    def after(newest: np.ndarray) -> np.ndarray:
        adaptive = Adaptive(1.0)
        for i in range(10):
            adaptive(i / 10, OTHER if i < 5 else DOUBT)
        return adaptive(1.0, newest)

    assert after(SURE) == pytest.approx((SURE + DOUBT) / 2)  # since 0.9 s
    leads = np.array([0.5, 0.3, 0.2])
    assert after(leads) == pytest.approx((5 * DOUBT + leads) / 6)  # since 0.5 s
    assert after(DOUBT) == pytest.approx((OTHER + DOUBT + DOUBT) / 3)  # at 0, 0.5 and 1 s


def test_the_filter_is_as_the_settings_say() -> None:
    def last(**settings: object) -> np.ndarray:
        smoother = Smoother(Smoothing(**{"filter": "adaptive", "window": 1.0} | settings))
        for i in range(11):
            smoothed, _ = smoother(i / 10, [1], (OTHER if i < 5 else SURE)[None])
        return smoothed[0]

    assert last() == pytest.approx(SURE)  # it leads by 0.85: the last tenth
    assert last(snap=0.9) == pytest.approx(SURE)  # the last half
    assert last(snap=0.9, transition=0.9) == pytest.approx((OTHER + 2 * SURE) / 3)
    assert last(filter="average") == pytest.approx((5 * OTHER + 6 * SURE) / 11)


def test_frames_without_times_fill_no_memory() -> None:
    average = Average(1.0)
    for _ in range(MOST + 10):
        average._remember(0.0, SURE)
    assert len(average._past) == MOST


def test_an_exponential_mean_by_hand() -> None:
    mean = Exponential(0.5)
    assert mean(0.0, DOUBT) is DOUBT
    weight = 1 - np.exp(-0.1 / (0.5 * (1 - 0.85)))
    assert mean(0.1, OTHER) == pytest.approx(DOUBT + weight * (OTHER - DOUBT))
    assert mean(0.2, np.array([0.0, 0.0, 1.0])) == pytest.approx([0, 0, 1])  # sure: at once


@pytest.mark.parametrize("preset", ["fast", "stable"])
def test_a_change_is_shown_at_the_same_time_at_any_rate(preset: str) -> None:
    when = []
    for rate in (10, 30, 120):
        times = [i / rate for i in range(3 * rate)]
        first, then = np.array([0.6, 0.25, 0.15]), np.array([0.25, 0.6, 0.15])
        labels = shown(PRESETS[preset], times, [first if time < 1 else then for time in times])
        assert labels == sorted(labels)
        when.append(times[labels.index(1)] - 1)
    assert 0 < when[2] < 0.8
    assert np.ptp(when) <= 0.1  # a frame of the slowest


def test_stable_is_steadier_than_fast_and_fast_than_raw() -> None:
    drawn = np.random.default_rng(0)
    times = [i / 30 for i in range(600)]
    answers = [drawn.dirichlet([3.0, 2.5, 1.0]) for _ in times]
    switches = [np.count_nonzero(np.diff(shown(PRESETS[name], times, answers))) for name in ("raw", "fast", "stable")]
    assert switches[0] > 2 * switches[1] > 4 * switches[2]
    assert shown(PRESETS["raw"], times, answers) == [int(each.argmax()) for each in answers]


def test_another_label_must_lead_for_a_while_or_be_strong() -> None:
    hold = Hold(0.3, 0.8)
    weak, third = np.array([0.3, 0.6, 0.1]), np.array([0.2, 0.2, 0.6])
    asked = [(0.0, SURE), (0.1, weak), (0.3, weak), (0.35, SURE), (0.4, weak), (0.6, third), (0.65, weak), (0.9, weak)]
    assert [hold(time, shares) for time, shares in asked] == [0, 0, 0, 0, 0, 0, 0, 0]
    assert hold(0.96, weak) == 1
    assert hold(0.97, SURE) == 0


def test_doubt_is_said_and_the_second_label_where_it_is_close() -> None:
    _, (face,) = Smoother(Smoothing("none", 0, 0))(0.0, [1], DOUBT[None])
    assert face == Shown(0, uncertain=True, second=1)
    _, (face,) = Smoother(Smoothing("none", 0, 0))(0.0, [1], SURE[None])
    assert face == Shown(0, uncertain=False, second=None)
    _, (face,) = Smoother(PRESETS["raw"])(0.0, [1], DOUBT[None])
    assert face == Shown(0, uncertain=False, second=None)


def test_tracks_are_smoothed_apart_and_forgotten() -> None:
    smoother = Smoother(Smoothing("average", 1.0, 0))
    smoother(0.0, [1, 2], np.stack([SURE, OTHER]))
    smoothed, faces = smoother(0.5, [2, 1], np.stack([OTHER, SURE]))
    assert smoothed == pytest.approx(np.stack([OTHER, SURE]))
    assert [face.label for face in faces] == [1, 0]
    smoother(0.6, [3], DOUBT[None])
    assert smoother(1.55, [3], DOUBT[None])[0].shape == (1, 3)
    assert set(smoother._tracks) == {3}
    smoothed, faces = smoother(1.6, [], np.zeros((0, 3)))
    assert (smoothed.shape, faces) == ((0, 3), [])


def test_an_heir_goes_on_where_the_lost_face_was() -> None:
    heirs: dict[int, int] = {}
    smoother = Smoother(Smoothing("average", 1.0, 0.3), 3.0, heirs)
    smoother(0.0, [1], SURE[None])
    heirs[2] = 1
    smoothed, faces = smoother(0.1, [2, 3], np.stack([OTHER, OTHER]))
    assert smoothed == pytest.approx(np.stack([(SURE + OTHER) / 2, OTHER]))
    assert [face.label for face in faces] == [0, 1]
    assert smoother(0.2, [1], SURE[None])[0] == pytest.approx(SURE[None])  # the heir took a copy


def test_valence_and_arousal_are_means_of_their_seconds() -> None:
    heirs: dict[int, int] = {}
    levels = Levels(Smoothing("exponential", 0.25), 3.0, heirs)
    first, second = np.array([[0.5, -1.0]]), np.array([[0.1, 0.0]])
    assert levels(0.0, [1], first) == pytest.approx(first)
    assert levels(0.1, [1, 2], np.concatenate([second, second])) == pytest.approx(np.array([[0.3, -0.5], [0.1, 0.0]]))
    heirs[3] = 1
    assert levels(0.2, [3], second) == pytest.approx(np.array([[0.7 / 3, -1 / 3]]))
    assert levels(9.0, [], np.zeros((0, 2))).shape == (0, 2)
    assert levels._tracks == {}
    assert Levels(PRESETS["raw"])(0.0, [1], first) is first


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"window": -1}, "window must be from 0 to 60 seconds, got -1"),
        ({"streak": float("nan")}, "streak must be from 0 to 60 seconds, got nan"),
        ({"strong": 2}, "strong must be from 0 to 1, got 2"),
        ({"filter": "adaptiv"}, "unknown filter 'adaptiv'; did you mean 'adaptive'"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Smoothing(**wrong)
