"""The lookup of a name: its time limit, its threads, and the time that each address gets."""

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.contracts.errors import RequestTimedOut, SystemUnavailable
from connectors.http import deadline, transport
from connectors.http.deadline import Deadline
from connectors.http.dns import MAX_THREADS, HostResolver, resolve_addresses
from connectors.http.message_types import ConnectionFailed, HttpEndpoint, HttpRequest
from connectors.http.response_reader import MAX_CONNECT_SECONDS, ExchangeState, open_socket
from tests.support.http.connectors import identity, shop
from tests.support.http.servers import Reply, SeenRequest, Service, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


def _user(_: SeenRequest) -> Reply:
    return Reply(200, {"id": 1})


def _resolving_to(monkeypatch: pytest.MonkeyPatch, port: int, *hosts: str) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def _port(service: Service) -> int:
    return int(service.url.rpartition(":")[2])


def test_a_host_without_an_address_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(SystemUnavailable) as caught:
        shop("http://unknown.test").create_record("USER", {}, "k")
    assert not caught.value.maybe_applied


@pytest.fixture
def hung_lookups(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Simulate a name server that answers one name at once and all others when the event is set."""
    released = threading.Event()
    real = socket.getaddrinfo

    def slow(host: str, *arguments: Any, **options: Any) -> Any:
        if not host.startswith("live"):
            released.wait(60)
        return real("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    yield released
    released.set()


def _lookup_threads() -> int:
    return sum(thread.name == "name-lookup" for thread in threading.enumerate())


@pytest.mark.nightly
def test_a_hanging_name_server_blocks_one_thread_until_the_deadline(hung_lookups: threading.Event) -> None:
    before, late, limit = _lookup_threads(), list[bool](), 2.0

    def ask(port: int) -> None:
        try:
            shop(f"http://hung.test:{port}", deadline=limit).create_record("USER", {}, "k")
        except RequestTimedOut as error:
            late.append(error.maybe_applied)

    with serving(_user) as service:
        started = time.monotonic()
        callers = [threading.Thread(target=ask, args=(_port(service),)) for _ in range(20)]
        for caller in callers:
            caller.start()
        assert shop(f"http://live.test:{_port(service)}").get_record("USER", "1")
        assert time.monotonic() - started < limit
        for caller in callers:
            caller.join()
        assert time.monotonic() - started < limit + 5
        assert late == [False] * 20
        assert _lookup_threads() <= before + 2

        hung_lookups.set()
        assert shop(f"http://hung.test:{_port(service)}").get_record("USER", "1")


def test_many_hanging_lookups_use_a_bounded_number_of_threads(hung_lookups: threading.Event) -> None:
    names = [f"hung{number}.test" for number in range(MAX_THREADS + 4)]
    for name in names:
        with pytest.raises(TimeoutError):
            resolve_addresses(name, 80, 0.01)
    assert _lookup_threads() <= MAX_THREADS

    hung_lookups.set()
    assert all(resolve_addresses(name, 80, 60.0) for name in names)


def test_a_forked_child_resolves_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: Reply(200, {"id": "a1"})) as service:
        _resolving_to(monkeypatch, _port(service), "127.0.0.1")
        url = f"http://name.test:{_port(service)}"
        identity(url).fetch_entity("USER", "a1")
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                identity(url).fetch_entity("USER", "a1")
                code = 0
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("origin", "host", "port"),
    [
        ("http://[fd00:1::254]", "fd00:1::254", 80),
        ("https://[fd00:1::254]", "fd00:1::254", 443),
        ("https://[::ffff:10.0.0.1]", "::ffff:10.0.0.1", 443),
        ("http://[fd00:1::254]:8080", "fd00:1::254", 8080),
        ("https://shop.test", "shop.test", 443),
    ],
)
def test_a_connection_goes_to_the_host_and_port_of_its_origin(
    origin: str, host: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    def open_nothing(*where: Any) -> Any:
        asked.append(where[:2])
        raise OSError("no connection")

    monkeypatch.setattr(transport, "open_socket", open_nothing)
    request = HttpRequest("GET", f"{origin}/a", {}, None, re.compile(".*"))
    with pytest.raises(ConnectionFailed):
        transport.transmit_request(request, HttpEndpoint(origin, 1.0, 1_000))
    assert asked == [(host, port)]


@pytest.mark.parametrize("has_thread", [False, True])
def test_a_lookup_whose_thread_does_not_start_leaves_no_state(
    monkeypatch: pytest.MonkeyPatch, has_thread: bool
) -> None:
    resolver, name = HostResolver(), ("localhost", 80)
    if has_thread:
        assert resolver.resolve_host(name, 60.0)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", _refuse_start)
        with contextlib.nullcontext() if has_thread else pytest.raises(OSError, match="no thread"):
            resolver.resolve_host(name, 60.0)
    assert resolver._lookups == {}
    assert resolver.resolve_host(name, 60.0)
    assert resolver._threads >= 1


def _refuse_start(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@contextlib.contextmanager
def _silent_address(port: int) -> Iterator[str]:
    """Yield an address at which this port accepts no connection, and refuses none either: its queue is full."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.2", port))
        listener.listen(0)
        for _ in range(8):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.2", port))
        yield "127.0.0.2"


@pytest.mark.parametrize(
    ("seconds", "waits"),
    [(6.0, [2.0, 3.0, 6.0]), (60.0, [MAX_CONNECT_SECONDS, MAX_CONNECT_SECONDS, 60.0])],
)
def test_each_address_gets_its_share_of_the_time(
    monkeypatch: pytest.MonkeyPatch, seconds: float, waits: list[float]
) -> None:
    """Many machines have a route for IPv6 that leads nowhere, and IPv6 comes first."""
    found: list[float | None] = []

    def time_out(sock: socket.socket, _: Any) -> None:
        found.append(sock.gettimeout())
        raise TimeoutError

    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.setattr(socket.socket, "connect", time_out)
    _resolving_to(monkeypatch, 80, "127.0.0.2", "127.0.0.3", "127.0.0.4")
    state = ExchangeState(HttpEndpoint("http://shop.test", seconds, 1_000), Deadline(seconds))
    with pytest.raises(TimeoutError):
        open_socket("shop.test", 80, state)
    assert found == waits


@pytest.mark.nightly
def test_addresses_that_do_not_answer_end_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(_user) as service, _silent_address(_port(service)) as silent:
        _resolving_to(monkeypatch, _port(service), silent, silent, silent)
        started = time.monotonic()
        with pytest.raises(RequestTimedOut):
            shop(f"http://shop.test:{_port(service)}", deadline=1.0).get_record("USER", "1")
    assert 0.9 < time.monotonic() - started < 6
