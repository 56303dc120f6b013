"""What is written of every face, and whose faces a page shows."""

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest

from ferlab.data.affectnet import LICENCE
from ferlab.data.hashes import face_hash
from ferlab.data.mixed import mixed
from ferlab.evaluation.page import render_summary
from ferlab.evaluation.table import as_csv

from .conftest import made_source, made_split, reported

NAN = float("nan")
LOGITS = np.log([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5], [0.875, 0.125]])
POINTS = [[0.5, -0.25], [0.0, 0.25], [-1.0, 1.0], [0.0, 0.0]]
AFFECT = [[0.125, 0.25], [NAN, 0.5], [NAN, NAN], [NAN, NAN]]


@pytest.fixture
def report(answering):
    """Of three of four faces: the last has no label at all. Two are mistaken for another class or have no class."""
    split = made_split([0, 0, -1, -1], AFFECT, {"gender": ["female", "=1+1", "", ""]})
    split = replace(split, labels=np.array([0, 0, 1, -1]))
    return reported(answering(LOGITS, POINTS), made_source(split))


def test_every_scored_face_has_its_truth_and_its_answers(report):
    rows = list(csv.DictReader(io.StringIO(as_csv({name: report.predictions[name] for name in report.predictions}))))
    assert list(rows[0]) == [
        "row", "image", "hash", "true", "predicted", "p_anger", "p_happiness",
        "true_valence", "true_arousal", "valence", "arousal", "slice_gender",
    ]  # fmt: skip
    assert [list(row.values())[3:] for row in rows] == [
        ["anger", "anger", "0.75", "0.25", "0.125", "0.25", "0.5", "-0.25", "female"],
        ["anger", "happiness", "0.25", "0.75", "", "0.5", "0.0", "0.25", "'=1+1"],
        ["happiness", "anger", "0.5", "0.5", "", "", "-1.0", "1.0", ""],
    ]
    faces = [np.full((16, 16, 3), i, np.uint8) for i in range(3)]
    assert [row["hash"] for row in rows] == [f"{face_hash(face):016x}" for face in faces]
    assert [row["image"] for row in rows] == ["faces.csv:2", "faces.csv:3", "faces.csv:4"]


def test_a_face_without_a_class_is_there_for_its_affect(answering):
    split = made_split([-1, 0], AFFECT[:2])
    frame = reported(answering(LOGITS[:2], POINTS[:2]), made_source(split)).predictions
    assert frame["true"].isna().tolist() == [True, False]
    alone = reported(answering(None, POINTS[:2]), made_source(split)).predictions
    assert [name for name in alone if name.startswith(("p_", "pred"))] == []
    assert alone["valence"].tolist() == [0.5, 0.0]


@pytest.fixture
def page_of(tmp_path, monkeypatch):
    """A function that writes a report and reads its page, without figures, which take seconds."""
    monkeypatch.setattr("ferlab.evaluation.plots.data_uri", lambda figure: "data:")
    return lambda report, show_faces: report.write(tmp_path / "report", show_faces).read_text()


def faces_in(page):
    return len(re.findall(r'alt="a face labelled', page))


def test_a_page_shows_no_faces_that_may_not_be_passed_on(answering, page_of):
    free = made_source(made_split([1, 0]))
    lent = replace(free, confidential=True, licence=LICENCE, absent={"train": "none", "test": "none"})
    assert mixed({"free": replace(lent, confidential=False), "lent": lent}).confidential
    reports = {source.confidential: reported(answering(LOGITS[:2]), source) for source in (free, lent)}
    shown = page_of(reports[False], None), page_of(reports[True], True)
    left_out = page_of(reports[False], False), page_of(reports[True], None)
    assert [faces_in(page) for page in (*shown, *left_out)] == [2, 2, 0, 0]
    assert ["Their faces are left out" in page for page in (*shown, *left_out)] == [False, False, True, True]
    assert "for they may not be passed on (AffectNet: for research only" in left_out[1]
    assert "This page shows faces that may not be passed on" in shown[1]
    assert "may not be passed on" not in shown[0] + left_out[0]


def test_what_a_notebook_shows_is_short_and_escaped(report):
    assert repr(report) == (
        "Report(custom_cnn on drawn validation, 3 faces: accuracy 0.333, macro_f1 0.250, valence_ccc 0.000, "
        f"arousal_ccc {report.scores['arousal_ccc']:.3f})"
    )
    assert repr(report.answers) == "Predictions(3 faces: anger, happiness, valence and arousal)"
    assert repr(report.faces) == "Split(validation, 4 faces)"
    assert repr(made_source(report.faces)) == "Source(drawn: validation 4 faces; anger, happiness)"
    assert report.confusion.loc["anger", "happiness"] == 1
    assert report.confusion.to_numpy().tolist() == [[1, 1], [1, 0]]
    evil = replace(report, protocol="<script>alert(1)</script>")
    page = render_summary(evil)
    assert "<script" not in page
    assert "33.3" in page
    assert len(page) < 60_000
