"""Mutual TLS: which certificate reaches which system, and what is refused before."""

import contextlib
import socket
import ssl
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from config_schema.errors import SettingsInvalid
from connectors.contracts.errors import CredentialsRefused, RequestRejected
from connectors.contracts.types import TargetConnector
from connectors.exchange import RecordedExchange
from connectors.http import client_certificates, transport
from connectors.http.client_certificates import (
    check_new_certificate,
    find_certificate_facts,
    read_client_certificate,
)
from connectors.settings.authentication import credential_names
from tests.support.http.client_certificates import Authority, Issued, key_pem
from tests.support.http.connectors import MemoryRecorder, shop, shop_settings
from tests.support.http.servers import (
    Reply,
    SeenRequest,
    Service,
    find_client_name,
    raw_serving,
    read_request,
    serving,
)

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

AUTHORITY, STRANGER = Authority(), Authority("Another Authority")
HUB, OTHER, UNKNOWN = AUTHORITY.issue("hub"), AUTHORITY.issue("other hub"), STRANGER.issue("stranger")
MUTUAL: dict[str, Any] = {"scheme": "none", "client_certificate": True}
DAY = timedelta(days=1)


def connect(
    url: str, client: Issued | None = HUB, notebook: MemoryRecorder | None = None, **over: Any
) -> TargetConnector:
    authentication = MUTUAL if client else {"scheme": "none"}
    return shop(
        url,
        notebook,
        **{
            "authentication": authentication,
            "credentials": client.credentials if client else {},
            "settings": shop_settings() | {"ca": AUTHORITY.pem},
            "deadline": 60.0,
        }
        | over,
    )


def answer(_: SeenRequest) -> Reply:
    return Reply(200, {"id": "1"})


@pytest.fixture(params=["TLS 1.3", "TLS 1.2"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    context = AUTHORITY.server_context(tmp_path, AUTHORITY)
    if request.param == "TLS 1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(answer, context) as running:
        yield running


def test_a_system_gets_the_certificate_that_it_demands(service: Service) -> None:
    assert connect(service.url).get_record("USER", "1") is not None
    connect(service.url).delete_record("USER", "1", "k")
    assert [seen.client for seen in service.seen] == ["hub", "hub"]
    # One connection for both requests.
    assert len({seen.connection for seen in service.seen}) == 1


def test_a_certificate_of_an_unknown_authority_counts_as_refused_credentials(service: Service) -> None:
    with pytest.raises(CredentialsRefused, match="the system refused the client certificate") as caught:
        connect(service.url, UNKNOWN).delete_record("USER", "1", "k")
    # The system ended TLS before it read the request.
    assert not caught.value.maybe_applied
    assert service.seen == []


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    with serving(answer, AUTHORITY.server_context(tmp_path, AUTHORITY)) as service:
        with pytest.raises(CredentialsRefused, match="the system requires a client certificate") as caught:
            connect(service.url, None).delete_record("USER", "1", "k")
        assert not caught.value.maybe_applied
        assert service.seen == []


def test_connections_with_other_certificates_share_no_tls_connection(service: Service) -> None:
    for client in (HUB, OTHER, HUB, OTHER):
        connect(service.url, client).get_record("USER", "1")
    assert [seen.client for seen in service.seen] == ["hub", "other hub", "hub", "other hub"]
    assert len({seen.connection for seen in service.seen}) == 2


def test_a_connection_without_a_certificate_does_not_use_the_connections_of_one_with_it(
    tmp_path: Path,
) -> None:
    context = AUTHORITY.server_context(tmp_path, AUTHORITY)
    context.verify_mode = ssl.CERT_OPTIONAL
    with serving(answer, context) as service:
        for client in (HUB, None, HUB):
            connect(service.url, client).get_record("USER", "1")
        assert [seen.client for seen in service.seen] == ["hub", "", "hub"]


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()],
    ids=["RSA", "Ed25519"],
)
def test_other_kinds_of_keys_are_presented_too(key: Any, tmp_path: Path) -> None:
    with serving(answer, AUTHORITY.server_context(tmp_path, AUTHORITY)) as service:
        connect(service.url, AUTHORITY.issue("hub", key)).get_record("USER", "1")
        assert [seen.client for seen in service.seen] == ["hub"]


