"""What a phone needs to open the page: an address of this machine, a certificate for it, and a code to photograph."""

import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.text import Text

from ferlab.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

NOWHERE = ("192.0.2.1", 9)  # an address of no machine (RFC 5737): nothing is sent to it
VALID = timedelta(days=30)  # of a certificate that is made anew each time


def require_extra() -> None:
    """Raise a ConfigError if a package of the extra is missing."""
    missing = [name for name in ("cryptography", "segno") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"lan=true needs {' and '.join(missing)}, got none; pip install 'ferlab[lan]'")


def addresses() -> list[str]:
    """Those of this machine in its networks, IPv4, the one that leads out first; not those that lead to itself."""
    found: list[str] = []
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(NOWHERE)
        found.append(probe.getsockname()[0])
    with suppress(OSError, UnicodeError):  # a name that is none in a network
        found += [str(each[4][0]) for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    return [each for each in dict.fromkeys(found) if not ip_address(each).is_loopback]


def names() -> frozenset[str]:
    """What this machine is called, itself and in its network."""
    name = socket.gethostname().lower()
    return frozenset({name, f"{name.partition('.')[0]}.local"} if name.isascii() else ())


def encryption(hosts: list[str]) -> tuple[ssl.SSLContext, str]:
    """A server's side of TLS with a certificate that nobody vouches for, and its SHA-256, in pairs of digits.

    Its key is nowhere but in memory, but for the moment in which OpenSSL reads it from a private folder.

    Args:
        hosts: addresses and names that it is for.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ferlab live")])
    now = datetime.now(UTC)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # the phone's clock may be behind
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "key.pem"
        file.touch(0o600)
        content = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(pem)
        file.write_bytes(content)
        context.load_cert_chain(file)
    return context, certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _name(host: str) -> "GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def code(address: str) -> Text:
    """An address as a QR code, two rows of it a line, dark on light whatever the terminal's colours are."""
    import segno

    rows = [list(row) for row in segno.make(address, micro=False).matrix_iter(border=2)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    blocks = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
    pairs = (zip(*two, strict=True) for two in zip(rows[::2], rows[1::2], strict=True))
    return Text("\n".join("".join(blocks[pair] for pair in line) for line in pairs), style="black on white")
