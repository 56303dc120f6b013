import json
import math
from dataclasses import replace

import numpy as np
import pytest

from ferlab.errors import DataError
from ferlab.live.annotations import ANNOTATIONS, Annotations
from ferlab.live.encrypted import SEALED
from ferlab.live.frame import Faces, Frame
from ferlab.live.measures import NOTHING, Course
from ferlab.live.pipeline import Pipeline
from ferlab.live.recorded import RAW, SHOWN, read_session
from ferlab.live.scoring import (
    Recording,
    Scores,
    clip_names,
    courses,
    detection,
    measures_of,
    score,
    smoothed,
    speed,
    stretches,
)
from ferlab.live.session import FRAMES, TABLE
from ferlab.live.smooth import PRESETS, Smoothing
from ferlab.live.store import Folder
from ferlab.live.strength import curve, quickest, scaled, ways
from ferlab.live.truth import Entry
from ferlab.spec import ModelSpec

SPEC = ModelSpec(("dark", "light"), size=8)
BOX = (20.0, 20.0, 40.0, 40.0)


class Runner:
    """Says how light a face is."""

    spec, labels, provenance = SPEC, SPEC.expression, {"dataset": "drawn"}

    def answers(self, images: np.ndarray) -> dict[str, np.ndarray]:
        light = images.mean((1, 2, 3)) / 255
        return {"expression": np.stack([1 - light, light], 1)}


class Walks:
    """One face, lost for 1.2 s and found a little further: it gets another track, which inherits its smoothing."""

    name = "walks"

    def __call__(self, frame: Frame) -> Faces:
        away, moved = 1.0 < frame.time < 2.2, 30.0 * (frame.time >= 2.2)
        return Faces.found(np.zeros((0, 4)) if away else np.array([[20 + moved, 20, 40, 40]]))


def watched(smoothing: Smoothing) -> tuple[Recording, list[list[int]]]:
    """A recording of a flickering face, and what the pipeline itself showed in each frame."""
    pipeline, rng = Pipeline(Runner(), Walks(), smoothing), np.random.default_rng(0)
    recording, shown = Recording("clip", Runner.labels, memory=pipeline.memory), []
    for i in range(120):
        light = int(np.clip(rng.normal(40 if i < 40 else 160, 90), 0, 255))
        seen = pipeline(Frame(i, i / 30, np.full((100, 200, 3), light, np.uint8)))
        truth = [Entry(0, int(i >= 40), (20 + 30.0 * (i / 30 >= 2.2), 20, 40, 40))]
        recording.add(seen.frame.time, seen.faces, seen.raw, truth)
        recording.heirs |= pipeline.heirs
        shown.append([face.label for face in seen.shown])
    return recording, shown


@pytest.mark.parametrize("preset", PRESETS)
def test_answers_are_smoothed_again_as_the_pipeline_smooths_them(preset: str) -> None:
    recording, _ = watched(PRESETS["raw"])
    _, shown = watched(PRESETS[preset])
    again = smoothed(recording, PRESETS[preset])
    assert [again(moment) for moment in recording.moments] == shown
    assert recording.heirs == {1: 0}
    (course,) = courses(recording, smoothed(recording, PRESETS[preset])).values()
    assert course.predicted.tolist() == [labels[0] if labels else NOTHING for labels in shown]
    assert course.truth.tolist() == [0] * 40 + [1] * 80


def test_without_its_heirs_a_face_that_was_lost_begins_anew() -> None:
    recording, shown = watched(PRESETS["stable"])
    assert [smoothed(replace(recording, heirs={}), PRESETS["stable"])(each) for each in recording.moments] != shown


def faces(*boxes: list[float], tracks: tuple[int, ...]) -> Faces:
    return replace(Faces.found(np.array(boxes, float).reshape(-1, 4)), ids=np.array(tracks, np.int64).reshape(-1))


def test_a_true_face_is_matched_by_box_by_track_or_is_the_largest() -> None:
    recording = Recording("clip", ("a", "b"))
    two = faces([0, 0, 10, 10], [100, 0, 20, 20], tracks=(7, 9))
    for time, truth in enumerate([
        [Entry(0, 0, (101.0, 0.0, 20.0, 20.0)), Entry(1, 1, (50.0, 50.0, 10.0, 10.0))],
        [Entry(0, 1, None, 7), Entry(1, 1, None, 8)],
        [Entry(0, 0)],
    ]):  # fmt: skip
        recording.add(float(time), two, np.zeros((2, 2)), truth)
    recording.add(3.0, faces(tracks=()), np.zeros((0, 2)), [Entry(0, 0)])
    known = [moment.known for moment in recording.moments]
    assert known == [[(0, 0, 1), (1, 1, NOTHING)], [(0, 1, 0), (1, 1, NOTHING)], [(0, 0, 1)], [(0, 0, NOTHING)]]
    found = detection([recording])
    assert (found["faces"], found["found"], found["recall"], found["people"]) == (6, 3, 0.5, 2)


