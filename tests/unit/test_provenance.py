import re
import subprocess
import sys

import pytest

from ferlab import provenance


def fake(monkeypatch, root, checkout):
    module = root / "src" / "ferlab" / "provenance.py"
    module.parent.mkdir(parents=True)
    module.touch()
    monkeypatch.setattr(provenance, "__file__", str(module))
    if checkout:
        for command in (
            ["init", "-q"],
            ["add", "."],
            ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "m"],
        ):
            subprocess.run(["git", "-C", str(root), *command], check=True)
    return module


def test_commit_of_a_checkout_and_whether_it_was_changed(tmp_path, monkeypatch):
    module = fake(monkeypatch, tmp_path, checkout=True)
    assert re.fullmatch("[0-9a-f]{12}", provenance.commit())
    module.write_text("changed")
    assert re.fullmatch(r"[0-9a-f]{12}\+changes", provenance.commit())


def test_an_installed_package_inside_another_repository_has_no_commit(tmp_path, monkeypatch):
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    fake(monkeypatch, tmp_path / "site", checkout=False)
    assert provenance.commit() is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/env/bin/ferlab", "train", "data.labels=[fear, anger]"], "ferlab train 'data.labels=[fear, anger]'"),
        (["/env/site-packages/ferlab/__main__.py", "train"], "ferlab train"),
        (["study.py", "--fast"], "python study.py --fast"),
    ],
    ids=["ferlab", "python -m ferlab", "a script that calls ferlab.train"],
)
def test_the_command_that_is_noted_can_be_typed_again(monkeypatch, arguments, said):
    monkeypatch.setattr(sys, "argv", arguments)
    assert provenance.command_line() == said
