import os

import pytest

from ferlab.errors import DataError
from ferlab.live.truth import Entry, Truth, beside, read_truth

LABELS = ("neutral", "happiness", "sadness", "my own")


def read(tmp_path, text, suffix=".csv") -> Truth:
    path = tmp_path / f"truth{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_truth(path, LABELS)


def test_frames_with_boxes(tmp_path) -> None:
    text = "\N{BOM}frame,time,person,left,top,width,height,label\n"
    text += "0,0.0,a,-3,2.5,10,20,Happy\n0,0.0,b,50,2,10,20,my own\n2,0.08,a,1,2,10,20,sad\n\n"
    found = read(tmp_path, text)
    assert found.at(0, 9.9) == [Entry(0, 1, (-3, 2.5, 10, 20)), Entry(1, 3, (50, 2, 10, 20))]
    assert found.at(1, 0.04) == []
    assert found.at(2, 0.08) == [Entry(0, 2, (1, 2, 10, 20))]


def test_spans_of_one_person_need_no_box(tmp_path) -> None:
    found = read(tmp_path, "start,end,label\n0,1.5,neutral\n1.5,3,happiness\n")
    assert [[each.label for each in found.at(0, time)] for time in (0, 1.4999, 1.5, 3)] == [[0], [0], [1], []]


def test_json_lines_with_tracks_and_boxes(tmp_path) -> None:
    text = '{"start": 0, "end": 2, "track": 7, "label": "joy"}\n{"start": 0, "end": 1, "track": 9, "label": "sad"}\n'
    assert read(tmp_path, text, ".jsonl").at(0, 0.5) == [Entry(0, 1, None, 7), Entry(1, 2, None, 9)]
    box = '{"frame": 3, "box": [1, 2, 3, 4], "label": "sad"}'
    assert read(tmp_path, box, ".jsonl").at(3, 0) == [Entry(0, 2, (1, 2, 3, 4))]


def test_the_truth_lies_beside_its_video(tmp_path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    assert beside(tmp_path / "a.mp4") == tmp_path / "a.jsonl"
    with pytest.raises(DataError, match=r"must have its truth beside it, got no b\.csv or b\.jsonl"):
        beside(tmp_path / "b.mp4")


NOTED = "kind,start,end,track,label\n"


def told(truth: Truth, time: float, *tracks: int) -> list[tuple[int | None, int]]:
    return sorted((each.track, each.label) for each in truth.at(0, time, tracks))


def test_a_label_of_everybody_goes_for_each_face_that_has_none_of_its_own(tmp_path) -> None:
    found = read(tmp_path, f"{NOTED}label,0,10,,neutral\nlabel,2,4,7,happiness\nlabel,20,21,7,sad\n")
    assert [told(found, time, 7, 9) for time in (1, 3, 5, 15, 20)] == [
        [(7, 0), (9, 0)], [(7, 1), (9, 0)], [(7, 0), (9, 0)], [], [(7, 2)]
    ]  # fmt: skip
    assert told(found, 1) == [(7, 0)]  # the one that is named should be there
    person = {time: {each.track: each.person for each in found.at(0, time, (7, 9, 11))} for time in (1, 3, 5, 20)}
    assert person[1] == person[3] == person[5]  # 7 changed its label, and is who it was
    assert len(set(person[1].values()) | set(person[20].values())) == 4  # after a gap somebody else


def test_excluded_spans_cut_what_is_known(tmp_path) -> None:
    noted = 'label,0,10,3,sad\nexclude,2,4,,the light went out\nexclude,3.5,5,,\nevent,2.5,,,"a ""word"""\n'
    found = read(tmp_path, NOTED + noted)
    assert [len(found.at(0, time, (3,))) for time in (1.99, 2, 4.99, 5)] == [1, 0, 0, 1]
    assert [found.excludes(time) for time in (1.99, 2, 4.99, 5)] == [False, True, True, False]
    assert (found.excluded, found.events) == ([(2, 5)], [(2.5, 'a "word"')])
    assert found.at(0, 1)[0].person != found.at(0, 6)[0].person


def test_a_span_is_closed_by_its_row_or_lasts_to_the_end(tmp_path) -> None:
    rows = "label,1,,3,sad\nlabel,1,2,3,sad\nlabel,2,,3,neutral\nlabel,5,,4,sad\nlabel,5,5,4,sad\nexclude,9,,,\n"
    found = read(tmp_path, NOTED + rows)
    assert [told(found, time) for time in (1.5, 2.5, 8)] == [[(3, 2)], [(3, 0)], [(3, 0)]]
    assert told(found, 9) == []
    assert found.excludes(1000)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("lable,0,1,,sad\n", "line 2, column kind: must be one of label, exclude, event, or empty, got 'lable'"),
        (
            "label,0,2,,sad\nlabel,1,3,,neutral\n",
            "line 3, column start: must be at or after the end of the span before",
        ),
        ("label,0,2,5,sad\nlabel,1,,5,neutral\n", "line 3, column start: must be at or after the end of the span"),
        ("exclude,3,2,,\n", "line 2, column end: must be after the start, 3, got '2'"),
        ("event,,,,x\n", "line 2, column start: must be a number"),
        ("label,0,1,,sad\n,1,2,,neutral\n", "line 3, column track: must be what every other label has"),
        ("label,0,1,-1,sad\n", "line 2, column track: must be a whole number from 0"),
    ],
)
def test_wrong_annotations_are_told_by_line_and_column(tmp_path, rows, said) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, NOTED + rows)
    assert said in str(caught.value)


