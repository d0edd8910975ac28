"""A connection that the hub itself cannot open is no failure of the remote system."""

import errno
import socket
import threading
from typing import Any

import pytest

from connectors.contracts.errors import HubExhausted, SystemUnavailable
from connectors.http import dns
from connectors.http.connection_probe import ProbeFailed, fetch_certificate, resolve_endpoint
from connectors.http.dns import HostResolver
from connectors.http.message_types import HttpEndpoint
from tests.support.http.connectors import MemoryRecorder, shop
from tests.support.http.servers import Reply, serving
from tests.support.processes.file_descriptors import without_free_descriptors

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

PORTS_USED_UP = OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "unknown.invalid"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_free_descriptor_is_a_failure_of_the_hub(scheme: str, host: str) -> None:
    notebook = MemoryRecorder()
    connector = shop(f"{scheme}://{host}:9", notebook)
    with without_free_descriptors(), pytest.raises(HubExhausted) as caught:
        connector.delete_record("USER", "1", "key-1")
    assert (caught.value.code, caught.value.maybe_applied) == ("hub-exhausted", False)
    assert [exchange.error_code for exchange in notebook.exchanges] == ["hub-exhausted"]


@pytest.mark.parametrize(
    "error",
    [socket.gaierror(socket.EAI_NONAME, "unknown"), OSError(errno.ECONNREFUSED, "no resolver daemon")],
)
def test_no_name_is_called_unknown_without_a_descriptor_to_look_it_up(
    monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """With libnss-mdns, the system reports the error of that module, not the lack of descriptors."""

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    endpoint = HttpEndpoint("http://shop.test:9", 60.0, 1000)
    with without_free_descriptors(), pytest.raises(ProbeFailed, match="hub-exhausted"):
        resolve_endpoint(endpoint)
    with pytest.raises(ProbeFailed, match="name-unknown"):
        resolve_endpoint(endpoint)


def test_the_system_is_called_again_once_there_are_descriptors() -> None:
    with serving(lambda _: Reply(200, {"id": 1})) as service:
        connector = shop(service.url)
        with without_free_descriptors(), pytest.raises(HubExhausted):
            connector.get_record("USER", "1")
        assert connector.get_record("USER", "1")


def test_idle_connections_are_closed_for_the_next_request() -> None:
    """The connections that the hub itself keeps open may be those that are too many."""
    with serving(lambda _: Reply(200, {"id": 1})) as busy, serving(lambda _: Reply(200, {"id": 1})) as other:
        for system in (busy, other):
            assert shop(system.url).get_record("USER", "1")
        third = shop("http://127.0.0.1:9")
        with without_free_descriptors():
            with pytest.raises(HubExhausted):
                third.get_record("USER", "1")
            # Refused by the system itself: there was a descriptor.
            with pytest.raises(SystemUnavailable):
                third.get_record("USER", "1")


def test_a_pooled_connection_needs_a_descriptor_too() -> None:
    with serving(lambda _: Reply(200, {"id": 1})) as service:
        connector = shop(service.url)
        assert connector.get_record("USER", "1")
        with without_free_descriptors(), pytest.raises(HubExhausted):
            connector.get_record("USER", "1")


def test_used_up_local_ports_are_a_failure_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PORTS_USED_UP

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(HubExhausted):
        shop("http://127.0.0.1:9").get_record("USER", "1")


@pytest.mark.parametrize("address", ["http://[::1]:9", "http://[2001:db8::1]:9"])
def test_a_machine_without_ipv6_is_no_shortage(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    def refuse(*_: Any) -> None:
        raise PORTS_USED_UP

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(SystemUnavailable):
        shop(address).get_record("USER", "1")


def test_an_address_that_refuses_counts_more_than_one_that_could_not_be_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 9))
        for host in ("127.0.0.1", "127.0.0.2", "127.0.0.3")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    answers = iter([PORTS_USED_UP, ConnectionRefusedError(errno.ECONNREFUSED, "refused"), PORTS_USED_UP])

    def refuse(*_: Any) -> None:
        raise next(answers)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(SystemUnavailable):
        shop("http://several.test:9").get_record("USER", "1")


def test_a_refused_connection_stays_a_failure_of_the_system() -> None:
    with serving(lambda _: Reply(200, {"id": 1})) as service:
        url = service.url
    with pytest.raises(SystemUnavailable):
        shop(url).get_record("USER", "1")
    with pytest.raises(SystemUnavailable):
        shop("http://unknown.invalid:9").get_record("USER", "1")


def test_a_thread_that_cannot_be_started_is_a_failure_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "_resolver", HostResolver())
    start = threading.Thread.start

    def refuse_lookups(thread: threading.Thread) -> None:
        if thread.name == "name-lookup":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_lookups)
    with pytest.raises(HubExhausted):
        shop("http://localhost:9").get_record("USER", "1")


@pytest.mark.parametrize("origin", ["http://127.0.0.1:9", "https://127.0.0.1:9", "https://localhost:9"])
def test_the_connection_test_says_so_too(origin: str) -> None:
    endpoint = HttpEndpoint(origin, 60.0, 1000)
    with without_free_descriptors(), pytest.raises(ProbeFailed, match="hub-exhausted"):
        _probe(endpoint)


def _probe(endpoint: HttpEndpoint) -> None:
    resolve_endpoint(endpoint)
    fetch_certificate(endpoint)
