"""MLflow, one call an epoch. Whatever happens to it, training goes on, and what it missed is sent later.

A store can be down, locked, or answer a byte a second. So each call runs in a thread of its own and is waited for no
longer than a deadline; a late one is let finish before there is another; and a store that failed is left alone for
twenty times as long as that took, so that trouble costs a twentieth of the time at most.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from ferlab.catalogue import choice
from ferlab.errors import ConfigError, suggest

TRACKERS = ("mlflow", "none")
# Set unless the user did. A server that does not answer costs seconds, not the minutes that MLflow waits by default.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
DEADLINE = 15.0  # seconds that a call with a few numbers may take
LONG_DEADLINE = 300.0  # one with files, the import of MLflow, and the making of a local database
REST = 20.0  # after a failure the store is left alone for so many times as long as that took


@dataclass
class TrackerOptions:
    """Keys of conf/tracker/*.yaml.

    Attributes:
        name: mlflow or none.
        uri: where MLflow keeps runs; null is what MLFLOW_TRACKING_URI says, or mlruns/mlflow.db here.
        experiment: MLflow's name for a group of runs.
        model: also log the bundle as an MLflow model.
    """

    name: str = choice("mlflow", TRACKERS)
    uri: str | None = None
    experiment: str = "ferlab"
    model: bool = True

    def __post_init__(self) -> None:
        if self.name not in TRACKERS:
            raise ConfigError(f"unknown tracker '{self.name}'; {suggest(self.name, TRACKERS)}")

    @property
    def address(self) -> str:
        """The store's URI, absolute: MLflow's own default follows the working directory."""
        return self.uri or self.environment or f"sqlite:///{(Path('mlruns') / 'mlflow.db').absolute()}"

    @property
    def environment(self) -> str | None:
        """The store that MLflow's own variable names, where nothing else names one."""
        return None if self.uri else os.environ.get("MLFLOW_TRACKING_URI") or None

    @property
    def shown(self) -> str:
        """The store for people: without the password, and with who named it unless the options do."""
        address = without_password(self.address)
        return f"{address}, as MLFLOW_TRACKING_URI says" if self.environment else address


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
        self._failed = self._over = False
        self._client: Any = None
        self._open: Callable[[], None] | None = None
        self._running: Thread | None = None
        self._rests_until = 0.0
        self._seen: set[int] = set()  # epochs that the run had before
        self._pending: list[tuple[Mapping[str, float], int]] = []  # with the time, so that none is new when sent again

    def start(
        self,
        name: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
        run_id: str | None,
        earlier: Sequence[Mapping[str, float]],
    ) -> None:
        """Open a run, or the one called `run_id` again; it gets those of the earlier epochs that it lacks.

        If that fails it is tried again with later epochs, and at the end.
        """
        if self.options.name != "none":
            self._open = lambda: self._begin(name, parameters, tags, run_id)
            self.log_epochs(earlier)

    def attach(self, run_id: str) -> bool:
        """Add to a run that has ended; how it ended stays as it is. False if the store has no such run."""
        there = True

        def open_again() -> None:
            from mlflow.exceptions import MlflowException

            nonlocal there
            client = self._connect()
            try:
                client.get_run(run_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                there, self._open = False, None
            else:
                self.run_id, self._client = run_id, client

        if self.options.name != "none":
            self._open = open_again
            self.log_epochs([])
        return there

    def _connect(self) -> Any:
        import mlflow

        uri = self.options.address
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)

    def _begin(self, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str], run_id: str | None) -> None:
        from mlflow.entities import Param

        client = self._connect()
        if run_id is not None:
            client.update_run(run_id, status="RUNNING")
            self._seen = {metric.step for metric in client.get_metric_history(run_id, "epoch")}
            self.run_id = run_id
        else:
            if self.run_id is None:  # else it was created, and then something failed
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
        now = int(time.time() * 1000)
        self._pending += [(row, now) for row in rows]
        if self._open is not None and self._client is None and self._guarded(_import_mlflow, long=True):
            self._guarded(self._open, long=_is_to_be_made(self.options.address))
        if self._client is not None and self._pending:
            self._guarded(self._send_pending)

    def _send_pending(self) -> None:
        rows = list(self._pending)
        unseen = [(row, now) for row, now in rows if int(row["epoch"]) not in self._seen]
        self._send([(name, v, now, int(row["epoch"])) for row, now in unseen for name, v in row.items()])
        del self._pending[: len(rows)]

    def _send(self, values: Sequence[tuple[str, float, int, int]]) -> None:
        """Metrics by name, value, time in ms and step."""
        from mlflow.entities import Metric

        metrics = [Metric(*value) for value in values]
        for start in range(0, len(metrics), 1000):  # MLflow's limit for a call
            self._client.log_batch(self.run_id, metrics=metrics[start : start + 1000])

    def _last_chance(self) -> None:
        """Whatever failed before, wait for the call that is late and try once more: nothing is sent after the end."""
        if not self._over:
            self._over, self._rests_until = True, 0.0
            if self._running is not None:
                self._running.join(DEADLINE)
        self.log_epochs([])

    def log_results(self, results: Mapping[str, float]) -> None:
        """Send numbers that belong to no epoch."""
        if self._client is not None:
            now = int(time.time() * 1000)
            self._guarded(lambda: self._send([(name, value, now, 0) for name, value in results.items()]))

    def log_files(self, files: Sequence[Path], folder: str | None = None) -> None:
        """Attach files or folders to the run, in a folder of its artifacts or at their top."""
        self._last_chance()
        if self._client is not None:
            for file in files:
                send = self._client.log_artifacts if file.is_dir() else self._client.log_artifact
                call = partial(send, self.run_id, str(file), folder)
                self._guarded(call, long=True)

    def log_model(self, bundle: Path, inputs: Any, outputs: Any) -> None:
        """Log the bundle as an MLflow model whose code is a file of ferlab's: nothing is pickled."""
        if self._client is not None and self.options.model:
            from ferlab.training.mlflow_model import log_bundle

            self._guarded(
                lambda: log_bundle(self.options.address, str(self.run_id), bundle, inputs, outputs), long=True
            )

    def register(self, name: str, file: Path, extra: str | None, inputs: Any, outputs: Any) -> None:
        """Log an exported file as an MLflow model, and put it in the registry as the next version of `name`."""
        if self._client is not None:
            from ferlab.training.mlflow_model import log_bundle

            def send() -> None:
                status = self._client.get_run(self.run_id).info.status
                try:
                    log_bundle(self.options.address, str(self.run_id), file, inputs, outputs, extra, name)
                finally:
                    self._client.update_run(self.run_id, status=status)  # MLflow has called it finished

            self._guarded(send, long=True)

    def finish(self, status: str) -> None:
        """Close the run as FINISHED, KILLED or FAILED."""
        self._last_chance()
        if self._client is not None:
            self._guarded(lambda: self._client.set_terminated(self.run_id, status))

    def _guarded(self, call: Callable[[], Any], long: bool = False) -> bool:
        """Whether `call` came to its end in time. A failure is said once and never stops training."""
        begun = time.monotonic()
        if begun < self._rests_until or (self._running is not None and self._running.is_alive()):
            return False
        deadline = LONG_DEADLINE if long else DEADLINE
        outcome: list[Exception | None] = []
        self._running = Thread(
            target=_run, args=(call, outcome), daemon=True
        )  # a daemon does not keep a run from ending
        self._running.start()
        self._running.join(deadline)
        if outcome == [None]:
            return True
        self._rests_until = time.monotonic() + REST * (time.monotonic() - begun)
        if not self._failed:
            error = outcome[0] if outcome else TimeoutError(f"no answer in {deadline:g} s")
            reason = without_password(" ".join(f"{type(error).__name__}: {error}".split()))[:200]
            self._say(f"MLflow at {self.options.shown} failed ({reason}); {self._nevertheless}")
        self._failed = True
        return False


def without_password(text: str) -> str:
    """The text with dots in the place of what stands before the @ of a URL."""
    return re.sub(r"//[^/@\s]*@", "//…@", text)


def _run(call: Callable[[], Any], outcome: list[Exception | None]) -> None:
    try:
        call()
        outcome.append(None)
    except Exception as error:  # any server, database or network error: MLflow raises all kinds
        outcome.append(error)


def _import_mlflow() -> None:
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    import mlflow  # noqa: F401

    # Advice, a line for every database migration, one for every retry, and tracebacks: what fails is said here.
    for noisy in ("alembic", "mlflow", "urllib3", "sqlalchemy"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def _is_to_be_made(uri: str) -> bool:
    """Whether the store is a database on this machine that does not exist yet."""
    return uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()


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
