"""The data commands from the words on the command line to files, screen and exit code."""

import json

import cv2
import numpy as np
import pytest

from ferlab.cli import main
from ferlab.commands.data import _verdict
from ferlab.data.fer2013 import fer2013
from ferlab.data.layouts import LAYOUTS
from ferlab.data.layouts import write as write_layout
from ferlab.data.source import Source, Split
from ferlab.data.synthetic import DrawnImages
from ferlab.data.verify import verify

# Layout -> how to read it, where that is not data=<layout>.
READERS = {
    "icml_face_data": ["data=fer2013"],
    "kaggle": ["data=fer2013"],
    "rafdb_original": ["data=rafdb", "data.pictures=original"],
    "rafdb_kaggle": ["data=rafdb"],
    "affectnet_csv": ["data=affectnet"],
    "affectnet_annotations": ["data=affectnet"],
}
SMALL = ["train=30", "validation=12", "test=9"]


@pytest.fixture
def written(tmp_path, capsys):
    """A function that writes a layout through the command line and returns its folder."""

    def write(layout, *more):
        folder = tmp_path / layout
        assert main(["data", "write", f"layout={layout}", f"out={folder}", *SMALL, *more]) == 0
        assert str(folder) in capsys.readouterr().out
        return folder

    return write


def looks_drawn(path):
    """Whether a picture of some size with something on it lies at `path`."""
    image = cv2.imread(str(path))
    return image is not None and min(image.shape[:2]) > 150 and image.std() > 15


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_that_is_written_is_read_shown_and_verified(written, layout, tmp_path, capsys):
    folder = written(layout)
    words = [*READERS.get(layout, [f"data={layout}"]), f"data.root={folder}", f"out={tmp_path / 'out'}"]
    assert main(["data", "show", *words]) == 0
    shown = capsys.readouterr().out
    for name in ("classes.png", "samples.png", "means.png"):
        assert str(tmp_path / "out" / name) in shown
        assert looks_drawn(tmp_path / "out" / name)
    expected = 0 if layout == "imagefolder" else 1  # the others have official counts, which 51 faces do not reach
    assert main(["data", "verify", *words]) == expected
    report = json.loads((tmp_path / "out" / "verify.json").read_text())
    assert report["failed"] == bool(expected)
    assert report["unreadable"] == []
    assert report["copies"] == []
    faces = sum(sum(counts.values()) for counts in report["counts"].values())
    if layout.startswith("affectnet"):
        assert faces + sum(report["dropped"].values()) == 42  # it has no test split
        assert report["dropped"].keys() > {"official train part, none", "official validation part, uncertain"}
        assert looks_drawn(tmp_path / "out" / "affect.png")
    elif layout != "ferplus":
        assert faces == 51


def test_write_takes_its_options(written):
    source = fer2013(str(written("fer2013", "seed=3", "train=5")))
    assert len(source.splits["train"]) == 5
    folder = written("imagefolder", "size=64")
    assert all(cv2.imread(str(p)).shape == (64, 64, 3) for p in folder.rglob("*.png"))


def test_write_says_which_faces_a_layout_has_no_place_for(tmp_path, capsys):
    assert main(["data", "write", "layout=affectnet", f"out={tmp_path / 'a'}", *SMALL]) == 0
    printed = capsys.readouterr().out
    assert "30 train, 12 validation faces, in the layout affectnet" in printed
    assert "no test faces: AffectNet's test part is not public" in printed


def test_verify_says_what_affectnet_leaves_out_and_how_to_select_honestly(written, capsys):
    folder = written("affectnet_csv")
    assert main(["data", "verify", "data=affectnet", f"data.root={folder}"]) == 1
    printed = capsys.readouterr().out
    for words in ("8 → none, left out", "left out, official train part, uncertain: 1", "data.holdout=0.1", "287,651"):
        assert words in printed


