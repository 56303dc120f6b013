"""Commands on files and folders whose names look like markup, or hold what would move a cursor."""

import json
import os
import shutil

import pytest

from ferlab.cli import main

NAME = "[old] \x1b[31mx [/y]"  # a folder, and what lies in it
SHOWN = r"[old] \x1b[31mx [/y]"
CONTROL = [chr(number) for number in (*range(10), *range(11, 32), *range(127, 160))]


@pytest.fixture
def printed(capsys):
    """Run a command: what it prints, in which nothing moves a cursor, on both streams."""

    def run(*words, code=0):
        assert main(list(words)) == code
        captured = capsys.readouterr()
        assert not [c for c in captured.out + captured.err if c in CONTROL]
        return captured.out + captured.err

    return run


@pytest.fixture
def named(bundle, tmp_path, crops):
    """A bundle in a run's folder, and a picture, both with such a name."""
    run = tmp_path / NAME
    run.parent.mkdir()
    shutil.move(tmp_path / "run", run)
    picture = run / "[bold].png"
    shutil.copy(crops / "a ü.png", picture)
    return run / "bundle", picture


def test_predict_shows_names_as_they_are(named, printed):
    folder, picture = named
    words = ["predict", f"bundle={folder}", f"source={picture}"]
    assert f"{SHOWN}/[bold].png" in printed(*words)
    assert f"{SHOWN}/[bold].png" in printed(*words, "format=csv")
    text = printed(*words, "format=json")
    assert json.loads(text)["faces"][0]["source"] == str(picture)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_a_name_that_is_no_unicode_is_shown(bundle, crops, tmp_path, printed):
    picture = tmp_path / "faces" / os.fsdecode(b"caf\xe9.png")
    picture.parent.mkdir()
    shutil.copy(crops / "a ü.png", picture)
    words = ["predict", f"bundle={tmp_path / 'run'}", f"source={picture.parent}"]
    assert r"caf\udce9.png" in printed(*words)
    assert r"caf\udce9.png" in printed(*words, "format=csv")
    assert json.loads(printed(*words, "format=json"))["faces"][0]["source"] == str(picture)


def test_evaluate_and_compare_show_names_as_they_are(named, fer2013_root, tmp_path, printed):
    folder, _ = named
    shutil.copytree(folder, tmp_path / "other" / "bundle")
    data = ["data=fer2013", f"data.root={fer2013_root}", "bootstrap=50"]
    assert f"{SHOWN}/evaluation" in printed("evaluate", f"bundle={folder}", *data)
    bundles = f"bundles={[str(folder), str(tmp_path / 'other')]}".replace("\\x1b", "\x1b")
    shown = printed("compare", bundles, *data, f"out={tmp_path / '[/out]'}")
    assert "y]" in shown
    assert "[/out]/compare.html" in shown


def test_messages_of_errors_show_names_as_they_are(named, printed):
    folder, _ = named
    assert f"{SHOWN}/bundle/nothing" in printed("predict", f"bundle={folder}", f"source={folder}/nothing", code=1)
    assert f"{SHOWN}/nowhere" in printed("evaluate", f"bundle={folder.parent}/nowhere", code=1)
