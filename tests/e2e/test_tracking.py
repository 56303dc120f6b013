"""What reaches MLflow, and that a tracker in trouble never stops a run."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

import ferlab
from ferlab.cli import main
from ferlab.train.folder import RunFolder
from ferlab.train.tracking import Tracker, TrackerOptions, flatten

TINY = [
    "data=synthetic", "data.train=48", "data.validation=24", "data.test=8", "data.size=24", "model=small_resnet",
    "model.size=16", "model.options.width=4", "augment=batched", "trainer.batch_size=16", "trainer.epochs=2",
    "trainer.threads=1",
]  # fmt: skip


pytestmark = pytest.mark.usefixtures("in_tmp")


def client() -> mlflow.MlflowClient:
    return mlflow.MlflowClient(tracking_uri=f"sqlite:///{Path('mlruns/mlflow.db').absolute()}")


def history(run_id: str, name: str) -> list[tuple[int, float]]:
    return sorted((m.step, m.value) for m in client().get_metric_history(run_id, name))


# mlflow's own code warns of its dependencies' deprecations while it logs a model.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_mlflow_gets_all_that_is_needed_to_compare_and_repeat_a_run() -> None:
    assert main(["train", *TINY, "name=tracked", "--debug"]) == 0
    (path,) = Path("outputs").glob("*/*_tracked")
    folder = RunFolder(path)
    run_id = folder.read_record()["mlflow_run"]
    run = client().get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == path.name
    parameters = run.data.params
    record = folder.read_record()
    assert parameters["trainer.epochs"] == "2"
    assert parameters["run.data_digest"] == record["data_digest"]
    assert parameters["run.spec_digest"] == record["spec_digest"]
    assert parameters["run.counts.train"] == "48"
    assert parameters["run.environment.packages.torch"] == torch.__version__.split("+")[0]
    assert run.data.tags["git_commit"] == record["commit"]
    rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    for name in ("train/loss", "validation/accuracy", "train/lr"):
        assert history(run_id, name) == [(1, rows[0][name]), (2, rows[1][name])]
    artifacts = {a.path for a in client().list_artifacts(run_id)}
    assert {"curves.png", "confusion.png", "config.yaml", "run.json", "metrics.jsonl"} <= artifacts
    # The logged model has a signature and answers as the bundle does.
    mlflow.set_tracking_uri(f"sqlite:///{Path('mlruns/mlflow.db').absolute()}")
    (logged,) = mlflow.search_logged_models(experiment_ids=[run.info.experiment_id], output_format="list")
    model = mlflow.pyfunc.load_model(logged.model_uri)
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 1, 16, 16)
    faces = np.random.default_rng(0).integers(0, 256, (3, 1, 16, 16), dtype=np.uint8)
    bundle = ferlab.load_bundle(path)
    scaled = torch.from_numpy(bundle.logits(faces)["expression"]) / bundle.spec.temperature
    np.testing.assert_allclose(model.predict(faces)["expression"], scaled.softmax(1).numpy(), atol=1e-6)


def test_a_resumed_run_is_one_mlflow_run_with_each_epoch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log_epochs = Tracker.log_epochs

    def die(tracker: Tracker, rows) -> None:
        if rows and rows[0]["epoch"] == 2:
            raise KeyboardInterrupt  # after the checkpoint, before MLflow hears of the epoch
        log_epochs(tracker, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "log_epochs", die)
        assert main(["train", *TINY, "trainer.epochs=3", "tracker.model=false"]) == 130
    (path,) = Path("outputs").glob("*/*")
    run_id = RunFolder(path).read_record()["mlflow_run"]
    assert [step for step, _ in history(run_id, "epoch")] == [1]
    assert main(["train", f"resume={path}", "--debug"]) == 0
    assert RunFolder(path).read_record()["mlflow_run"] == run_id
    assert [step for step, _ in history(run_id, "epoch")] == [1, 2, 3]
    assert len(client().search_runs([client().get_run(run_id).info.experiment_id])) == 1


def test_a_dead_server_never_stops_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *TINY, "tracker.uri=http://127.0.0.1:9", "--debug"]) == 0
    out = capsys.readouterr().out
    assert out.count("MLflow at http://127.0.0.1:9 failed") == 1
    (path,) = Path("outputs").glob("*/*")
    assert len((path / "metrics.jsonl").read_text().splitlines()) == 2
    assert (path / "bundle" / "spec.json").is_file()


def test_what_a_server_missed_is_sent_when_it_is_back(tmp_path: Path) -> None:
    said: list[str] = []
    tracker = Tracker(TrackerOptions(uri=f"sqlite:///{tmp_path}/mlruns/mlflow.db"), said.append)
    tracker.start("run", {"a": {"train: no FER+ picture": 1}}, {}, None, [])
    healthy = tracker._client
    assert healthy.get_run(tracker.run_id).data.params == {"a.train_ no FER_ picture": "1"}

    class Down:
        def log_batch(self, *arguments, **named):
            raise ConnectionError("refused")

    tracker.log_epochs([{"epoch": 1, "loss": 3.0}])
    tracker._client = Down()
    tracker.log_epochs([{"epoch": 2, "loss": 2.0}])
    tracker.log_epochs([{"epoch": 3, "loss": 1.0}])
    tracker._client = healthy
    tracker.log_epochs([{"epoch": 4, "loss": 0.5}])
    values = sorted((m.step, m.value) for m in healthy.get_metric_history(tracker.run_id, "loss"))
    assert values == [(1, 3.0), (2, 2.0), (3, 1.0), (4, 0.5)]
    assert len(said) == 1
    assert "training goes on" in said[0]


def test_nested_parameters_get_dotted_names() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": 2}}, "e": [3]}) == {"a.b": 1, "a.c.d": 2, "e": [3]}
