"""`ferlab live` as a person starts it, in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 120  # for it to start, with others on the same two cores
ADDRESS = re.compile(r"https?://[^\s;]+")


@dataclass(frozen=True)
class Served:
    """The page that is served.

    Attributes:
        url: of the page.
        process: that serves it.
        log: what it says.
    """

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(re.findall(r":(\d+)/", self.url)[0])

    def end(self) -> int:
        """Press Ctrl-C, and give the status with which it ends."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


@contextmanager
def served(folder: Path, *words: str) -> Iterator[Served]:
    """`ferlab live open=false` with these words, once it says where; its cache and its log lie in the folder."""
    log = folder / f"live{len(list(folder.glob('live*.log')))}.log"
    environment = os.environ | {"FERLAB_CACHE": str(folder / "cache"), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    words = ("-m", "ferlab", "live", "open=false", *words)
    with (
        log.open("wb") as out,
        subprocess.Popen([sys.executable, *words], stdout=out, stderr=out, cwd=folder, env=environment) as process,
    ):
        try:
            yield Served(address(process, log), process, log)
        finally:
            if process.poll() is None:
                process.kill()


def address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """The address that the process prints, as soon as it does."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        if match := ADDRESS.search(log.read_text("utf-8")):
            return match[0]
        time.sleep(0.05)
    raise RuntimeError(f"ferlab live must say where its page is, got status {process.poll()} and: {log.read_text()}")
