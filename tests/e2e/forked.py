"""A command in a process of its own, forked from one that has imported already what takes torch ten seconds."""

import multiprocessing
import os
import signal
import sys
import warnings
from multiprocessing.connection import Connection

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["ferlab.training.run", "torch._dynamo"])


class Forked:
    """`ferlab` with these arguments and `code` run before it, in a session of its own; as `subprocess.Popen` else."""

    def __init__(self, *arguments: str, code: str = "") -> None:
        reader, writer = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(target=_main, args=(arguments, code, os.getcwd(), dict(os.environ), writer))
        self._process.start()
        writer.close()
        self.pid = self._process.pid
        self.stdout = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()

    def communicate(self) -> tuple[str, None]:
        with self.stdout:
            rest = self.stdout.read()
        self.wait()
        return rest, None

    def wait(self) -> int:
        self._process.join()
        return self.returncode

    @property
    def returncode(self) -> int:
        code = self._process.exitcode
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _main(arguments: tuple[str, ...], code: str, folder: str, environment: dict[str, str], writer: Connection) -> None:
    os.setsid()
    for descriptor in (1, 2):
        os.dup2(writer.fileno(), descriptor)
    writer.close()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    warnings.simplefilter("ignore")
    from ferlab.cli import main

    exec(code, {"__name__": "before"})
    sys.exit(main(list(arguments)))
