import csv
import io
import json
import shutil
from glob import escape
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pandas as pd
import pytest

import ferlab
from ferlab.bundle import save_bundle
from ferlab.cli import main
from ferlab.errors import printable

from .conftest import LABELS, untrained

BOX = ("left", "top", "width", "height")
PHOTOGRAPH = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"  # 512×600; in the public domain
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
    said = "1 folder and 1 dangling link and 1 other file; for pictures in folders use"
    assert told.err == f"left out of {crops}: {said} '{escape(str(crops))}/**/*'\n"
    assert len(told.out.splitlines()) == 1 + len(NAMES)


def test_csv_has_a_column_for_every_label_in_order(tmp_path, crops, expected, capsys):
    assert predict(tmp_path, crops, "format=csv", "top=1") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["source", *BOX, "expression", *LABELS]
    assert {row[side] for row in rows for side in BOX} == {""}  # they are faces, not photographs
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
    assert predict(tmp_path, crops / NAMES[0], "format=csv", "detect=none") == 0
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


def test_an_unreadable_picture_is_named_and_loses_nothing_else(tmp_path, bundle, crops, capsys):
    (crops / "aa.png").write_bytes(b"\x89PNG")
    assert predict(tmp_path, crops, "format=csv") == 1
    captured = capsys.readouterr()
    assert [row["source"] for row in csv.DictReader(io.StringIO(captured.out))] == [str(crops / name) for name in NAMES]
    assert f"left out: {crops / 'aa.png'} must be a picture" in captured.err
    assert "1 picture could not be read; strict=true stops at the first" in captured.err


def test_strict_stops_at_an_unreadable_picture(tmp_path, bundle, crops, capsys):
    (crops / "aa.png").write_bytes(b"\x89PNG")
    assert predict(tmp_path, crops, "format=jsonl", "strict=true") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert (
        captured.err
        == f"ferlab: {crops / 'aa.png'} must be a picture, got 4 bytes that cannot be decoded; replace the file\n"
    )


def test_a_file_that_a_glob_names_is_not_skipped(tmp_path, bundle, crops, capsys):
    assert predict(tmp_path, f"{tmp_path}/Gesichter*/*") == 1
    assert "notes.txt must be a picture" in capsys.readouterr().err


@pytest.fixture
def photographs(tmp_path, crops):
    """The crops, and beside them a photograph of one person, a picture of nobody, and a file that is no picture."""
    shutil.copy(PHOTOGRAPH, crops / "c.jpg")
    cv2.imwrite(str(crops / "d.bmp"), np.full((400, 500, 3), 90, np.uint8))
    (crops / "e.png").write_bytes(b"")
    return crops


