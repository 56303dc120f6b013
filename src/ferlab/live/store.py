"""Where a session's files go: a folder. What was written is with the system when the call returns."""

import errno
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from ferlab.files import remove_empty


class Store(Protocol):
    """Takes a session's files, part by part. A context.

    Attributes:
        path: of the folder.
    """

    path: Path

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def add(self, name: str, content: bytes) -> None:
        """Add to the end of a file, which is made with its first part; an OSError leaves nothing of this part."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Write a whole file; an OSError leaves none."""
        ...

    def discard(self) -> None:
        """Remove all that was made."""
        ...


class Growing:
    """A file that grows by whole parts: no buffer, so that a part is with the system when `write` returns.

    Args:
        path: of a file that is not there yet; FileExistsError if it is.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = open(path, "xb", buffering=0)  # noqa: SIM115

    def write(self, content: bytes) -> None:
        """Add to the file; OSError, such as of a full disk, after which nothing of it is there."""
        end = self._file.tell()
        try:
            if self._file.write(content) != len(content):
                raise OSError(errno.ENOSPC, "No space left on device", self._file.name)
        except OSError:
            self._file.truncate(end)
            raise

    def close(self) -> None:
        """Close it."""
        self._file.close()


class Folder:
    """A session's files as they are.

    Args:
        path: of the folder, which is made with the first file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._growing: dict[str, Growing] = {}
        self._held = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def add(self, name: str, content: bytes) -> None:
        """See `Store.add`; FileExistsError if it is there from before."""
        if name not in self._growing:
            self._growing[name] = self._held.enter_context(closing(self._new(name)))
        self._growing[name].write(content)

    def put(self, name: str, content: bytes) -> None:
        """See `Store.put`."""
        with closing(self._new(name)) as file:
            try:
                file.write(content)
            except OSError:
                (self.path / name).unlink()
                raise

    def discard(self) -> None:
        """See `Store.discard`."""
        self._held.close()
        for name in self._growing:
            (self.path / name).unlink(missing_ok=True)
        remove_empty([self.path])

    def _new(self, name: str) -> Growing:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return Growing(path)
