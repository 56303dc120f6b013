"""An encrypted session: one file of parts that grows as a folder's files do, and becomes them again with the key.

Each part is sealed with ChaCha20-Poly1305 (RFC 8439) of the package cryptography, under a key of the session's own
that HKDF-SHA-256 (RFC 5869) makes of the key file and a random salt. The nonce is the part's number, and a byte that is
1 for the last part alone: the STREAM construction (Hoang et al., CRYPTO 2015), as the file format age has it. So parts
can be neither changed, exchanged, doubled nor left out, and an end that is missing shows.

    MAGIC, salt (16 bytes), and for each part: its length (4 bytes, big-endian), ciphertext
    a part: length of a file's name (2 bytes, big-endian), the name in UTF-8, what is added to that file

The first part has neither name nor content, so that a wrong key is found at once, and so has the last.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from ferlab.errors import ConfigError, DataError
from ferlab.files import check_regular, creating_folder, remove_empty, why_unwritable
from ferlab.live.keys import BYTES, make_key
from ferlab.live.store import Growing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

SEALED = "session.sealed"
MAGIC = b"ferlab session 1\n"
SALT, TAG = 16, 16
LARGEST = 256 * 2**20  # bytes of a part: no picture has more


class Sealed:
    """Takes a session's files and encrypts them as they come: a `Store`.

    After a part that could not be written nothing more is: its number must not be used twice.

    Args:
        path: of the folder.
        key: the 32 bytes of a key file.

    Raises:
        ConfigError: the package cryptography is not there.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        salt = os.urandom(SALT)
        self._cipher, self._begin = _cipher(key, salt), MAGIC + salt
        self._file: Growing | None = None
        self._number, self._failed = 0, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError):  # without its last part it is known to be cut off
                self._write("", b"", last=True)
            self._file.close()

    def add(self, name: str, content: bytes) -> None:
        """See `Store.add`; FileExistsError if there is an encrypted session in the folder."""
        if self._file is None:
            self.path.mkdir(parents=True, exist_ok=True)
            self._file = Growing(self.path / SEALED)
            self._file.write(self._begin)
            self._write("", b"")
        self._write(name, content)

    def put(self, name: str, content: bytes) -> None:
        """See `Store.put`."""
        self.add(name, content)

    def discard(self) -> None:
        """See `Store.discard`."""
        if self._file is not None:
            self._file.close()
            self._file = None
            (self.path / SEALED).unlink(missing_ok=True)
        remove_empty([self.path])

    def _write(self, name: str, content: bytes, last: bool = False) -> None:
        assert self._file is not None
        if self._failed:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.path / SEALED))
        called = name.encode(errors="backslashreplace")
        sealed = self._cipher.encrypt(_nonce(self._number, last), len(called).to_bytes(2) + called + content, None)
        self._number += 1
        try:
            self._file.write(len(sealed).to_bytes(4) + sealed)
        except OSError:
            self._failed = True
            raise


def unseal(folder: Path, key: bytes, out: Path) -> int:
    """Write the files of an encrypted session to a new folder, and return how many.

    Args:
        folder: with SEALED.
        key: the 32 bytes of its key file.
        out: that is not there yet.

    Raises:
        ConfigError: `out` is there, or cannot be written.
        DataError: no such file, another key, or parts that were changed: nothing is written then. Or the file ends
            before its end, as after kill -9: `out` has all up to there.
    """
    path = folder / SEALED
    if out.exists():
        raise ConfigError(f"out must be a new folder, got {out}, which is there; name another")
    names: set[str] = set()
    cut: CutOffError | None = None
    try:
        check_regular(path)
        file = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise DataError(
            f"session must be a folder with {SEALED}, got {folder}: {error.strerror or error}; check the path"
        ) from error
    try:
        with file, creating_folder(out, replace=False) as temporary:
            try:
                for name, content in parts(file, path, key):
                    target = temporary / _safe(name, path)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with open(target, "ab") as grown:
                        grown.write(content)
                    names.add(name)
            except CutOffError as error:
                cut = error
    except OSError as error:
        raise ConfigError(f"cannot write to out={out}: {why_unwritable(error)}") from error
    if cut is not None:
        raise cut
    return len(names)


class CutOffError(DataError):
    """A file that ends before its end; what was before is sound."""


def parts(file: IO[bytes], path: Path, key: bytes) -> Iterator[tuple[str, bytes]]:
    """The parts of an encrypted session, each the name of a file and what is added to it.

    Raises:
        DataError: no such file, another key, or parts that were changed.
        CutOffError: it ends before its end, after all whole parts.
    """
    begin = file.read(len(MAGIC) + SALT)
    if not begin.startswith(MAGIC) or len(begin) < len(MAGIC) + SALT:
        raise DataError(f"{path} must be an encrypted session, got another file; give the folder that encrypt= wrote")
    cipher, number, last = _cipher(key, begin[len(MAGIC) :]), 0, False
    while not last:
        length = int.from_bytes(head := file.read(4))
        if len(head) == 4 and not TAG + 2 <= length <= LARGEST:
            raise _changed(path, number)
        sealed = file.read(length)
        if len(head) < 4 or len(sealed) < length:
            raise CutOffError(
                f"{path} ends after {number:,} whole parts, before its end: the program was killed, the disk was full, "
                "or the file was cut; what is before is in out"
            )
        last, content = _opened(cipher, number, sealed, path)
        name_length = int.from_bytes(content[:2])
        if name_length:
            yield content[2 : 2 + name_length].decode(), content[2 + name_length :]
        number += 1
    if file.read(1):
        raise _changed(path, number)


def _opened(cipher: "ChaCha20Poly1305", number: int, sealed: bytes, path: Path) -> tuple[bool, bytes]:
    """Whether a part is the last, and what it holds."""
    from cryptography.exceptions import InvalidTag

    for last in (False, True):
        with suppress(InvalidTag):
            return last, cipher.decrypt(_nonce(number, last), sealed, None)
    if not number:
        raise DataError(f"key must be the one that {path} was written with, got another, or the file was changed")
    raise _changed(path, number)


def _changed(path: Path, number: int) -> DataError:
    return DataError(
        f"{path} must be as it was written, got another part {number:,}: it was damaged or changed; "
        "nothing of it was written"
    )


def _safe(name: str, path: Path) -> PurePosixPath:
    """A file's name, which must lie in the folder; who has the key may still be somebody else."""
    found = PurePosixPath(name)
    if found.is_absolute() or ".." in found.parts or "\\" in name or ":" in name:
        raise DataError(f"{path} must hold files of a session, got one called {name!r}; it is none of ferlab's")
    return found


def _cipher(key: bytes, salt: bytes) -> "ChaCha20Poly1305":
    try:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError as error:
        raise ConfigError("encrypt needs the package cryptography; pip install 'ferlab[encryption]'") from error
    return ChaCha20Poly1305(HKDF(SHA256(), BYTES, salt, MAGIC).derive(key))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])


def session_key(path: Path, out: Path, say: Callable[[str], None]) -> bytes:
    """The key of a key file, which is made if it is missing.

    Args:
        path: of the key file.
        out: the session's folder, in which it must not lie.
        say: told that it was made.

    Raises:
        ConfigError: it lies in the folder, can be read by others, is none, or cannot be made.
    """
    if path.resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"encrypt must lie outside of the session that it locks, got {path}; keep it elsewhere")
    new, key = not path.exists(), make_key(path)
    if new:
        say(f"key     {path} is new: who has it can read the session, and without it nobody can; keep a copy elsewhere")
    return key