def test_a_server_may_ask_for_the_certificate_after_it_has_read_the_request(tmp_path: Path) -> None:
    context = AUTHORITY.server_context(tmp_path, AUTHORITY)
    context.post_handshake_auth = True
    clients = []

    def behave(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        clients.append(find_client_name(connection))
        read_request(connection)
        connection.verify_client_post_handshake()
        connection.do_handshake()
        connection.settimeout(0.1)
        for _ in range(600):
            # Reads the certificate, which is no data of the request.
            with contextlib.suppress(TimeoutError):
                connection.recv(1)
            if find_client_name(connection):
                break
        clients.append(find_client_name(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n")
        connection.sendall(b'{"id":"1"}')

    with raw_serving(behave, context) as url:
        assert connect(url).get_record("USER", "1") is not None
    assert clients == ["", "hub"]


def test_a_token_endpoint_of_another_origin_gets_the_client_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = []

    def give_token(seen: SeenRequest) -> Reply:
        forms.append(parse_qs(seen.body.decode()))
        return Reply(200, {"access_token": "bound-to-hub", "token_type": "Bearer"})

    def require_token(seen: SeenRequest) -> Reply:
        good = (seen.headers.get("authorization"), seen.client) == ("Bearer bound-to-hub", "hub")
        return Reply(200, {"id": "1"}) if good else Reply(401)

    # The authorities that the hub trusts for a token endpoint of another origin.
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(AUTHORITY.pem)
    monkeypatch.setattr(transport, "DEFAULT_CA_BUNDLE_PATH", str(bundle))
    context = AUTHORITY.server_context(tmp_path, AUTHORITY)
    with serving(give_token, context) as tokens, serving(require_token, context) as system:
        authentication = {
            "scheme": "oauth2-client-credentials",
            "token_url": f"{tokens.url}/token",
            "client_authentication": "tls_client_auth",
            "client_certificate": True,
        }
        names = ("client_id", "client_certificate", "client_key")
        assert credential_names(authentication) == names
        credentials = {"client_id": "hub-client", **HUB.credentials}
        connector = connect(system.url, authentication=authentication, credentials=credentials)
        assert connector.get_record("USER", "1") is not None
        assert [seen.client for seen in tokens.seen] == ["hub"]
    assert forms == [{"grant_type": ["client_credentials"], "client_id": ["hub-client"]}]


def test_the_certificate_is_added_to_the_credentials_of_each_scheme() -> None:
    cases: list[str] = ["none", "session"]
    for scheme in cases:
        plain = credential_names({"scheme": scheme})
        assert credential_names({"scheme": scheme, "client_certificate": True}) == (
            *plain,
            "client_certificate",
            "client_key",
        )
        assert credential_names({"scheme": scheme, "client_certificate": False}) == plain


ENCRYPTED = key_pem(ec.generate_private_key(ec.SECP256R1()), b"pass")
LEGACY = HUB.key.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1)
WEAK = AUTHORITY.issue("weak", rsa.generate_private_key(65537, 1024))


def test_a_certificate_that_tls_cannot_present_is_refused() -> None:
    cases: list[tuple[str, str, str, str]] = [
        (HUB.certificate, OTHER.key, "client_key", "does not fit the client certificate"),
        (AUTHORITY.pem + HUB.certificate, HUB.key, "client_key", "Enter its certificate first"),
        (HUB.certificate, ENCRYPTED, "client_key", "is encrypted. Decrypt it first"),
        (HUB.certificate, LEGACY, "client_key", "is encrypted. Decrypt it first"),
        (HUB.certificate, HUB.key[:90], "client_key", "one private key in PEM"),
        (HUB.certificate, HUB.certificate, "client_key", "one private key in PEM"),
        (HUB.certificate, "\ud800" + HUB.key, "client_key", "one private key in PEM"),
        ("\ud800" + HUB.certificate, HUB.key, "client_certificate", "the client certificate in PEM"),
        (HUB.certificate, HUB.key + " " * 20_000, "client_key", "one private key in PEM"),
        (HUB.certificate + HUB.key, HUB.key, "client_certificate", "Enter the key in its own field"),
        (HUB.certificate[:200], HUB.key, "client_certificate", "the client certificate in PEM"),
        (
            HUB.certificate + AUTHORITY.pem[:200],
            HUB.key,
            "client_certificate",
            "the client certificate in PEM",
        ),
        (HUB.certificate * 11, HUB.key, "client_certificate", "at most 9 certificates"),
        (HUB.certificate + " " * 40_000, HUB.key, "client_certificate", "the client certificate in PEM"),
        (WEAK.certificate, WEAK.key, "client_certificate", "TLS does not accept this certificate"),
    ]
    for certificate, key, name, sentence in cases:
        with pytest.raises(SettingsInvalid, match=sentence) as caught:
            read_client_certificate(certificate, key)
        assert caught.value.place == ("credentials", name)
        assert not any(line in str(caught.value) for line in key.splitlines() if len(line) > 20)


def test_a_chain_with_text_around_it_and_windows_line_ends_is_accepted() -> None:
    """As `openssl pkcs12 -nodes` writes them."""
    text = "Bag Attributes\n    localKeyID: 01 02\n"
    chain = f"{text}subject=CN = Ääkkönen\n{HUB.certificate}{text}{AUTHORITY.pem}".replace("\n", "\r\n")
    key = f"{text}Key Attributes: <No Attributes>\n{HUB.key}".replace("\n", "\r\n")
    read = read_client_certificate(chain, key)
    assert read.facts.subject == "hub"
    assert read.pem.count(b"BEGIN CERTIFICATE") == 2
    assert HUB.key.splitlines()[1] not in repr(read)


@pytest.mark.parametrize(
    ("begins", "ends", "sentence"),
    [(-2 * DAY, -DAY, "expired on"), (DAY, 2 * DAY, "is not valid before")],
)
def test_only_a_new_certificate_must_be_valid_now(begins: timedelta, ends: timedelta, sentence: str) -> None:
    issued, now = AUTHORITY.issue("hub", begins=begins, ends=ends), datetime.now(UTC)
    for key in (issued.key, ""):
        with pytest.raises(SettingsInvalid, match=sentence):
            check_new_certificate(issued.certificate, key, now)
    # A stored one is presented all the same: the system decides.
    facts = read_client_certificate(issued.certificate, issued.key).facts
    assert facts == find_certificate_facts(issued.certificate)
    assert find_certificate_facts("nothing") is None


class SpyContext:
    """Records what a TLS context would load."""

    post_handshake_auth = False

    def load_cert_chain(self, path: str, password: str) -> None:
        self.path, self.password = path, password
        self.mode, self.content = stat.S_IMODE(Path(path).stat().st_mode), Path(path).read_bytes()


def test_the_key_is_on_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_certificates.tempfile, "tempdir", str(tmp_path / "there-is-none"))
    spy: Any = SpyContext()
    made = read_client_certificate(HUB.certificate, HUB.key)
    made.load_into(spy)
    assert spy.content == made.pem
    assert spy.path.startswith("/proc/self/fd/")
    assert not Path(spy.path).exists()


def test_without_memory_files_the_key_is_in_a_private_file_that_is_removed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = read_client_certificate(HUB.certificate, HUB.key)
    monkeypatch.setattr(client_certificates, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(client_certificates.tempfile, "tempdir", str(tmp_path))
    spy: Any = SpyContext()
    made.load_into(spy)
    assert (Path(spy.path).parent, spy.mode) == (tmp_path, 0o600)
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_a_system_repeats_is_not_recorded(tmp_path: Path) -> None:
    notebook = MemoryRecorder()
    context = AUTHORITY.server_context(tmp_path, AUTHORITY)
    with (
        serving(lambda _: Reply(422, {"message": HUB.key}), context) as service,
        pytest.raises(RequestRejected) as caught,
    ):
        connect(service.url, notebook=notebook).get_record("USER", "1")
    exchange: RecordedExchange = notebook.exchanges[0]
    secret = HUB.key.splitlines()[1]
    assert b"***" in exchange.body
    assert secret not in f"{exchange} {caught.value} {caught.value.sentence}"
