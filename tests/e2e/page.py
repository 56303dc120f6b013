"""`ferlab live` with its page, started as a person starts it, and what a browser sends it."""

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
from websockets.sync.client import ClientConnection, connect

PATIENCE_S = 240.0  # the machine may be busy


class Page:
    """The command while it runs; `url` is what it printed."""

    def __init__(self, folder: Path, *words: str) -> None:
        command = [sys.executable, "-m", "ferlab", "live", "open=false", *words]
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"COLUMNS": "200"}
        )
        self.told, self._lines = "", Queue[str]()
        Thread(target=self._read, daemon=True).start()
        self.url = re.search(r"https?://\S+", self.until(r"page +https?://"))[0]
        self.port = urlsplit(self.url).port

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line.decode())
        self._lines.put("")

    def until(self, pattern: str) -> str:
        """The first line, from here on, in which the pattern is."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                line = self._lines.get(timeout=1)
            except Empty:
                continue
            self.told += line
            if re.search(pattern, line) or not line:
                assert line, f"it ended: {self.told}"
                return line
        raise AssertionError(f"no '{pattern}' in {self.told}")

    def rest(self) -> str:
        """All that it told, once it has ended."""
        while line := self._lines.get(timeout=PATIENCE_S):
            self.told += line
        return self.told

    def socket(self, path: str = "ws", **settings: Any) -> Any:
        """A WebSocket that has not been told anything yet, as a context."""
        return connect(f"ws://127.0.0.1:{self.port}/{path}", max_size=None, open_timeout=PATIENCE_S, **settings)

    @contextmanager
    def client(self, **settings: Any) -> "Iterator[Client]":
        """A page, greeted."""
        with self.socket(**settings) as socket:
            yield Client(socket)

    def end(self, number: int = signal.SIGINT) -> tuple[int, float]:
        """Exit status, and seconds that it took to end."""
        begun = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S), time.monotonic() - begun

    def kilobytes(self) -> int:
        """Of memory that it uses."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


class Client:
    """What the page does with its WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.hello = socket, json.loads(socket.recv(PATIENCE_S))
        assert self.hello["type"] == "hello"

    def frame(self, number: int, seconds: float, jpeg: bytes) -> None:
        self.socket.send(struct.pack("<Id", number, seconds) + jpeg)

    def says(self, kind: str, **message: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **message}))

    def told(self) -> dict[str, Any]:
        return json.loads(self.socket.recv(PATIENCE_S))

    def answer(self, number: int, seconds: float, jpeg: bytes) -> dict[str, Any]:
        self.frame(number, seconds, jpeg)
        return self.told()


@contextmanager
def served(folder: Path, *words: str) -> Iterator[Page]:
    """The command, ended by SIGTERM at the end if it has not ended itself."""
    page = Page(folder, *words)
    try:
        yield page
    finally:
        if page.process.poll() is None:
            page.process.terminate()
        page.process.wait(PATIENCE_S)
        page.process.stdout.close()


def picture(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    """A drawn picture that differs from seed to seed, and is smooth enough for a model to have an opinion."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg(seed: int, *size: int) -> bytes:
    return cv2.imencode(".jpg", picture(seed, *size))[1].tobytes()
