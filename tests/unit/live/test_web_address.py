import asyncio
import socket
import ssl
import threading

import pytest

from ferlab.errors import ConfigError
from ferlab.live.settings import LiveConfig
from ferlab.live.web import lan
from ferlab.live.web.address import taken


def test_this_machine_alone_needs_no_token() -> None:
    for host in ("127.0.0.1", "localhost"):
        address = taken(LiveConfig(host=host))
        assert (address.token, address.encryption) == (None, None)
        assert address.url == f"http://{host}:{address.port}/"
        assert "evil.example" not in address.names
        address.socket.close()


def test_another_address_needs_a_new_token_each_time() -> None:
    found = [taken(LiveConfig(host="0.0.0.0")) for _ in range(2)]
    tokens = {each.token for each in found}
    assert len(tokens) == 2
    assert all(len(str(token)) >= 40 for token in tokens)
    assert all(each.url.endswith(f":{each.port}/?token={each.token}") for each in found)
    for each in found:
        each.socket.close()


def test_a_port_in_use_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port={port}: Address already in use; give another, or port=0"):
            taken(LiveConfig(port=port))
    with pytest.raises(ConfigError, match=r"cannot be served at host=nowhere\.invalid"):
        taken(LiveConfig(host="nowhere.invalid"))


def test_an_answer_waits_for_no_acknowledgement() -> None:
    address = taken(LiveConfig())

    async def accepted() -> int:
        option: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            option.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(connected, sock=address.socket):
            _, writer = await asyncio.open_connection("127.0.0.1", address.port)
            writer.close()
            return await option

    assert asyncio.run(accepted())


def test_a_network_needs_its_packages_and_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lan, "find_spec", lambda name: None if name == "segno" else True)
    with pytest.raises(ConfigError, match=r"lan=true needs segno, got none; pip install 'ferlab\[lan\]'"):
        taken(LiveConfig(lan=True))
    monkeypatch.setattr(lan, "find_spec", lambda name: True)
    monkeypatch.setattr(lan, "addresses", lambda: [])
    with pytest.raises(ConfigError, match="lan=true needs a network, got none"):
        taken(LiveConfig(lan=True))


def test_the_certificate_is_for_the_machines_addresses_and_has_the_fingerprint_that_is_told() -> None:
    hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes", reason="no cryptography")
    from cryptography import x509

    context, fingerprint = lan.encryption(["127.0.0.1", "::1", "192.168.1.5", "box.local"])
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            accepted, _ = server.accept()
            with context.wrap_socket(accepted, server_side=True):
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        pem = ssl.get_server_certificate(server.getsockname())
        thread.join()
    certificate = x509.load_pem_x509_certificate(pem.encode())
    assert certificate.fingerprint(hashes.SHA256()).hex(":").upper() == fingerprint
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "192.168.1.5"]
    assert names.get_values_for_type(x509.DNSName) == ["box.local"]


def test_the_code_is_the_address() -> None:
    segno = pytest.importorskip("segno", reason="no segno: pip install 'ferlab[lan]'")
    address = "https://192.168.1.5:40000/?token=abc"
    code = lan.code(address)
    assert code.style == "black on white"
    cells = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    lines = code.plain.split("\n")
    rows = [[cells[c][half] for c in line] for line in lines for half in (0, 1)]
    expected = [list(row) for row in segno.make(address, micro=False).matrix_iter(border=2)]
    assert rows[: len(expected)] == expected
