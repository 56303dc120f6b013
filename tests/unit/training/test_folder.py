import json

import pytest

from ferlab.errors import TrainingError
from ferlab.training.folder import RunFolder

RECORD = {"data_digest": "0", "spec_digest": "1", "commit": None, "precision": "32-true", "environment": {}}


def test_holding_a_folder_clears_what_a_killed_run_left_there(tmp_path):
    folder = RunFolder(tmp_path)
    folder.config.touch()
    kept = [folder.config, folder.predictions, folder.past]
    for file in kept[1:]:
        file.touch()
        (tmp_path / f".{file.name}.x1y2{file.suffix}").write_text("half")
    with folder.locked():
        assert sorted(tmp_path.iterdir()) == sorted(kept)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "must be what a run wrote"),
        ("[1]", "it must hold keys and values, got a list"),
        ('{"commit": NaN}', "JSON has no NaN"),
        ("[" * 100_000, "it is nested too deep"),
        ('{"data_digest": 3}', "must have text as 'data_digest', got 3"),
        (json.dumps(RECORD | {"environment": [1]}), r"must have keys and values as 'environment', got \[1\]"),
        (json.dumps(RECORD | {"mlflow_run": 3}), "must have text as 'mlflow_run', got 3"),
        (json.dumps(RECORD | {"teacher": {"path": 1}}), "must name a teacher by path and sha256"),
    ],
    ids=lambda text: text[:20],
)
def test_a_record_of_another_shape_is_refused(tmp_path, content, said):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(TrainingError, match=said) as caught:
        RunFolder(tmp_path).read_record()
    assert str(tmp_path / "run.json") in str(caught.value)


def test_a_folder_without_a_record_is_named(tmp_path):
    with pytest.raises(TrainingError, match=r"must be a run's folder, got no run\.json in it"):
        RunFolder(tmp_path).read_record()
    (tmp_path / "run.json").write_text(json.dumps(RECORD))
    assert RunFolder(tmp_path).read_record() == RECORD


@pytest.mark.parametrize(
    "line", ["[1]", "{", '{"epoch": "2"}', '{"epoch": 3}', '{"epoch": NaN}', '{"loss": 1}', "null"]
)
def test_metrics_of_another_shape_are_refused(tmp_path, line):
    folder = RunFolder(tmp_path)
    folder.append({"epoch": 1, "validation/nll": float("nan")})
    with open(folder.metrics, "a") as file:
        file.write(line + "\n")
    assert len(folder.rows(1)) == 1
    with pytest.raises(TrainingError, match=r"metrics\.jsonl must hold the numbers of epoch 2 in line 2, got"):
        folder.rows(2)


def test_a_folder_is_discarded_unless_something_worth_keeping_lies_in_it(tmp_path):
    folder = RunFolder(tmp_path / "day" / "run")
    for kept in (folder.checkpoint, folder.path / "notes.txt", None):
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.write_record({})
        if kept is not None:
            kept.parent.mkdir(exist_ok=True)
            kept.touch()
        folder.discard()
        assert folder.path.exists() == (kept is not None)
        if kept is not None:
            assert kept.exists()
            kept.unlink()
    assert list(tmp_path.iterdir()) == []