ROW = "frame,person,left,top,width,height,label\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: must be followed by rows, got 'none'"),
        (ROW, "line 1: must be followed by rows"),
        ("frame,lable\n0,sad\n", "line 1: unknown column 'lable'; did you mean 'label'?"),
        ("frame,frame,label\n0,0,sad\n", "line 1: must be columns that differ"),
        (f"{ROW}0,a,1,2,3,4,sad\n1,a,1,2,3,sad\n", "line 3: must be 7 cells, got '6 cells'"),
        (f"{ROW}0,a,1,2,x,4,sad\n", "line 2, column width: must be a number from 1e-06 to 1e+06, got 'x'"),
        (f"{ROW}0,a,1,2,nan,4,sad\n", "line 2, column width: must be a number"),
        (f"{ROW}0,a,1,2,-5,4,sad\n", "line 2, column width: must be a number"),
        (f"{ROW}0,a,1,,3,4,sad\n", "line 2, column top: must be a number from -1e+06 to 1e+06, got 'nothing'"),
        (f"{ROW}1.5,a,1,2,3,4,sad\n", "line 2, column frame: must be a whole number"),
        (f"{ROW}0,a,1,2,3,4,sadnes\n", "column label: must be a label of the model, got 'sadnes'; did you mean 'sadn"),
        (f"{ROW}0,a,1,2,3,4,anger\n", "column label: must be a label of the model, got 'anger'; one of: neutral, "),
        (f"{ROW}0,a,1,2,3,4,\n", "line 2, column label: must be a label of the model, got 'nothing'"),
        (f"{ROW}0,a,1,2,3,4,sad\n0,a,5,2,3,4,sad\n", "line 3, column frame: must be one row a person and frame"),
        (f"{ROW}0,{'a' * 65},1,2,3,4,sad\n", "line 2, column person: must be a name of at most 64 characters"),
        (f'{ROW}0,"a,1,2,3,4,sad\n', "must be CSV"),
        (f"{ROW}0,{'a' * 20000},1,2,3,4,sad\n", "line 2: must be a line of at most 4,096 characters"),
        (ROW.encode() + b"0,\xff,1,2,3,4,sad\n", "line 2: must be UTF-8"),
        ("label\nsad\n", "line 2, column frame: must be given, or start and end, got 'nothing'"),
        ("start,end,label\n2,1,sad\n", "line 2, column end: must be after the start, 2, got '1'"),
        ("start,end,label\n1,3,sad\n0,2,sad\n", "line 2, column start: must be at or after the end of the span before"),
        ("start,label\n1,sad\n", "line 2, column end: must be a number"),
        ("start,end,frame,label\n1,2,,sad\n,,3,sad\n", "some of both"),
        ("frame,person,label\n0,a,sad\n0,b,sad\n", "column person: must be told apart by a box or a track, got '2 peo"),
    ],
)
def test_a_wrong_csv_is_told_by_line_and_column(tmp_path, text, said) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "line 1: must be a JSON object"),
        ('{"frame": 0, "label": "sad"}\n{"frame', "line 2: must be a JSON object"),
        ("[" * 4000, "line 1: must be a JSON object"),
        ('{"frame": 0, "box": [1, 2, 3], "label": "sad"}', "line 1, column box: must be [left, top, width, height]"),
        ('{"frame": true, "label": "sad"}', "line 1, column frame: must be a whole number"),
        ('{"frame": 1e999, "label": "sad"}', "line 1, column frame: must be a whole number"),
        (f'{{"frame": 1{"0" * 400}, "label": "sad"}}', "line 1, column frame: must be a whole number"),
        ('{"frame": 0, "label": ["sad"]}', "line 1, column label: must be a label of the model"),
    ],
)
def test_wrong_json_lines_are_told_by_line(tmp_path, text, said) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, text, ".jsonl")
    assert said in str(caught.value)


def test_what_is_no_file_of_truth(tmp_path) -> None:
    with pytest.raises(DataError, match=r"truth must be a file ending in \.csv or \.jsonl"):
        read(tmp_path, "", ".txt")
    with pytest.raises(DataError, match="cannot read"):
        read_truth(tmp_path / "none.csv", LABELS)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.csv")
        with pytest.raises(DataError, match="it is no regular file"):
            read_truth(tmp_path / "pipe.csv", LABELS)
