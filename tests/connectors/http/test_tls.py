"""Deadlines over TLS, and the verification of certificates."""

import socket
import ssl
from collections.abc import Callable
from datetime import timedelta

import pytest

from config_schema.errors import SettingsInvalid
from connectors.contracts.errors import RequestTimedOut, SystemUnavailable
from connectors.registry import validate_connection
from tests.support.http.certificates import issue_certificate
from tests.support.http.connectors import shop, shop_settings
from tests.support.http.passing_deadlines import PassingDeadlines
from tests.support.http.servers import Reply, raw_serving, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    hour = timedelta(hours=1)
    return issue_certificate(tmp_path_factory.mktemp("tls"), begins=-hour, ends=hour)


def test_the_deadline_holds_over_tls_and_over_a_stalled_handshake(
    certificate: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, pem = certificate
    deadlines = PassingDeadlines(monkeypatch)

    def stall(connection: socket.socket) -> None:
        connection.recv(1)
        if isinstance(connection, ssl.SSLSocket):
            connection.sendall(HEAD)
        deadlines.pass_now()
        connection.recv(65_536)
        connection.recv(1)

    with raw_serving(stall, context) as url, pytest.raises(RequestTimedOut):
        shop(url, settings=shop_settings() | {"ca": pem}).get_record("USER", "1")
    with raw_serving(stall) as url, pytest.raises(RequestTimedOut) as caught:
        shop(url.replace("http:", "https:")).delete_record("USER", "1", "k")
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
