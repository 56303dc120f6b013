"""Files of networks that ferlab may not pass on: fetched once, by the user's own machine, and known by their digest."""

import hashlib
import urllib.request
from pathlib import Path

from ferlab.errors import ConfigError
from ferlab.files import replacing

PATIENCE = 30  # seconds that a server may be silent


def download(url: str, sha256: str, most: int, path: Path, remedy: str) -> None:
    """Write what is at `url` to `path`, once it is whole and the right one.

    Args:
        url, path: from where to where.
        sha256: of the file, in hex.
        most: bytes to read.
        remedy: what else can be done.

    Raises:
        ConfigError: it cannot be had, or is another; nothing is written then.
    """
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as reply:
            content = reply.read(most)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ConfigError(f"{url} must be the file of sha256 {sha256[:12]}…, got another; {remedy}")
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:  # urllib's errors are
        reason = getattr(error, "reason", None) or error.strerror or error
        raise ConfigError(f"cannot download {url} to {path}: {reason}; {remedy}") from error
