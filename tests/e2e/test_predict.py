import csv
import io
import json
from glob import escape

import cv2
import numpy as np
import pytest

import ferlab
from ferlab.bundle import save_bundle
from ferlab.cli import main
from ferlab.errors import printable

from .conftest import LABELS, untrained

NAMES = ["a ü.png", "b,c=d.jpg", "日本.PNG"]


@pytest.fixture
def expected(bundle, crops):
    """Probabilities of each picture by name of the label, computed without the command."""
    answers = []
    for name in NAMES:
        image = cv2.imdecode(np.fromfile(crops / name, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        logits = bundle.logits(bundle.spec.prepare(np.ascontiguousarray(image))[None])["expression"][0] / 1.5
        shares = np.exp(logits - logits.max(), dtype=np.float64)
        answers.append(dict(zip(LABELS, shares / shares.sum(), strict=True)))
    return answers


def predict(tmp_path, source, *overrides):
    return main(["predict", f"bundle={tmp_path / 'run' / 'bundle'}", f"source={source}", *overrides])


def test_json_is_one_document_with_the_top_labels(tmp_path, crops, expected, capsys, bundle):
    assert predict(tmp_path, crops, "format=json", "top=2") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bundle"] == bundle.spec.digest
    assert [face["source"] for face in document["faces"]] == [str(crops / name) for name in NAMES]
    for face, shares in zip(document["faces"], expected, strict=True):
        best = sorted(shares, key=shares.get, reverse=True)[:2]
        assert list(face["expression"]) == best
        assert list(face["expression"].values()) == pytest.approx([shares[name] for name in best], rel=1e-4)


def test_python_answers_with_the_same_bits(tmp_path, crops, bundle, capsys):
    assert predict(tmp_path, crops, "format=json", "top=8") == 0
    said = [face["expression"] for face in json.loads(capsys.readouterr().out)["faces"]]
    answers = ferlab.load(tmp_path / "run").predict([crops / name for name in NAMES])
    assert [list(answer.expression.items()) for answer in answers] == [list(face.items()) for face in said]


def test_what_a_folder_holds_beside_pictures_is_counted(tmp_path, crops, bundle, capsys):
    (crops / "more").mkdir()
    (crops / "gone.png").symlink_to("nowhere")
    assert predict(tmp_path, crops, "format=csv") == 0
    told = capsys.readouterr()
    said = "1 folders and 1 links to nothing and 1 other files; for pictures in folders use"
    assert told.err == f"left out of {crops}: {said} '{escape(str(crops))}/**/*'\n"
    assert len(told.out.splitlines()) == 1 + len(NAMES)


def test_csv_has_a_column_for_every_label_in_order(tmp_path, crops, expected, capsys):
    assert predict(tmp_path, crops, "format=csv", "top=1") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["source", "expression", *LABELS]
    for row, shares in zip(rows, expected, strict=True):
        assert row["expression"] == max(shares, key=shares.get)
        assert [float(row[name]) for name in LABELS] == pytest.approx(list(shares.values()), abs=1e-5)


@pytest.mark.parametrize("first", [*"=+-@", "\t", "\r", "\n"])
def test_csv_holds_no_formulas(tmp_path, crops, bundle, capsys, monkeypatch, first):
    name = f'{first}cmd|" -C calc"!A1.png'
    (crops / NAMES[0]).rename(crops / name)
    monkeypatch.chdir(crops)
    assert predict(tmp_path, "*cmd*", "format=csv") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out, newline=""))
    assert row["source"] == f"'{printable(name)}"
    assert all(0 <= float(row[label]) <= 1 for label in LABELS)


def test_a_label_of_ones_own_is_no_formula_either(tmp_path, crops, capsys):
    save_bundle(untrained(("=1+1", "bored")), tmp_path / "run" / "bundle", {}, "")
    assert predict(tmp_path, crops / NAMES[0], "format=csv") == 0
    assert capsys.readouterr().out.startswith("source,expression,'=1+1,bored\n")


def test_table_reads_well_when_piped(tmp_path, crops, expected, capsys):
    long = tmp_path / ("deep" * 20) / NAMES[0]
    long.parent.mkdir()
    (crops / NAMES[0]).rename(long)
    assert predict(tmp_path, long) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert str(long) in out
    assert all(len(line) < 400 for line in out.splitlines())
    best = sorted(expected[0].items(), key=lambda item: item[1], reverse=True)
    assert all(f"{name} {100 * share:.1f}" in out for name, share in best[:3])
    assert best[3][0] not in out
    assert "margin 0" in out


def test_a_glob_finds_files_in_folders_with_awkward_names(tmp_path, crops, expected, capsys):
    assert predict(tmp_path, f"{tmp_path}/**/*ü*.png", "format=json") == 0
    assert [face["source"] for face in json.loads(capsys.readouterr().out)["faces"]] == [str(crops / NAMES[0])]


def test_an_unreadable_picture_is_named_and_nothing_is_printed(tmp_path, bundle, crops, capsys):
    (crops / "broken.png").write_bytes(b"\x89PNG")
    assert predict(tmp_path, crops, "format=csv") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{crops / 'broken.png'} must be a picture" in captured.err


def test_a_file_that_a_glob_names_is_not_skipped(tmp_path, bundle, crops, capsys):
    assert predict(tmp_path, f"{tmp_path}/Gesichter*/*") == 1
    assert "notes.txt must be a picture" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["nothing/*.png", "nowhere.png"])
def test_nothing_found_says_what_was_looked_for(tmp_path, bundle, capsys, source):
    assert predict(tmp_path, source) == 1
    assert f"matching '{source}'" in capsys.readouterr().err


def test_a_folder_without_pictures_says_which_suffixes(tmp_path, bundle, capsys):
    (tmp_path / "empty").mkdir()
    assert predict(tmp_path, tmp_path / "empty") == 1
    assert ".jpeg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "code", "said"),
    [
        ("format=josn", 2, "did you mean 'json'"),
        ("top=0", 2, "top must be at least 1"),
        ("tops=1", 2, "did you mean 'top'"),
        ("bundle=nowhere", 1, "got none in nowhere"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path, bundle, crops, capsys, override, code, said):
    assert predict(tmp_path, crops, override) == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_valence_and_arousal_stand_beside_or_alone(tmp_path, crops, capsys):
    for labels, columns in ((LABELS, ["expression", *LABELS]), ((), [])):
        made = untrained(labels, affect=True)
        save_bundle(made, tmp_path / "run" / "bundle", {}, "")
        assert predict(tmp_path, crops / NAMES[1], "format=csv") == 0
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert list(rows[0]) == ["source", *columns, "valence", "arousal"]
        image = cv2.imdecode(np.fromfile(crops / NAMES[1], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        answer = made.predict(np.ascontiguousarray(image))
        assert float(rows[0]["valence"]) == pytest.approx(answer.valence, abs=1e-5)
        assert predict(tmp_path, crops / NAMES[1]) == 0
        out = capsys.readouterr().out
        assert f"{answer.arousal:+.2f}" in out
        assert ("expression, %" in out) == bool(labels)
        assert predict(tmp_path, crops / NAMES[1], "format=json") == 0
        face = json.loads(capsys.readouterr().out)["faces"][0]
        assert list(face) == ["source", *(["expression"] if labels else []), "valence", "arousal"]
        assert face["valence"] == pytest.approx(answer.valence, abs=1e-5)
