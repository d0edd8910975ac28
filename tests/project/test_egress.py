"""Nothing that the hub contacts makes it connect to an address that the policy excludes, whatever leads there."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.mail import send_mail

from connectors.http.connection_probe import fetch_certificate
from connectors.http.message_types import HttpEndpoint
from sync.housekeeping import checkpoint_channels, key_sets
from sync.models import Alarm
from sync.monitoring import channels
from sync.monitoring.alarm_texts import AlarmText
from tests.support.builders.alarms import SECRET
from tests.support.http.connectors import identity, shop
from tests.support.http.egress import egress_policy

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

Trap = list[socket.socket]
AT = datetime(2030, 1, 1, tzinfo=UTC)
TOKEN = {"scheme": "oauth2-client-credentials"}
CLIENT = {"client_id": "hub", "client_secret": "s3cret-s3cret"}

# Spellings of loopback that lead a careless client to this machine, and others that lead to one through a gateway.
HOSTS = [
    "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]",
    "10.1.2.3", "169.254.169.254", "100.100.100.200", "[fd00:ec2::254]", "[::ffff:0:127.0.0.1]", "[2001:0:7f00:1::]",
    "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[::127.0.0.1]", "0.0.0.0",
]  # fmt: skip
# Names, and the addresses that their name server gives for one lookup after the other.
NAMES = {
    "loopback.test": ["127.0.0.1"],
    "internal.test": ["10.1.2.3"],
    "metadata.test": ["169.254.169.254"],
    "siit.test": ["::ffff:0:127.0.0.1"],
    "teredo.test": ["2001:0:7f00:1::"],
    "rebound.test": ["8.8.8.8", "127.0.0.1"],
    "rebound-later.test": ["127.0.0.1", "8.8.8.8"],
}


def _send_alarm(url: str, settings: Any) -> None:
    settings.ALARM_WEBHOOK_URL, settings.ALARM_WEBHOOK_SECRET = f"{url}/alarms", SECRET
    alarm = Alarm(kind="silence", raised_at=AT, began_at=AT)
    channels.send_webhook(channels.AlarmMessage("key", "raised", alarm, AlarmText("A", "B.", "C."), "/alarm"))


def _send_checkpoint(url: str, settings: Any) -> None:
    settings.AUDIT_CHECKPOINT_URL = f"{url}/checkpoints"
    checkpoint_channels.send_by_post(1, b"{}")


def _send_mail(url: str, settings: Any) -> None:
    host, _, port = url.removeprefix("http://").rpartition(":")
    settings.EMAIL_HOST, settings.EMAIL_PORT = host.strip("[]"), int(port)
    settings.EMAIL_BACKEND = "integration_hub.egress.mail_backend.CheckedEmailBackend"
    send_mail("Alarm", "text", "hub@example.com", ["someone@example.com"])


# What the hub contacts: each opens a connection to this URL, if it may.
KINDS: dict[str, Callable[[str, Any], Any]] = {
    "fetch": lambda url, _: identity(url).fetch_entity("USER", "1"),
    "write": lambda url, _: shop(url).create_record("USER", {"email": "a@b.test"}, "k"),
    "token endpoint": lambda url, _: shop(
        "https://shop.test", authentication=TOKEN | {"token_url": f"{url}/token"}, credentials=CLIENT
    ).renew_credentials(),
    "test of a connection": lambda url, _: fetch_certificate(HttpEndpoint(url, 60.0, 1_000)),
    "key set": lambda url, _: key_sets.fetch_key_set(f"{url.replace('http:', 'https:')}/keys"),
    "alarm": _send_alarm,
    "checkpoint": _send_checkpoint,
    "mail": _send_mail,
}


@pytest.fixture
def trap() -> Iterator[Trap]:
    """Yield listening sockets with one port: of IPv4, and of IPv6 if this machine has it."""
    with contextlib.ExitStack() as opened:
        listeners = [opened.enter_context(socket.create_server(("127.0.0.1", 0)))]
        with contextlib.suppress(OSError):
            address = ("::1", listeners[0].getsockname()[1])
            listeners.append(opened.enter_context(socket.create_server(address, family=socket.AF_INET6)))
        for listener in listeners:
            listener.setblocking(False)
        yield listeners


def _count_contacts(trap: Trap) -> int:
    count = 0
    for listener in trap:
        with contextlib.suppress(BlockingIOError):
            while True:
                listener.accept()[0].close()
                count += 1
    return count


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Yield the addresses that were connected to. Connections to other machines are refused, and names are those of NAMES."""
    addresses: list[str] = []
    connect, lookup = socket.socket.connect, socket.getaddrinfo
    turns = {name: iter(found) for name, found in NAMES.items()}

    def connect_here(sock: socket.socket, where: Any) -> None:
        addresses.append(where[0])
        if where[0] not in ("127.0.0.1", "::1"):
            raise ConnectionRefusedError
        connect(sock, where)
        # Nothing here is answered.
        sock.shutdown(socket.SHUT_RDWR)

    def look_up(host: str, *arguments: Any, **options: Any) -> Any:
        return lookup(next(turns[host], NAMES[host][-1]) if host in NAMES else host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(key_sets, "record_key_set_fault", lambda *_: None)
    return addresses


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.promise("I13", "T7")
def test_production_contacts_no_internal_address_without_a_setting(
    kind: str, trap: Trap, attempts: list[str], settings: Any
) -> None:
    """With everything that the hub contacts, unlike the tests of single addresses."""
    port = trap[0].getsockname()[1]
    with egress_policy():
        for host in (*HOSTS, *NAMES):
            with contextlib.suppress(Exception):
                KINDS[kind](f"http://{host}:{port}", settings)
    assert _count_contacts(trap) == 0
    assert set(attempts) <= {"8.8.8.8"}
    assert attempts, "the first address of a name is public"


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_connection_reaches_an_allowed_address(
    kind: str, trap: Trap, attempts: list[str], settings: Any
) -> None:
    """Shows that the test above would notice."""
    with contextlib.suppress(Exception):
        KINDS[kind](f"http://127.0.0.1:{trap[0].getsockname()[1]}", settings)
    assert _count_contacts(trap) >= 1
    assert set(attempts) == {"127.0.0.1"}
