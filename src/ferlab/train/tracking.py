"""MLflow, one call an epoch. Whatever happens to it, training goes on, and what it missed is sent later."""

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferlab.errors import ConfigError, suggest

TRACKERS = ("mlflow", "none")
# Set unless the user did. A server that does not answer costs seconds, not the minutes that MLflow waits by default.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass
class TrackerOptions:
    """Keys of conf/tracker/*.yaml.

    Attributes:
        name: mlflow or none.
        uri: where MLflow keeps runs; null is mlruns/mlflow.db in the working directory.
        experiment: MLflow's name for a group of runs.
        model: also log the bundle as an MLflow model.
    """

    name: str = "mlflow"
    uri: str | None = None
    experiment: str = "ferlab"
    model: bool = True

    def __post_init__(self) -> None:
        if self.name not in TRACKERS:
            raise ConfigError(f"unknown tracker '{self.name}'; {suggest(self.name, TRACKERS)}")

    @property
    def address(self) -> str:
        """The store's URI, absolute: MLflow's own default follows the working directory."""
        return self.uri or f"sqlite:///{(Path('mlruns') / 'mlflow.db').absolute()}"


class Tracker:
    """A run in MLflow, or none at all.

    Args:
        options: see there.
        say: prints one line, used when MLflow fails.
        nevertheless: the end of that line: what goes on without MLflow.
    """

    def __init__(
        self,
        options: TrackerOptions,
        say: Callable[[str], None],
        nevertheless: str = "training goes on, see metrics.jsonl",
    ) -> None:
        self.options = options
        self.run_id: str | None = None
        self._say, self._nevertheless = say, nevertheless
        self._failed = False
        self._client: Any = None
        self._pending: list[Mapping[str, float]] = []

    def start(
        self,
        name: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
        run_id: str | None,
        earlier: Sequence[Mapping[str, float]],
    ) -> None:
        """Open a run, or the one called `run_id` again; it gets those of the earlier epochs that it lacks."""
        if self.options.name == "none":
            return
        self._pending = list(earlier)
        self._guarded(lambda: self._open(name, parameters, tags, run_id))
        self.log_epochs([])

    def attach(self, run_id: str) -> None:
        """Add to a run that has ended; how it ended stays as it is."""
        if self.options.name == "none":
            return

        def open_again() -> None:
            client = self._connect()
            client.get_run(run_id)
            self.run_id, self._client = run_id, client

        self._guarded(open_again)

    def _connect(self) -> Any:
        for key, value in SETTINGS.items():
            os.environ.setdefault(key, value)
        import mlflow

        for noisy in ("alembic", "mlflow"):  # advice, and a line for every database migration
            logging.getLogger(noisy).setLevel(logging.ERROR)
        uri = self.options.address
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)

    def _open(self, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str], run_id: str | None) -> None:
        from mlflow.entities import Param

        client = self._connect()
        if run_id is not None:
            client.update_run(run_id, status="RUNNING")
            seen = {metric.step for metric in client.get_metric_history(run_id, "epoch")}
            self._pending = [row for row in self._pending if row["epoch"] not in seen]
            self.run_id = run_id
        else:
            found = client.get_experiment_by_name(self.options.experiment)
            experiment = found.experiment_id if found else client.create_experiment(
                self.options.experiment, artifact_location=_artifacts(self.options.address)
            )  # fmt: skip
            self.run_id = client.create_run(experiment, run_name=name, tags=dict(tags)).info.run_id
            # MLflow takes few characters in a name, and 6000 in a value.
            names = {key: re.sub(r"[^\w\-./ ]", "_", key) for key in flatten(parameters)}
            flat = [Param(names[key], str(value)[:6000]) for key, value in flatten(parameters).items()]
            client.log_batch(self.run_id, params=flat)
        self._client = client

    def log_epochs(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Send metrics of finished epochs, with those that could not be sent before, in one call."""
        self._pending += rows
        if self._client is None or not self._pending:
            return
        sent = list(self._pending)
        if self._guarded(lambda: self._send(sent)):
            self._pending = self._pending[len(sent) :]

    def _send(self, rows: Sequence[Mapping[str, float]]) -> None:
        self._send_metrics([(name, value, int(row["epoch"])) for row in rows for name, value in row.items()])

    def _send_metrics(self, values: Sequence[tuple[str, float, int]]) -> None:
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value, step in values]
        for start in range(0, len(metrics), 1000):  # MLflow's limit for a call
            self._client.log_batch(self.run_id, metrics=metrics[start : start + 1000])

    def log_results(self, results: Mapping[str, float]) -> None:
        """Send numbers that belong to no epoch."""
        if self._client is not None:
            self._guarded(lambda: self._send_metrics([(name, value, 0) for name, value in results.items()]))

    def log_files(self, files: Sequence[Path], folder: str | None = None) -> None:
        """Attach files or folders to the run, in a folder of its artifacts or at their top."""
        if self._client is not None:
            for file in files:
                send = self._client.log_artifacts if file.is_dir() else self._client.log_artifact
                self._guarded(lambda send=send, file=file: send(self.run_id, str(file), folder))  # type: ignore[misc]

    def log_model(self, bundle: Path, inputs: Any, outputs: Any) -> None:
        """Log the bundle as an MLflow model whose code is a file of ferlab's: nothing is pickled."""
        if self._client is not None and self.options.model:
            from ferlab.train.mlflow_model import log_bundle

            self._guarded(lambda: log_bundle(self.options.address, str(self.run_id), bundle, inputs, outputs))

    def register(self, name: str, file: Path, extra: str | None, inputs: Any, outputs: Any) -> None:
        """Log an exported file as an MLflow model, and put it in the registry as the next version of `name`."""
        if self._client is not None:
            from ferlab.train.mlflow_model import log_bundle

            def send() -> None:
                status = self._client.get_run(self.run_id).info.status
                try:
                    log_bundle(self.options.address, str(self.run_id), file, inputs, outputs, extra, name)
                finally:
                    self._client.update_run(self.run_id, status=status)  # MLflow has called it finished

            self._guarded(send)

    def finish(self, status: str) -> None:
        """Close the run as FINISHED, KILLED or FAILED."""
        self.log_epochs([])
        if self._client is not None:
            self._guarded(lambda: self._client.set_terminated(self.run_id, status))

    def _guarded(self, call: Callable[[], None]) -> bool:
        """Run `call`; a failure is said once and never stops training."""
        try:
            call()
            return True
        except Exception as error:  # any server, database or network error: MLflow raises all kinds
            if not self._failed:
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                self._say(f"MLflow at {self.options.address} failed ({reason}); {self._nevertheless}")
            self._failed = True
            return False


def _artifacts(uri: str) -> str | None:
    """Where pictures and bundles go: beside a local database, else where the server says."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).parent / "artifacts").absolute().as_uri()


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