def course(truth: str, predicted: str, step: float = 0.5) -> Course:
    ids = [np.array([NOTHING if each == "." else ord(each) - ord("a") for each in text]) for text in (truth, predicted)]
    return Course(step * np.arange(len(truth)), *ids)


def test_scores_by_hand() -> None:
    found = score([course("aaaabbbbcccc", "aabaaabbbbbb")], 1.0)
    # Switches at 1.0, 1.5 and 3.0 s; changes at 2.0 and 4.0 s: those at 1.0 and 1.5 are 1 s and more after the first
    # frame, that at 3.0 is 1 s after its change. Settled: 1.0, 1.5, 3.0, 3.5, 5.0 and 5.5, half a second each.
    assert found.spurious == pytest.approx(5 * 3 / 3.0)
    assert (found.changes, found.missed) == (2, 0.5)
    assert (found.response_p50, found.response_p95) == (1.0, math.inf)
    assert found.response_mean == pytest.approx((1.0 + 1.5) / 2)
    assert found.accuracy == 5 / 12
    assert found.flip_probability == pytest.approx(3 / 11)
    assert found.edit == pytest.approx(1 - 2 / 4)
    shown = {name: each.shown(getattr(found, name)) for name, each in measures_of(1.0).items()}
    assert (shown["response_p95"], shown["missed"], shown["spurious"]) == ("∞", "50.0", "5.00")
    assert measures_of(1.0)["edit"].shown(score([], 1.0).edit) == "–"


def test_stretches_break_where_a_face_was_away() -> None:
    times = np.array([0.0, 0.1, 0.2, 1.0, 1.1])
    found = stretches(times, np.array([0, 0, 1, 1, 1]))
    assert found == [(0.0, 0.2, 0), (0.2, pytest.approx(0.3), 1), (1.0, pytest.approx(1.2), 1)]
    assert stretches(np.zeros(0), np.zeros(0, np.int64)) == []


def test_what_it_took_by_hand() -> None:
    made = Recording("c", ("a",), ms={"end_to_end": [10.0, 20.0, 30.0]}, seconds=2.0, cpu_seconds=3.0, dropped=4)
    for time in range(3):
        made.add(time, faces(tracks=()), np.zeros((0, 1)), [])
    found = speed([made, made])
    assert (found["fps"], found["cpu_share"], found["dropped"], found["frames"]) == (1.5, 1.5, 8, 6)
    assert found["ms"]["end_to_end"]["p50"] == 20
    assert speed([Recording("c", ("a",))])["fps"] is None


def test_a_way_is_swept_from_weak_to_strong_and_compared_at_equal_flicker() -> None:
    base = PRESETS["stable"]
    assert scaled(base, 2.0) == replace(base, window=2 * base.window, streak=2 * base.streak)
    assert scaled(base, 1e3).window < 60
    asked: list[Smoothing] = []

    def scores(how: Smoothing) -> object:
        asked.append(how)
        return replace(score([], 1.0), spurious=2 - how.window, response_mean=how.window)

    points = curve(base, scores, (0.0, 1.0, 2.0, 3.0))
    assert [point.factor for point in points] == [0.0, 1.0, 2.0, 3.0]
    assert asked[1] == base
    best = quickest(points, 1.0)
    assert best is not None
    assert best.factor == 2.0  # at 1.2 s there are 0.8: the first with at most one
    assert quickest(points, 0.1) is None
    assert len(curve(PRESETS["raw"], scores)) == 1
    assert set(ways(PRESETS)) == {*PRESETS, "average filter", "adaptive filter"}


def test_clips_of_one_name_are_told_apart(tmp_path) -> None:
    assert clip_names([tmp_path / "a" / "x.avi", tmp_path / "b" / "y.avi"]) == ["x.avi", "y.avi"]
    assert clip_names([tmp_path / "a" / "x.avi", tmp_path / "b" / "x.avi"])[0] == str(tmp_path / "a" / "x.avi")


HEADER = "frame,time,track,left,top,width,height,score,label,confidence,uncertain,second,unsmoothed"


def write_session(tmp_path, lines: list[object], header: str = f"{HEADER},neutral,anger\n"):
    (tmp_path / TABLE).write_text(header)
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    (tmp_path / FRAMES).write_text(text)
    (tmp_path / "truth.csv").write_text("start,end,track,label\n0,9,4,neutral\n")
    return tmp_path, tmp_path / "truth.csv"


def line(number: int, label: str, unsmoothed: str, **changed: object) -> dict[str, object]:
    face = {"track": 4, "box": [1, 2, 3, 4], "score": 0.9, "label": label, "unsmoothed": unsmoothed}
    times = {f"{name}_ms": 1.0 for name in ("age", "detector", "classifier", "end_to_end")}
    return {"frame": number, "time": number / 10, "faces": [face], **times, **changed}


