import math

import numpy as np
import pytest

from ferlab.live.measures import (
    NOTHING,
    Course,
    Matching,
    Segment,
    accuracy,
    edit_score,
    flip_probability,
    levenshtein,
    macro_f1,
    pm_k,
    responses,
    segmental_f1,
    segments,
    spurious,
)

EMPTY = Course(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))


def course(truth: str, predicted: str, step: float = 0.1, start: float = 0.0) -> Course:
    """A letter a frame; a dot where the face was not found."""
    ids = [np.array([NOTHING if each == "." else ord(each) - ord("a") for each in text]) for text in (truth, predicted)]
    return Course(start + step * np.arange(len(truth)), *ids)


def test_frames_by_hand() -> None:
    both = [course("aabb", "abb."), course("cc", "ca")]
    assert accuracy(both) == 3 / 6
    # a: 1 hit of 2, shown 2 times; b: 1 of 2, shown 2 times; c: 1 of 2, shown once. d does not occur.
    assert macro_f1(both) == pytest.approx((2 / 4 + 2 / 4 + 2 / 3) / 3)
    assert macro_f1([course("aa", "ad")]) == pytest.approx(2 / 3)


def test_flip_probability_by_hand() -> None:
    assert flip_probability([course("aaaa", "abba")]) == pytest.approx(2 / 3)
    assert flip_probability([course("aaaa", "abba"), course("aaa", "aaa")]) == pytest.approx(1 / 3)  # a mean over faces
    assert flip_probability([course("aaaaa", "ab.aa")]) == 1 / 2  # ab and aa; b to nothing to a is no flip
    assert math.isnan(flip_probability([course("a", "a")]))


def test_a_switch_is_spurious_if_the_truth_did_not_change_shortly_before() -> None:
    #                      0123456789
    found = spurious([course("aaaaabbbbb", "aabaabbabb")], 0.3)
    # Frames 2 (in the window of the first label), 3, 5 (right on the change), 7 (0.2 s after it), 8 (0.3 s after it).
    assert found.switches == 2
    assert found.seconds == pytest.approx(0.2 + 0.2)  # frames 3, 4 and 8, 9
    assert found.rate == pytest.approx(5.0)
    late = spurious([course("aaaaabbbbb", "aaaaaaaabb")], 0.3)
    assert late.switches == 1  # right, but later than the window
    assert math.isnan(spurious([course("aa", "ab")], 1.0).rate)


def test_pm_k_by_hand() -> None:
    found = [course("aaaaaa", "aaabaa")]
    assert pm_k(found, 0) == 5 / 6
    assert pm_k(found, 1) == 3 / 6  # 0, 1 and 5
    assert pm_k(found, 10) == 0
    assert pm_k([course("aaa", "aaa"), course("aaa", "baa")], 1) == 4 / 6  # frames of two faces are no neighbours


def test_segments_and_their_edit_score_by_hand() -> None:
    assert segments(course("aabbb", "a.abb").predicted) == [Segment(0, 0, 1), Segment(0, 2, 3), Segment(1, 3, 5)]
    assert [levenshtein(*each) for each in (([0, 1, 2], [0, 2]), ([], [1, 1]), ([0, 1], [1, 0]))] == [1, 2, 2]
    assert edit_score([course("aaabbb", "abaabb")]) == pytest.approx(1 - 2 / 4)  # a b against a b a b
    assert edit_score([course("aaabbb", "aabbbb"), course("aa", "..")]) == 1 / 2  # durations do not count


def test_f1_of_segments_by_hand() -> None:
    found = [course("aaaabbbb", "aabaabbb")]  # a 0-2, b 2-3, a 3-5, b 5-8 against a 0-4, b 4-8
    # a 0-2 has 2/4; b 2-3 shares nothing; a 3-5 has 1/5; b 5-8 has 3/4.
    assert segmental_f1(found, 0.5) == pytest.approx(2 * 2 / (4 + 2))
    assert segmental_f1(found, 0.75) == pytest.approx(2 * 1 / (4 + 2))
    assert segmental_f1(found, 0.1) == pytest.approx(2 * 2 / (4 + 2))  # the second a finds its segment taken
    assert segmental_f1([*found, course("aa", "..")], 0.5) == pytest.approx(2 * 2 / (4 + 3))


def test_responses_by_hand() -> None:
    found = responses([course("aabbbbccdd", "aaabbbaaad")])
    # To b after 1 frame, c is missed, to d after 1.
    assert found.waits.tolist() == pytest.approx([0.1, math.inf, 0.1])
    assert found.given.tolist() == pytest.approx([0.4, 0.2, 0.1])
    assert (found.missed, found.within(0.5), found.within(0.95)) == (1, pytest.approx(0.1), math.inf)
    assert found.mean == pytest.approx((0.1 + 0.2 + 0.1) / 3)
    assert responses([course("aabb", "abbb")]).waits.tolist() == [0]  # it was there before


