"""Deadlines over TLS, and the verification of certificates."""

import socket
import ssl
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from config_schema.errors import SettingsInvalid
from sync.connectors.contracts.errors import RequestTimedOut, SystemUnavailable
from sync.connectors.registry import validate_connection
from tests.support.http.certificates import issue_certificate
from tests.support.http.connectors import SHORT_DEADLINE, shop, shop_settings
from tests.support.http.servers import Reply, dripping, raw_serving, serving

pytestmark = pytest.mark.pure

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    hour = timedelta(hours=1)
    return issue_certificate(tmp_path_factory.mktemp("tls"), begins=-hour, ends=hour)


def test_the_deadline_holds_over_tls(certificate: tuple[ssl.SSLContext, str]) -> None:
    context, pem = certificate
    with raw_serving(dripping(b" ", HEAD + b"\r\n"), context) as url:
        started = time.monotonic()
        with pytest.raises(RequestTimedOut):
            shop(url, deadline=SHORT_DEADLINE, settings=shop_settings() | {"ca": pem}).get_record("USER", "1")
    assert time.monotonic() - started < SHORT_DEADLINE + 5


def test_the_deadline_holds_over_a_stalled_handshake(certificate: tuple[ssl.SSLContext, str]) -> None:
    def drip(connection: socket.socket) -> None:
        for byte in b"\x16\x03\x03\x40\x00" + b"\x02" * 1000:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    with raw_serving(drip) as url:
        started = time.monotonic()
        with pytest.raises(RequestTimedOut) as caught:
            shop(url.replace("http:", "https:"), deadline=SHORT_DEADLINE).delete_record("USER", "1", "k")
    assert time.monotonic() - started < SHORT_DEADLINE + 5
    assert not caught.value.maybe_applied


def test_a_certificate_is_verified(certificate: tuple[ssl.SSLContext, str]) -> None:
    context, pem = certificate
    with serving(lambda _: Reply(200, {"id": 1}), context) as service:
        assert shop(service.url, settings=shop_settings() | {"ca": pem}).get_record("USER", "1")
        with pytest.raises(SystemUnavailable, match="certificate is not trusted"):
            shop(service.url).get_record("USER", "1")


def test_two_certificates_with_text_around_them_are_accepted_as_a_ca(
    certificate: tuple[ssl.SSLContext, str],
) -> None:
    _, pem = certificate
    _validate(f"# the old one\n{pem}\n# the new one\n{pem}".replace("\n", "\r\n"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pem: pem.replace("\n", " "),
        lambda pem: pem[: len(pem) // 2],
        lambda pem: pem + pem[: len(pem) // 2],
        lambda pem: f"# Ääkkönen Oy\n{pem}",
        lambda _: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        lambda _: "/etc/ssl/authority.pem",
    ],
    ids=["one-line", "cut", "second-cut", "not-ascii", "no-certificate", "path"],
)
def test_a_ca_that_cannot_be_read_is_refused_when_it_is_saved(
    certificate: tuple[ssl.SSLContext, str], spoil: Callable[[str], str]
) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        _validate(spoil(certificate[1]))
    assert caught.value.pointer == "/settings/ca"


def _validate(ca: str) -> None:
    validate_connection(
        "rest-target", shop_settings() | {"ca": ca}, {"scheme": "bearer"}, "https://shop.test"
    )