def test_large_pictures_are_searched_for_faces_and_all_rows_agree(tmp_path, bundle, photographs, capsys):
    """In every format: the crops as they are, then the face of the photograph with its box, and nobody else."""
    assert predict(tmp_path, photographs, "format=jsonl", "top=8") == 1
    told = capsys.readouterr()
    faces = [json.loads(line) for line in told.out.splitlines()]
    assert [face["source"] for face in faces] == [str(photographs / name) for name in [*NAMES[:2], "c.jpg", NAMES[2]]]
    assert ["box" in face for face in faces] == [False, False, True, False]
    left, top, width, height = faces[2]["box"]
    assert np.abs(np.array([left, top, width, height]) - [160, 110, 220, 220]).max() < 40  # where her face is
    image = cv2.imread(str(photographs / "c.jpg"))[..., ::-1]
    square = np.ascontiguousarray(image[round(top) : round(top + height), round(left) : round(left + width)])
    assert faces[2]["expression"] == pytest.approx(bundle.predict(square).expression, abs=1e-5)
    for line in (
        "faces are sought by haar, which misses many",
        f"left out: {photographs / 'e.png'}",
        "searched 2 pictures, detect=auto: 1 face; 3 smaller pictures taken as one face each",
        f"no face in 1 of 2, {photographs / 'd.bmp'} the first",
        "1 picture could not be read",
    ):
        assert line in told.err
    assert predict(tmp_path, photographs, "format=csv") == 1
    for row, face in zip(csv.DictReader(io.StringIO(capsys.readouterr().out)), faces, strict=True):
        assert row["source"] == face["source"]
        assert [row[side] for side in BOX] == [f"{value:.1f}" for value in face.get("box", [])] or [""] * 4
        assert {name: float(row[name]) for name in LABELS} == pytest.approx(face["expression"], abs=1e-5)
    assert predict(tmp_path, photographs, "format=parquet", f"rows={tmp_path / 'x' / 'f.parquet'}") == 1
    table = pd.read_parquet(tmp_path / "x" / "f.parquet")
    assert list(table.columns) == ["source", *BOX, "expression", *LABELS]
    assert table["source"].tolist() == [face["source"] for face in faces]
    assert table[list(BOX)].loc[2].tolist() == pytest.approx(faces[2]["box"], abs=0.1)
    assert table[list(BOX)].isna().all(axis=1).tolist() == [True, True, False, True]
    assert table["expression"].tolist() == [next(iter(face["expression"])) for face in faces]
    assert table[list(LABELS)].loc[2].to_dict() == pytest.approx(faces[2]["expression"], abs=1e-5)
    capsys.readouterr()
    assert predict(tmp_path, photographs) == 1
    assert f"{left:.0f},{top:.0f} {width:.0f}×{height:.0f}" in capsys.readouterr().out


def test_detect_none_takes_a_photograph_for_a_face_and_haar_searches_a_crop(tmp_path, bundle, photographs, capsys):
    photograph = photographs / "c.jpg"
    assert predict(tmp_path, photograph, "detect=none", "format=json", "top=8") == 0
    (face,) = json.loads(capsys.readouterr().out)["faces"]
    assert face["expression"] == pytest.approx(bundle.predict(photograph).expression, abs=1e-5)
    assert predict(tmp_path, photographs / NAMES[0], "detect=haar", "format=json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["faces"] == []
    assert "no face in 1 of 1" in told.err


def test_annotated_pictures_are_copies_in_another_folder(tmp_path, bundle, photographs, capsys):
    before = {path: path.read_bytes() for path in photographs.iterdir() if path.is_file()}
    assert predict(tmp_path, photographs, f"out={photographs}") == 2
    assert "out must be another folder than that of the pictures" in capsys.readouterr().err
    out = tmp_path / "drawn"
    assert predict(tmp_path, photographs, f"out={out}") == 1
    assert {path.name for path in out.iterdir()} == {*NAMES, "c.jpg", "d.bmp.png"}
    assert {path: path.read_bytes() for path in photographs.iterdir() if path.is_file()} == before
    drawn, plain = (cv2.imread(str(folder / "c.jpg")).astype(int) for folder in (out, photographs))
    assert drawn.shape == plain.shape
    changed = np.argwhere(np.abs(drawn - plain).max(2) > 60)
    assert 40 < changed[:, 0].min() < 140  # the label above the box, not the whole picture
    assert changed[:, 0].max() < 360


def test_every_frame_of_a_video_has_its_rows(tmp_path, bundle, crops, capsys):
    writer = cv2.VideoWriter(str(crops / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (512, 600))
    for image in (PHOTOGRAPH, PHOTOGRAPH, None, PHOTOGRAPH):
        writer.write(np.zeros((600, 512, 3), np.uint8) if image is None else cv2.imread(str(image)))
    writer.release()
    out = tmp_path / "drawn"
    assert predict(tmp_path, crops, "format=csv", f"out={out}") == 0
    told = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(told.out)))
    assert list(rows[0]) == ["source", "frame", "time", "track", *BOX, "expression", *LABELS]
    clip = [row for row in rows if row["source"] == str(crops / "clip.mp4")]
    assert [(row["frame"], row["time"]) for row in clip] == [("0", "0.000"), ("1", "0.040"), ("3", "0.120")]
    assert all(abs(float(row["left"]) - 149) < 25 for row in clip)
    assert {row["track"] for row in clip} == {"0"}  # she was away for a frame
    assert [(row["frame"], row["left"]) for row in rows if row not in clip] == [("", "")] * len(NAMES)
    assert "searched 4 pictures, detect=auto: 3 faces; 3 smaller pictures taken as one face each" in told.err
    assert sorted(path.name for path in (out / "clip.mp4").iterdir()) == [f"{i:06d}.jpg" for i in range(4)]
    assert predict(tmp_path, crops / "clip.mp4", "format=jsonl") == 0
    faces = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(face["frame"], face["time"], face["track"]) for face in faces] == [(0, 0, 0), (1, 0.04, 0), (3, 0.12, 0)]
    assert predict(tmp_path, crops / "clip.mp4", "format=parquet", f"rows={tmp_path / 'f.parquet'}") == 0
    assert pd.read_parquet(tmp_path / "f.parquet")["time"].tolist() == pytest.approx([0, 0.04, 0.12], abs=1e-3)
    assert predict(tmp_path, crops / "clip.mp4") == 0
    assert "0.12" in capsys.readouterr().out


