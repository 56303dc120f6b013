"""Where the page is: a socket, whether it is encrypted, who may come, and what a person is told to open."""

import secrets
import socket
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from os import strerror

from ferlab.errors import ConfigError
from ferlab.live.settings import LiveConfig
from ferlab.live.web import lan
from ferlab.live.web.guard import LOOPBACK


@dataclass(frozen=True)
class Address:
    """Where the page is.

    Attributes:
        socket: bound; nobody answers yet.
        host: that is shown.
        token: that who comes must know; None where nobody else can come.
        names: of this machine as a host.
        encryption: TLS, or None.
        fingerprint: of the certificate, or None.
    """

    socket: socket.socket
    host: str
    token: str | None = None
    names: frozenset[str] = LOOPBACK
    encryption: ssl.SSLContext | None = None
    fingerprint: str | None = None

    @property
    def port(self) -> int:
        """Of the socket."""
        return int(self.socket.getsockname()[1])

    @property
    def url(self) -> str:
        """What to open."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        token = f"?token={self.token}" if self.token is not None else ""
        return f"http{'s' if self.encryption else ''}://{host}:{self.port}/{token}"


def taken(settings: LiveConfig) -> Address:
    """The address that the settings name, taken.

    Raises:
        ConfigError: it is not to be had, or lan=true lacks a package or a network.
    """
    if settings.lan:
        lan.require_extra()
    here = settings.host in LOOPBACK
    host = "0.0.0.0" if settings.lan and here else settings.host
    bound = _bound(host, settings.port)
    got = str(bound.getsockname()[0])
    if ip_address(got.partition("%")[0]).is_loopback:
        return Address(bound, host, names=LOOPBACK | {host.lower()})
    known = lan.addresses()
    if settings.lan and not known:
        bound.close()
        raise ConfigError("lan=true needs a network, got none on this machine; join one, or leave lan out")
    every = ip_address(got.partition("%")[0]).is_unspecified
    shown = known[0] if every and known else "127.0.0.1" if every else host
    names = LOOPBACK | lan.names() | {host.lower()}
    token = secrets.token_urlsafe()
    if not settings.lan:
        return Address(bound, shown, token, names)
    context, fingerprint = lan.encryption([*sorted(LOOPBACK), *sorted(lan.names()), *known])
    return Address(bound, shown, token, names, context, fingerprint)


def _bound(host: str, port: int) -> socket.socket:
    try:
        made = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ConfigError(
            f"the page cannot be served at host={host} port={port}: {reason}; give another, or port=0 for a free one"
        ) from error
    # asyncio turns Nagle's algorithm off for a socket that says that it is TCP, which create_server's does not. With it
    # an answer would wait for the acknowledgement of the one before, and that comes with the browser's next frame.
    return socket.socket(made.family, made.type, socket.IPPROTO_TCP, made.detach())
