"""`ferlab ui`: MLflow's pages."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ferlab import config
from ferlab.errors import ConfigError
from ferlab.interrupt import listening
from ferlab.screen import Screen
from ferlab.training.tracking import TrackerOptions

if TYPE_CHECKING:
    from ferlab.cli import Invocation


@dataclass
class UiConfig:
    """conf/ui.yaml."""

    uri: str | None
    host: str
    port: int


def ui(invocation: "Invocation") -> int:
    """Serve MLflow's pages until Ctrl-C, SIGTERM or SIGHUP; the server ends with the command."""
    options = config.typed(config.compose("ui", invocation.overrides), UiConfig)
    if not 0 < options.port < 2**16:
        raise ConfigError(f"port must be from 1 to 65535, got {options.port}; 5000 is the default")
    tracker = TrackerOptions(uri=options.uri)
    store = tracker.address
    if store.startswith("sqlite:///") and not Path(store.removeprefix("sqlite:///")).is_file():
        raise ConfigError(
            f"there must be runs to show, got no {store.removeprefix('sqlite:///')}; train first, or set uri"
        )
    _require_free(options.host, options.port)
    Screen().say(f"MLflow: http://{options.host}:{options.port} (starts in about ten seconds; Ctrl-C stops it)")
    if tracker.environment:
        Screen().say(f"runs of {tracker.shown}")
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "ui", "--backend-store-uri", store, "--workers", "1"]
    command += ["--host", options.host, "--port", str(options.port), "--uvicorn-opts", "--log-level warning"]
    # Its job workers make the start four times longer, and ferlab uses none.
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with listening(*_hangup()) as stop:
        # In a session of its own it does not see Ctrl-C, which it answers with a traceback.
        server = subprocess.Popen(command, env=os.environ | settings, start_new_session=True)
        try:
            while stop.signal is None and server.poll() is None:
                time.sleep(0.1)
        finally:
            _end(server)
    return server.returncode if stop.signal is None else 0 if stop.signal == signal.SIGINT else 128 + stop.signal


def _hangup() -> list[int]:
    """SIGHUP, which a closed terminal sends, unless nohup has turned it off."""
    number = getattr(signal, "SIGHUP", None)  # not on Windows
    return [] if number is None or signal.getsignal(number) is signal.SIG_IGN else [number]


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and its workers; those that do not listen within ten seconds are killed."""
    if sys.platform == "win32":  # no groups of processes there
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(server.pid)], capture_output=True, check=False)
        server.wait()
        return
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(timeout=10)
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def _require_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = f"{host}:{port} must be free, got '{error.strerror}'; set port=… to another"
            raise ConfigError(reason) from error