@pytest.mark.parametrize("truth", ["aaaaaaaaaa", "aabbbbbacc", "abcabcabca"])
def test_a_perfect_prediction(truth: str) -> None:
    found = [course(truth, truth)]
    best = [accuracy(found), macro_f1(found), pm_k(found), edit_score(found), segmental_f1(found, 0.5)]
    assert best == [1] * 5
    assert spurious(found, 0.3).switches == responses(found).missed == 0
    assert flip_probability(found) == len(found[0].changes) / 9
    assert set(responses(found).waits.tolist()) <= {0.0}


def test_a_constant_prediction_has_no_flicker_and_no_response() -> None:
    found = [course("aaabbbccca", "aaaaaaaaaa")]
    assert flip_probability(found) == spurious(found, 0.1).switches == 0
    waits = responses(found)
    assert (waits.missed, waits.within(0.5), waits.waits[-1]) == (2, math.inf, 0)
    assert edit_score(found) == pytest.approx(1 / 4)


@pytest.mark.parametrize("delay", [1, 3, 5])
def test_a_delayed_copy_responds_so_late_and_is_steady_within_the_window(delay: int) -> None:
    truth = "a" * 30 + "b" * 30 + "c" * 30
    found = [course(truth, truth[:1] * delay + truth[:-delay])]
    waits = responses(found)
    assert [waits.within(0.5), waits.within(0.95)] == pytest.approx([delay / 10] * 2)
    assert waits.mean == pytest.approx(delay / 10)
    assert spurious(found, delay / 10 + 0.05).switches == 0
    assert spurious(found, delay / 10 - 0.05).switches == 2
    assert accuracy(found) == pytest.approx(1 - 2 * delay / 90)
    assert edit_score(found) == segmental_f1(found, 0.5) == 1


@pytest.mark.parametrize("nothing", [[], [EMPTY]])
def test_nothing_has_no_score(nothing: list[Course]) -> None:
    scores = [
        accuracy(nothing), macro_f1(nothing), pm_k(nothing), flip_probability(nothing), edit_score(nothing),
        segmental_f1(nothing, 0.5), spurious(nothing, 1).rate, responses(nothing).within(0.5), responses(nothing).mean,
        Matching().recall,
    ]  # fmt: skip
    assert all(map(math.isnan, scores))
    assert spurious(nothing, 1).switches == responses(nothing).missed == 0


def test_a_face_that_is_found_late_is_wrong_until_then_and_did_not_flip() -> None:
    found = [course("aaaaaa", "...aaa", start=7.0)]
    assert accuracy(found) == 1 / 2
    assert flip_probability(found) == spurious(found, 0.1).switches == 0
    assert edit_score(found) == 1
    assert segmental_f1(found, 0.5) == 1
    assert segmental_f1(found, 0.51) == 0
    whole = [course("aaaaaa", "aaaaaa"), *found]
    assert accuracy(whole) == 9 / 12


def test_more_flicker_is_never_better() -> None:
    truth = "a" * 40 + "b" * 40
    shown, before = list(truth), 0.0
    for place in range(5, 36, 10):
        shown[place] = "c"
        found = [course(truth, "".join(shown))]
        assert flip_probability(found) > before
        before = flip_probability(found)
        assert spurious(found, 0.1).switches == 2 * (place // 10 + 1)


def test_times_must_not_fall_and_all_frames_have_both() -> None:
    with pytest.raises(ValueError, match="must not fall"):
        Course(np.array([1.0, 0.5]), np.zeros(2, np.int64), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="one value a frame"):
        Course(np.array([1.0]), np.zeros(2, np.int64), np.zeros(2, np.int64))


BOX = [0.0, 0, 100, 100]
AWAY = [300.0, 0, 100, 100]
NEAR = [20.0, 0, 100, 100]  # 80 of 120 shared
FAR = [60.0, 0, 100, 100]  # 40 of 160 shared


def test_faces_are_matched_by_their_boxes() -> None:
    match = Matching()
    assert match([4, 7], np.array([BOX, AWAY]), [1, 2], np.array([AWAY, NEAR])) == [1, 0]
    assert match([4, 7], np.array([BOX, AWAY]), [1], np.array([FAR])) == [NOTHING, NOTHING]
    assert match([4], np.array([BOX]), [], np.zeros((0, 4))) == [NOTHING]
    assert match([], np.zeros((0, 4)), [1], np.array([BOX])) == []
    assert (match.faces, match.found, match.recall, match.switches) == (5, 2, 2 / 5, 0)


def test_a_face_keeps_its_match_and_a_new_track_is_a_switch() -> None:
    match = Matching()
    match([4], np.array([BOX]), [1], np.array([NEAR]))
    assert match([4], np.array([BOX]), [2, 1], np.array([BOX, NEAR])) == [1]  # another fits better: not yet a reason
    assert match([4], np.array([BOX]), [2, 1], np.array([BOX, FAR])) == [0]
    assert match.switches == 1
    match([4], np.array([BOX]), [], np.zeros((0, 4)))
    match([4], np.array([BOX]), [3], np.array([BOX]))
    assert match.switches == 2  # it was out of sight meanwhile


def test_two_faces_that_swap_their_tracks_are_two_switches() -> None:
    match = Matching()
    for tracks in ([1, 2], [2, 1]):
        match([0, 1], np.array([BOX, AWAY]), tracks, np.array([BOX, AWAY]))
    assert match.switches == 2
