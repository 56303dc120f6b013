"""`ferlab ui`: MLflow's pages."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ferlab import config
from ferlab.errors import ConfigError
from ferlab.train.tracking import TrackerOptions

if TYPE_CHECKING:
    from ferlab.cli import Invocation


@dataclass
class UiConfig:
    """conf/ui.yaml."""

    uri: str | None
    host: str
    port: int


def ui(invocation: "Invocation") -> int:
    """Serve MLflow's pages until Ctrl-C."""
    options = config.typed(config.compose("ui", invocation.overrides), UiConfig)
    store = TrackerOptions(uri=options.uri).address
    if store.startswith("sqlite:///") and not Path(store.removeprefix("sqlite:///")).is_file():
        raise ConfigError(
            f"there must be runs to show, got no {store.removeprefix('sqlite:///')}; train first, or set uri"
        )
    _require_free(options.host, options.port)
    print(f"MLflow: http://{options.host}:{options.port} (starts in about ten seconds; Ctrl-C stops it)", flush=True)
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "ui", "--backend-store-uri", store, "--workers", "1"]
    command += ["--host", options.host, "--port", str(options.port), "--uvicorn-opts", "--log-level warning"]
    # Its job workers make the start four times longer, and ferlab uses none.
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    # In a session of its own it does not see Ctrl-C, which it answers with a traceback.
    server = subprocess.Popen(command, env=os.environ | settings, start_new_session=True)
    try:
        return server.wait()
    except KeyboardInterrupt:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=10)
        return 0


def _require_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = f"{host}:{port} must be free, got '{error.strerror}'; set port=… to another"
            raise ConfigError(reason) from error
