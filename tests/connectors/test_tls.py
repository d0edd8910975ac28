"""The same bounds over TLS, and certificates verified."""

import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sync.connectors.errors import TimedOut, Unavailable
from tests.connectors.building import DEADLINE, shop, shop_settings
from tests.connectors.servers import Reply, dripping, raw_serving, serving

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(pem + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, pem.decode()


def test_the_deadline_holds_over_tls(certificate: tuple[ssl.SSLContext, str]) -> None:
    context, pem = certificate
    with raw_serving(dripping(b" ", HEAD + b"\r\n"), context) as url:
        started = time.monotonic()
        with pytest.raises(TimedOut):
            shop(url, settings=shop_settings() | {"ca": pem}).get("USER", "1")
    assert time.monotonic() - started < DEADLINE + 1


def test_the_deadline_holds_over_a_stalled_handshake(certificate: tuple[ssl.SSLContext, str]) -> None:
    def drip(connection: socket.socket) -> None:
        for byte in b"\x16\x03\x03\x40\x00" + b"\x02" * 1000:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    with raw_serving(drip) as url:
        started = time.monotonic()
        with pytest.raises(TimedOut) as caught:
            shop(url.replace("http:", "https:")).delete("USER", "1", "k")
    assert time.monotonic() - started < DEADLINE + 1
    assert not caught.value.maybe_applied


def test_a_certificate_is_verified(certificate: tuple[ssl.SSLContext, str]) -> None:
    context, pem = certificate
    with serving(lambda _: Reply(200, {"id": 1}), context) as service:
        assert shop(service.url, settings=shop_settings() | {"ca": pem}).get("USER", "1")
        with pytest.raises(Unavailable, match="certificate is not trusted"):
            shop(service.url).get("USER", "1")
