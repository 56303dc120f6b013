"""What reaches MLflow, and that a tracker in trouble never stops a run."""

import contextlib
import json
import socket
import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

import ferlab
from ferlab.cli import main
from ferlab.training import tracking
from ferlab.training.folder import RunFolder
from ferlab.training.tracking import Tracker, TrackerOptions, flatten

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


def test_what_a_server_missed_is_sent_when_it_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "REST", 0.0)
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


def local(folder: Path, say) -> Tracker:
    """A tracker on a database in `folder`, and the store of the test's process beside it."""
    return Tracker(TrackerOptions(uri=f"sqlite:///{folder}/mlflow.db"), say)


def only_run(folder: Path) -> mlflow.entities.Run:
    found = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    (run,) = found.search_runs([found.get_experiment_by_name("ferlab").experiment_id])
    return run


def test_a_store_that_comes_up_later_gets_the_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "REST", 0.0)
    said: list[str] = []
    folder = tmp_path / "store"
    folder.write_text("a file where the store's folder belongs")
    tracker = local(folder, said.append)
    tracker.start("run", {"a": 1}, {}, None, [{"epoch": 1, "loss": 3.0}])
    tracker.log_epochs([{"epoch": 2, "loss": 2.0}])
    assert tracker.run_id is None
    folder.unlink()
    tracker.log_epochs([{"epoch": 3, "loss": 1.0}])
    tracker.finish("FINISHED")
    run = only_run(folder)
    assert (run.info.run_id, run.info.status, run.data.params) == (tracker.run_id, "FINISHED", {"a": "1"})
    found = mlflow.MlflowClient(tracking_uri=tracker.options.address).get_metric_history(tracker.run_id, "loss")
    assert sorted((m.step, m.value) for m in found) == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert len(said) == 1


def test_a_store_that_fails_rests_until_the_end_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "REST", 1e9)
    folder = tmp_path / "store"
    folder.write_text("")
    tracker = local(folder, lambda line: None)
    tracker.start("run", {}, {}, None, [])
    folder.unlink()
    tracker.log_epochs([{"epoch": 1, "loss": 3.0}])
    assert not folder.exists()
    tracker.finish("FINISHED")
    assert only_run(folder).data.metrics == {"epoch": 1.0, "loss": 3.0}


def test_a_run_is_not_made_twice_when_its_making_fails_halfway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "REST", 0.0)
    fails = [True]
    log_batch = mlflow.MlflowClient.log_batch

    def failing(client, *arguments, **named):
        if fails:
            fails.pop()
            raise ConnectionError("reset")
        return log_batch(client, *arguments, **named)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", failing)
    tracker = local(tmp_path / "store", lambda line: None)
    tracker.start("run", {"a": 1}, {}, None, [])
    tracker.finish("FINISHED")
    assert only_run(tmp_path / "store").data.params == {"a": "1"}


@pytest.fixture
def trickling():
    """The address of a server that answers a byte at a time, for ever."""
    over = threading.Event()

    class Trickle(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the first that MLflow asks
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            with contextlib.suppress(OSError):
                while not over.wait(0.05):
                    self.wfile.write(b" ")

        def log_message(self, *arguments) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Trickle)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_server_that_answers_a_byte_at_a_time_costs_its_deadline_twice(
    trickling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "DEADLINE", 0.5)
    monkeypatch.setattr(tracking, "REST", 0.0)
    said: list[str] = []
    tracker = Tracker(TrackerOptions(uri=trickling), said.append)
    tracking._import_mlflow()
    began = time.monotonic()
    tracker.start("run", {}, {}, None, [])
    for epoch in range(1, 20):
        tracker.log_epochs([{"epoch": epoch}])
    tracker.finish("FINISHED")
    assert time.monotonic() - began < 2
    assert said == [
        f"MLflow at {trickling} failed (TimeoutError: no answer in 0.5 s); training goes on, see metrics.jsonl"
    ]


def test_a_locked_database_costs_its_deadline_and_gets_everything_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "store"
    said: list[str] = []
    tracker = local(folder, said.append)
    tracker.start("run", {}, {}, None, [])
    monkeypatch.setattr(tracking, "DEADLINE", 0.5)
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        for epoch in (1, 2, 3):
            tracker.log_epochs([{"epoch": epoch, "loss": 1.0 / epoch}])
        assert time.monotonic() - began < 2
        other.execute("ROLLBACK")
    monkeypatch.setattr(tracking, "DEADLINE", 60.0)
    tracker._running.join()  # the call that was late
    tracker.finish("FINISHED")
    found = mlflow.MlflowClient(tracking_uri=tracker.options.address).get_metric_history(tracker.run_id, "loss")
    assert sorted((m.step, m.value) for m in found) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert len(said) == 1
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_run_whose_store_comes_up_later_knows_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "REST", 0.0)
    Path("mlruns").write_text("")
    log_epochs = Tracker.log_epochs

    def repaired(tracker: Tracker, rows) -> None:
        if rows and rows[0]["epoch"] == 2:
            Path("mlruns").unlink()
        log_epochs(tracker, rows)

    monkeypatch.setattr(Tracker, "log_epochs", repaired)
    assert main(["train", *TINY, "tracker.model=false", "--debug"]) == 0
    (path,) = Path("outputs").glob("*/*")
    run_id = RunFolder(path).read_record()["mlflow_run"]
    assert [step for step, _ in history(run_id, "epoch")] == [1, 2]
    assert client().get_run(run_id).info.status == "FINISHED"


def test_a_runs_folder_does_not_choose_who_hears_of_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert main(["train", *TINY, "trainer.epochs=1", "tracker=none", "--debug"]) == 0
        (path,) = Path("outputs").glob("*/*")
        file = path / "config.yaml"
        honest = file.read_text()
        file.write_text(honest.replace("name: none\n  uri: null", f"name: mlflow\n  uri: {uri}"))
        capsys.readouterr()
        for arguments in ([f"resume={path}"], ["--from", str(path)]):
            assert main(["train", *arguments]) == 2
            said = capsys.readouterr().err
            assert f"config.yaml sends metrics to '{uri}', which neither conf/ nor this command names" in said
            assert said.count("\n") == 1
        with pytest.raises(TimeoutError):
            server.accept()
    assert main(["train", f"resume={path}", "tracker.name=none"]) == 0
    assert main(["train", f"resume={path}", f"tracker.uri={uri}"]) == 0  # who names it is asked no more; it is gone
    assert f"MLflow at {uri} failed" in capsys.readouterr().out


def test_nested_parameters_get_dotted_names() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": 2}}, "e": [3]}) == {"a.b": 1, "a.c.d": 2, "e": [3]}