def annotated(tmp_path, *more: str) -> tuple[Recording, Scores]:
    """Three seconds of a face that is neutral for one and then angry; what is shown is wrong at 0.5, 1-1.1, 2-2.2 s."""
    wrong = {5, 10, 11, 20, 21, 22}
    lines = [line(i, ("neutral", "anger")[(i >= 10) != (i in wrong)], "anger") for i in range(30)]
    folder, _ = write_session(tmp_path, lines)
    with Folder(folder) as store:
        noted = Annotations(store, ("neutral", "anger"))
        noted.note("label", 0.0, "neutral", 4)
        noted.note("label", 1.0, "anger", 4)
        noted.note("event", 0.7, "door")
        if more:
            noted.note("exclude", 1.95)
            noted.note("exclude", 2.45, on=False)
        noted.close(3.0)
    recording = read_session(folder, folder / ANNOTATIONS)
    return recording, score(list(courses(recording, lambda moment: moment.told[SHOWN]).values()), 0.3)


def test_a_session_is_scored_on_its_own_annotations(tmp_path) -> None:
    recording, found = annotated(tmp_path)
    assert recording.events == [(0.7, "door")]
    assert found.accuracy == pytest.approx(24 / 30)
    assert (found.changes, found.missed, found.response_p50) == (1, 0, pytest.approx(0.2))
    assert found.flip_probability == pytest.approx(5 / 29)
    # 0.3 s after the first frame and after the change: 0.3-0.9 and 1.3-2.9 s, with the switches at 0.5, 0.6, 2, 2.3.
    assert found.spurious == pytest.approx(5 * 4 / 2.4)
    assert detection([recording]) == {"people": 1, "faces": 30, "found": 30, "recall": 1.0, "id_switches": 0}


def test_what_is_excluded_counts_nowhere(tmp_path) -> None:
    recording, found = annotated(tmp_path, "exclude")  # the five frames from 2.0 to 2.4 s
    assert found.frames == len(recording.moments) == len(recording.ms["age"]) == 25
    assert found.accuracy == pytest.approx(22 / 25)
    assert (found.changes, found.missed, found.response_p50) == (1, 0, pytest.approx(0.2))
    assert found.flip_probability == pytest.approx((3 / 19 + 0 / 4) / 2)  # nothing is compared over the gap
    # 0.3-0.9 and 1.3-1.9 s; after the gap it begins anew, 2.8-2.9 s; with the switches at 0.5 and 0.6 s.
    assert found.spurious == pytest.approx(5 * 2 / 1.6)
    assert recording.excluded == [(1.95, 2.45)]
    assert detection([recording]) == {"people": 2, "faces": 25, "found": 25, "recall": 1.0, "id_switches": 0}
    assert recording.tracks == {0: 4, 1: 4}


def test_a_recorded_session_is_scored_as_it_was_shown(tmp_path) -> None:
    rows = [line(0, "neutral", "neutral"), line(1, "neutral", "anger"), line(2, "neutral", "neutral", faces=[])]
    recording = read_session(*write_session(tmp_path, rows))
    predicted = {
        way: courses(recording, lambda moment, way=way: moment.told[way])[0].predicted.tolist() for way in (SHOWN, RAW)
    }
    assert predicted == {SHOWN: [0, 0, NOTHING], RAW: [0, 1, NOTHING]}
    assert recording.labels == ("neutral", "anger")
    header = f"{HEADER},neutral,anger,valence,arousal,name\n"
    assert read_session(*write_session(tmp_path, rows, header)).labels == ("neutral", "anger")
    assert speed([recording])["ms"]["end_to_end"]["p95"] == 1.0


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "must hold frames, got none"),
        (["{"], "line 1: must be a frame of ferlab live, got JSONDecodeError"),
        ([line(0, "neutral", "joy")], "line 1: must be a frame of ferlab live, got ValueError"),
        ([line(0, "neutral", "anger", faces=3)], "line 1: must be a frame of ferlab live, got TypeError"),
        ([line(0, "neutral", "anger", time=float("nan"))], "line 1: must be a frame of ferlab live"),
        ([line(1, "neutral", "anger"), line(0, "neutral", "anger")], "line 2: time must not fall"),
    ],
)
def test_a_session_that_was_changed_is_refused_by_line(tmp_path, lines, said) -> None:
    with pytest.raises(DataError) as caught:
        read_session(*write_session(tmp_path, lines))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_session_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="session must be a folder of ferlab live"):
        read_session(tmp_path, tmp_path / "truth.csv")
    (tmp_path / SEALED).write_bytes(b"")
    with pytest.raises(DataError, match="got an encrypted one; ferlab live decrypt session="):
        read_session(tmp_path, tmp_path / "truth.csv")
    with pytest.raises(DataError, match="must have the columns of ferlab live"):
        read_session(*write_session(tmp_path, [], "frame,time\n"))
    with pytest.raises(DataError, match="must be of a model with expressions"):
        read_session(*write_session(tmp_path, [], "frame,time,track,left,top,width,height,score,valence,arousal\n"))
