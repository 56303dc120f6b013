"""What MLflow gets of an export, and that a tracker in trouble never stops one."""

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest

from ferlab import formats
from ferlab.bundle import save_bundle
from ferlab.cli import main
from ferlab.formats.interface import WRITTEN
from ferlab.training.folder import RunFolder

from .conftest import untrained

TINY = [
    "data=synthetic", "data.train=48", "data.validation=256", "data.test=0", "data.size=24", "model=small_resnet",
    "model.size=16", "model.options.width=4", "augment=batched", "trainer.batch_size=16", "trainer.epochs=1",
    "trainer.threads=1", "tracker.model=false",
]  # fmt: skip
DRAWN = ["data.train=48", "data.validation=256", "data.test=0", "data.size=24", "format=onnx"]

pytestmark = [
    pytest.mark.usefixtures("in_tmp"),
    # mlflow's own code warns of its dependencies' deprecations while it logs a model.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def client():
    return mlflow.MlflowClient(tracking_uri=f"sqlite:///{Path('mlruns/mlflow.db').absolute()}")


def only_run(outputs="outputs"):
    (path,) = Path(outputs).glob("*/*")
    return RunFolder(path)


def test_an_export_is_logged_to_the_run_that_trained_the_bundle(tmp_path, capsys):
    assert main(["train", *TINY]) == 0
    folder = only_run()
    run_id = folder.read_record()["mlflow_run"]
    client().set_terminated(run_id, "KILLED")  # how a run ended is not changed by what is logged later
    assert main(["export", f"bundle={folder.path}", *DRAWN, "register=faces"]) == 0
    assert "MLflow" not in capsys.readouterr().out
    run = client().get_run(run_id)
    assert run.info.status == "KILLED"
    assert {a.path for a in client().list_artifacts(run_id, "exports")} == {
        f"exports/{name}" for name in ("model.onnx", "parity.json", "past.bin", *WRITTEN)
    }
    parity = json.loads((folder.path / "exports" / "parity.json").read_text())["files"]["model.onnx"]["parity"]
    assert run.data.metrics["export/onnx/agreement"] == parity["agreement"] == 1
    assert run.data.metrics["export/onnx/accuracy"] == parity["accuracy"]["file"]
    assert run.data.metrics["export/onnx/worst"] == parity["worst"]
    assert [m.step for m in client().get_metric_history(run_id, "epoch")] == [1]  # the training's own
    assert len(client().search_runs([run.info.experiment_id])) == 1
    logged = Path(mlflow.artifacts.download_artifacts(
        run_id=run_id, artifact_path="exports", tracking_uri=client().tracking_uri, dst_path=str(tmp_path / "got")
    ))  # fmt: skip
    assert (logged / "model.onnx").read_bytes() == (folder.path / "exports" / "model.onnx").read_bytes()
    # What is registered is served as it was exported.
    mlflow.set_tracking_uri(client().tracking_uri)
    model = mlflow.pyfunc.load_model("models:/faces/1")
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 16, 16), dtype=np.uint8)
    expected = formats.read(folder.path / "exports" / "model.onnx").answers(images)["expression"]
    np.testing.assert_allclose(model.predict(images)["expression"], expected, atol=1e-6)
    mlflow.set_tracking_uri(None)  # else MLFLOW_TRACKING_URI names the store from here on
    # Nothing is sent to a store that is not here, and nothing is created for it.
    Path("mlruns").rename("elsewhere")
    assert main(["export", f"bundle={folder.path}", *DRAWN]) == 0
    assert "the training's mlruns/ is not in this folder" in capsys.readouterr().out
    assert not Path("mlruns").exists()


@pytest.fixture
def bundle_alone(tmp_path):
    """A bundle that no run of MLflow made."""
    save_bundle(untrained(provenance={"dataset": "synthetic"}), tmp_path / "alone" / "bundle", {}, "")
    return tmp_path / "alone"


@pytest.fixture
def copying(bundle_alone, monkeypatch):
    """Exporting copies what was exported before."""
    from ferlab.formats import onnx

    assert main(["export", f"bundle={bundle_alone}", *DRAWN, f"out={bundle_alone / 'first'}"]) == 0
    data = (bundle_alone / "first" / "model.onnx").read_bytes()
    shutil.rmtree(bundle_alone / "first")
    monkeypatch.setattr(onnx, "write", lambda bundle, seal, path, calibration, way: path.write_bytes(data))


@pytest.mark.usefixtures("copying")
def test_a_bundle_without_a_run_is_logged_only_where_somebody_says(bundle_alone, capsys):
    export = ["export", f"bundle={bundle_alone}", *DRAWN]
    assert main(export) == 0
    assert not Path("mlruns").exists()
    assert main([*export, "register=faces"]) == 2
    assert "register needs MLflow" in capsys.readouterr().err
    assert main([*export, "tracker=none", "register=faces"]) == 2
    assert main([*export, "tracker=mlflow", "tracker.experiment=exports"]) == 0
    (run,) = client().search_runs([client().get_experiment_by_name("exports").experiment_id])
    assert (run.info.run_name, run.info.status) == ("alone_export", "FINISHED")
    assert run.data.metrics["export/onnx/agreement"] == 1


@pytest.mark.usefixtures("copying")
def test_a_dead_server_never_stops_an_export(bundle_alone, capsys):
    record = {"mlflow_run": "0" * 32}
    (bundle_alone / "run.json").write_text(json.dumps(record))
    (bundle_alone / "config.yaml").write_text(
        "tracker: {name: mlflow, uri: 'http://127.0.0.1:9', experiment: ferlab}\n"
    )
    assert main(["export", f"bundle={bundle_alone}", *DRAWN]) == 0
    out = capsys.readouterr().out
    assert (
        "the training was tracked at 'http://127.0.0.1:9', which neither conf/ nor this command names: nothing is"
        in out
    )
    assert "MLflow at" not in out
    assert main(["export", f"bundle={bundle_alone}", *DRAWN, "tracker=mlflow", "tracker.uri=http://127.0.0.1:9"]) == 0
    out = capsys.readouterr().out
    assert out.count("MLflow at http://127.0.0.1:9 failed") == 1
    assert "the files are written" in out
    assert (bundle_alone / "exports" / "model.onnx").is_file()
    (bundle_alone / "config.yaml").unlink()
    assert main(["export", f"bundle={bundle_alone}", *DRAWN]) == 0
    assert "cannot be told" in capsys.readouterr().out
