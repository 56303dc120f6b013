"""Where exports are logged when the run of the training is not there, and what MLflow's own variable says."""

import pytest

from ferlab.commands import export_tracking
from ferlab.commands.export_tracking import Tracked, log_exports
from ferlab.training.tracking import TrackerOptions


@pytest.fixture
def calls(monkeypatch):
    """What is asked of a tracker whose store has no such run."""
    asked = []

    class Elsewhere:
        def __init__(self, *arguments):
            pass

        def attach(self, run_id):
            return False

        def __getattr__(self, name):
            return lambda *arguments: asked.append(name)

    monkeypatch.setattr(export_tracking, "Tracker", Elsewhere)
    return asked


@pytest.mark.parametrize("asked", [False, True])
def test_a_copied_run_is_logged_anew_only_where_somebody_asks(calls, tmp_path, capsys, asked):
    row = {"file": "model.onnx", "format": "onnx"}
    row |= {"parity": {"worst": 0.0, "agreement": 1.0, "accuracy": None, "ccc": None}}
    log_exports(Tracked(TrackerOptions("mlflow"), "0" * 32, "run", None, asked), tmp_path, [row], None)
    assert calls == (["start", "log_files", "log_results", "finish"] if asked else [])
    assert capsys.readouterr().out == ""


def test_mlflows_own_variable_names_the_store_where_nothing_else_does(monkeypatch):
    assert TrackerOptions().address.startswith("sqlite:///")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    assert TrackerOptions().address == "http://me:secret@host:5000"
    assert TrackerOptions().shown == "http://…@host:5000, as MLFLOW_TRACKING_URI says"
    named = TrackerOptions(uri="http://other")
    assert (named.address, named.shown, named.environment) == ("http://other", "http://other", None)