def test_write_needs_a_folder_and_a_layout_that_exists(tmp_path, capsys):
    assert main(["data", "write"]) == 2
    assert "'out' must be given" in capsys.readouterr().err
    assert main(["data", "write", f"out={tmp_path / 'x'}", "layout=kagle"]) == 2
    assert "did you mean 'kaggle'" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_write_leaves_a_folder_with_files_alone(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("mine")
    assert main(["data", "write", f"out={tmp_path}", *SMALL]) == 1
    assert "must be a new or an empty folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_verify_prints_counts_mapping_and_why_a_split_is_absent(written, capsys):
    folder = written("kaggle")
    assert main(["data", "verify", "data=fer2013", f"data.root={folder}"]) == 1
    printed = capsys.readouterr().out
    for words in ("angry → 0 anger", "sad → 4 sadness", "28,709 differs", "merges PublicTest and PrivateTest"):
        assert words in printed
    assert "train must have 28,709 pictures, got 30" in printed


def test_verify_lists_unreadable_pictures_and_leaks_and_fails(written, tmp_path, capsys):
    folder = written("imagefolder")
    train = sorted((folder / "train").rglob("*.png"))
    validation = sorted((folder / "validation").rglob("*.png"))
    train[0].write_bytes(b"nothing")
    train[1].write_bytes(train[1].read_bytes()[:90])
    validation[0].write_bytes(train[5].read_bytes())
    face = cv2.imread(str(train[8]))
    near = cv2.imencode(".png", np.clip(face * 0.8 + 20, 0, 255).astype(np.uint8))[1].tobytes()
    validation[1].write_bytes(near)
    out = tmp_path / "out"
    assert main(["data", "verify", "data=imagefolder", f"data.root={folder}", f"out={out}"]) == 1
    printed = capsys.readouterr().out
    assert str(train[0]) in printed
    assert str(train[1]) in printed
    drop = "remove them from one of the two, or set data.copies=drop to train without them"
    assert f"1 of validation (8.3%) have an exact copy in train; {drop}" in printed
    assert "2 of validation (16.7%) have an exact or near copy in train" in printed
    assert "needs mending" in printed
    report = json.loads((out / "verify.json").read_text())
    assert len(report["unreadable"]) == 2
    assert report["exact"] == [[f"train {train[5]}", f"validation {validation[0]}"]]
    assert [pair[:2] for pair in report["near"]] == [[f"train {train[8]}", f"validation {validation[1]}"]]
    assert looks_drawn(out / "duplicates.png")


def test_verify_and_train_say_what_no_split_has_and_no_face_shows(tmp_path, capsys):
    folder = tmp_path / "faces"
    write_layout("imagefolder", folder, train=40, validation=16, test=0, size=24)
    lost = len(list((folder / "train" / "fear").rename(folder / "fear").iterdir()))
    words = ["data=imagefolder", f"data.root={folder}"]
    assert main(["data", "verify", *words, f"out={tmp_path}/out"]) == 1
    said = capsys.readouterr().out
    unread = f"{lost} pictures in {folder}/fear/ are in no split; move them, or away from there"
    unlearnable = "no face to train on is labelled fear"
    assert f"unread {unread}\ntrain {unlearnable}\n" in said
    assert said.splitlines()[-2] == "needs mending"
    report = json.loads((tmp_path / "out" / "verify.json").read_text())
    assert (report["unread"], report["unlearnable"], report["untrainable"]) == (
        {f"{folder}/fear/": lost},
        ["fear"],
        None,
    )
    tiny = ["model.options.width=4", "trainer.epochs=1", "tracker=none", "model.size=16", "trainer.batch_size=20"]
    assert main(["train", *words, *tiny, f"outputs={tmp_path}/outputs"]) == 0
    said = capsys.readouterr().out
    assert f"warning: {unread}\n" in said
    assert f"warning: {unlearnable}\n" in said


def test_verify_is_silent_about_files_that_nobody_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "verify", "data=synthetic", "data.train=80", "data.validation=5", "data.test=5"]) == 0
    assert "\nsound\n" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_show_writes_to_outputs_by_default_and_copes_with_a_missing_class(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["data.train=3", "data.validation=0", "data.test=2"]  # three faces cannot show eight classes
    assert main(["data", "show", "data=synthetic", *words]) == 0
    names = {p.name for p in (tmp_path / "outputs" / "data" / "synthetic").iterdir()}
    assert names == {"classes.png", "samples.png", "means.png", "affect.png"}


def test_names_with_brackets_are_printed_as_they_are(tmp_path, capsys):
    folder = tmp_path / "[red]faces[/y]"
    path = folder / "train" / "happy" / "[bold]\x1b[31m.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert main(["data", "verify", "data=imagefolder", f"data.root='{folder}'"]) == 1
    assert str(path).replace("\x1b", "\\x1b") in capsys.readouterr().out


@pytest.mark.parametrize("command", ["verify", "show"])
def test_a_missing_dataset_is_one_line_that_says_what_to_do(command, tmp_path, capsys):
    assert main(["data", command, "data=ferplus", f"data.root={tmp_path}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("ferlab: ferplus needs fer2013.csv and fer2013new.csv")
    assert error.count("\n") == 1


def test_help_names_the_keys(capsys):
    assert main(["data", "write", "--help"]) == 0
    assert "layout=fer2013" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("official", "droppable", "said"),
    [
        ({"train": 2, "validation": 1}, True, "leak {}: the dataset was published so; say it beside a score"),
        ({"train": 2}, True, "leak {}: a split was cut off here, face by face; say it beside a score"),
        ({}, True, "leak {}; remove them from one of the two, or set data.copies=drop to train without them"),
        ({}, False, "leak {}; remove them from one of the two"),
    ],
)
def test_a_leak_says_whose_it_is(official, droppable, said):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    pixels[2] = pixels[0]
    train, validation = (
        Split(name, DrawnImages(pixels[rows], name), np.zeros(len(pixels[rows]), np.int64))
        for name, rows in (("train", slice(2)), ("validation", slice(2, 3)))
    )
    splits = {"train": train, "validation": validation}
    source = Source("copied", ("anger", "fear"), splits, "as drawn", "free", official=official)
    leak = "1 of validation (100.0%) have an exact copy in train"
    assert said.format(leak) in list(map(str, _verdict(verify(source), droppable)))