def test_a_video_is_smoothed_to_both_sides(tmp_path, bundle, crops, capsys):
    writer = cv2.VideoWriter(str(crops / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (48, 48))
    for image in np.random.default_rng(1).integers(0, 256, (7, 48, 48, 3), dtype=np.uint8):
        writer.write(image)
    writer.release()

    def shares(*words):
        assert predict(tmp_path, crops / "clip.avi", "detect=none", "format=csv", *words) == 0
        rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
        return np.array([[float(row[name]) for name in LABELS] for row in rows])

    plain, steady = shares(), shares("centred=0.1", f"out={tmp_path / 'drawn'}")  # a frame to each side
    assert np.abs(steady[3] - plain[2:5].mean(0)).max() < 1e-5
    assert np.abs(steady[0] - plain[:2].mean(0)).max() < 1e-5
    assert np.abs(steady[6] - plain[5:].mean(0)).max() < 1e-5
    assert len(list((tmp_path / "drawn" / "clip.avi").iterdir())) == 7


@pytest.mark.parametrize("source", ["0", "rtsp://host/1"])
def test_no_camera_is_smoothed_to_both_sides(tmp_path, bundle, capsys, source):
    assert predict(tmp_path, source, "centred=0.5") == 2
    assert f"got the camera {source}; use ferlab live" in capsys.readouterr().err


def test_a_folder_of_photographs_fills_no_memory(tmp_path, bundle, photographs, monkeypatch):
    monkeypatch.setattr("ferlab.commands.predict.TOGETHER", 10**6)
    sizes = []
    asked = bundle.__class__.predict
    monkeypatch.setattr(bundle.__class__, "predict", lambda self, faces: sizes.append(len(faces)) or asked(self, faces))
    for i in range(4):
        shutil.copy(PHOTOGRAPH, photographs / f"f{i}.jpg")
    assert predict(tmp_path, photographs, "format=csv") == 1
    assert sum(sizes) == 3 + 5
    assert max(sizes) <= 3  # each is 0.9 MB


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
        ("smallest=0", 2, "smallest must be at least 1"),
        ("score=0", 2, "score must be above 0 and at most 1, got 0"),
        ("detect=yunnet", 2, "did you mean 'yunet'"),
        ("centred=11", 2, "centred must be above 0 and at most 10 seconds, got 11"),
        ("centred=0.5", 2, "centred must be for a video, got 3 pictures"),
        ("format=parquet", 2, "set rows=faces.parquet"),
        ("rows=faces.csv", 2, "rows must be a file for format=parquet and for no other, got faces.csv for table"),
        ("tops=1", 2, "did you mean 'top'"),
        ("bundle=nowhere", 1, "the name of a model in the box, got nowhere, which is none"),
        ("bundle=no/where", 1, "got none in no/where"),
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
        assert predict(tmp_path, crops / NAMES[1], "format=csv", "detect=none") == 0
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
