"""Exchanges end in time and within their bytes."""

import contextlib
import gzip
import os
import socket
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from connectors.contracts.errors import (
    ConnectorError,
    RequestTimedOut,
    SystemUnavailable,
    UnreadableResponse,
)
from connectors.http import deadline
from connectors.http.deadline import Deadline, DeadlineWatchdog
from tests.support.http.connectors import SHORT_DEADLINE, MemoryRecorder, identity, shop, shop_settings
from tests.support.http.passing_deadlines import PassingDeadlines
from tests.support.http.servers import Reply, raw_serving, read_request, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def _send(data: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(data)

    return behave


def _endless(first: bytes, part: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(first)
        while True:
            connection.sendall(part)

    return behave


def _hang(connection: socket.socket) -> None:
    read_request(connection)
    connection.recv(1)


@pytest.fixture
def deadlines(monkeypatch: pytest.MonkeyPatch) -> PassingDeadlines:
    return PassingDeadlines(monkeypatch)


def send_until_closed(connection: socket.socket, data: bytes, waited_for: list[bool]) -> None:
    """Send one byte after another, and note in `waited_for` if the client waits for the last one."""
    for byte in data[:-1]:
        connection.sendall(bytes([byte]))
        time.sleep(0.005)
    waited_for.append(True)
    connection.sendall(data[-1:])


@pytest.mark.parametrize(
    ("first", "part"),
    [
        (HEAD + b"Content-Length: 2000\r\n\r\n", b" "),
        (HEAD + b"\r\n", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (HEAD, b"X-A: b\r\n"),
        (b"", b"H"),
    ],
    ids=["body", "body-without-length", "chunks", "headers", "status-line"],
)
@pytest.mark.promise("I14", "T10")
def test_a_slow_answer_ends_with_the_deadline(first: bytes, part: bytes, deadlines: PassingDeadlines) -> None:
    waited_for: list[bool] = []

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(first)
        deadlines.pass_now()
        send_until_closed(connection, part * 2_000, waited_for)

    notebook = MemoryRecorder()
    with raw_serving(behave) as url, pytest.raises(RequestTimedOut) as caught:
        shop(url, notebook).create_record("USER", {"email": "a@b.test"}, "k")
    assert caught.value.maybe_applied
    assert notebook.exchanges[0].error_code == "target-timeout"
    assert not waited_for


def test_a_slow_answer_over_a_pooled_connection_ends_with_the_deadline(deadlines: PassingDeadlines) -> None:
    waited_for: list[bool] = []
    body = b" " * 2_000 + b'{"id":"a1"}'
    head = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode()

    def drip_the_second(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(head + body)
        read_request(connection)
        connection.sendall(head)
        deadlines.pass_now()
        send_until_closed(connection, body, waited_for)

    with raw_serving(drip_the_second) as url:
        identity(url).fetch_entity("USER", "a1")
        with pytest.raises(RequestTimedOut):
            identity(url).fetch_entity("USER", "a1")
    assert not waited_for


@pytest.mark.parametrize(
    "behave",
    [
        _endless(HEAD + b"\r\n", b" " * 65536),
        _endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
        _endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 65536),
        _endless(HEAD, b"X-A: " + b"b" * 65536),
        _endless(HEAD, b"X-A: b\r\n" * 8192),
        _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        _send(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b" " * 50_000_000)),
        _send(HEAD + b"Content-Length: 2000000\r\n\r\n" + b" " * 2_000_000),
        _send(HEAD + b"\r\n" + b"[" * 1_000_000),
        _send(HEAD + b"\r\n" + b'{"a":' * 100 + b"1" + b"}" * 100),
        _send(HEAD + b"\r\n" + b'{"id":"a1","x":NaN}'),
        _send(HEAD + b"\r\n" + b'{"id":"a1","x":1e999}'),
        _send(HEAD + b"\r\n" + b'{"id":"a1","x":"\\ud800"}'),
        _send(HEAD + b"\r\n" + b'{"id":"a1","x":"\xff"}'),
        _send(HEAD + b"\r\n" + b'{"id":"another"}'),
        _send(HEAD + b"\r\n" + b'["a1"]'),
        _send(HEAD + b"\r\n<html>"),
        _send(b"nonsense\r\n\r\n"),
    ],
)
def test_an_invalid_answer_is_garbled(behave: Callable[[socket.socket], None]) -> None:
    with raw_serving(behave) as url, pytest.raises(UnreadableResponse):
        identity(url).fetch_entity("USER", "a1")


def test_a_deadline_has_passed_at_its_very_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: now))
    exact = Deadline(1.0)
    assert not exact.has_passed()
    now = 1.0
    assert exact.has_passed()


def test_an_answer_that_is_cut_off_is_unavailable() -> None:
    with (
        raw_serving(_send(HEAD + b'Content-Length: 99\r\n\r\n{"id":')) as url,
        pytest.raises(SystemUnavailable),
    ):
        identity(url).fetch_entity("USER", "a1")


def test_a_refused_connection_says_that_a_write_was_not_applied() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SystemUnavailable) as caught:
        shop(f"http://127.0.0.1:{port}").create_record("USER", {"email": "a@b.test"}, "k")
    assert not caught.value.maybe_applied


def test_a_read_over_a_closed_pooled_connection_is_repeated() -> None:
    served: list[bytes] = []

    def one_each(connection: socket.socket) -> None:
        served.append(read_request(connection))
        connection.sendall(HEAD + b'Content-Length: 11\r\n\r\n{"id":"a1"}')
        if len(served) == 1:
            read_request(connection)

    notebook = MemoryRecorder()
    with raw_serving(one_each) as url:
        connector = identity(url, notebook)
        assert connector.fetch_entity("USER", "a1")
        assert connector.fetch_entity("USER", "a1")
    assert [exchange.error_code for exchange in notebook.exchanges] == [None, "identity-unavailable", None]


def test_a_search_by_post_is_repeated_as_any_other_read() -> None:
    served: list[bytes] = []

    def one_each(connection: socket.socket) -> None:
        served.append(read_request(connection))
        connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n[]")
        if len(served) == 1:
            read_request(connection)

    search = {"method": "POST", "path": "/s", "body": {"v": {"expression": "value"}}, "fields": ["email"]}
    with raw_serving(one_each) as url:
        connector = shop(url, settings=shop_settings(search=search))
        assert connector.search_records("USER", "email", "a@b.test") == ()
        assert connector.search_records("USER", "email", "a@b.test") == ()


def test_a_write_over_a_closed_connection_is_not_repeated() -> None:
    served: list[bytes] = []

    def one_each(connection: socket.socket) -> None:
        served.append(read_request(connection))
        connection.sendall(HEAD + b'Content-Length: 8\r\n\r\n{"id":1}')
        served.append(read_request(connection))

    with raw_serving(one_each) as url:
        connector = shop(url)
        connector.get_record("USER", "1")
        with pytest.raises(SystemUnavailable) as caught:
            connector.create_record("USER", {"email": "a@b.test"}, "k")
    assert caught.value.maybe_applied
    assert len(served) == 2


@pytest.mark.nightly
def test_a_late_watchdog_never_interrupts_the_next_exchange() -> None:
    """Deadlines expire exactly when exchanges end, on connections that are reused at once."""
    with serving(lambda _: (time.sleep(0.004), Reply(200, {"id": "a1"}))[1]) as service:
        wrong: list[str] = []

        def loop(seconds: float) -> None:
            for _ in range(60):
                try:
                    identity(service.url, deadline=seconds).fetch_entity("USER", "a1")
                except RequestTimedOut:
                    if seconds > 1:
                        wrong.append("timed out")
                except ConnectorError as error:
                    wrong.append(str(error))

        threads = [threading.Thread(target=loop, args=(limit,)) for limit in (0.006, 0.007, 0.008, 5.0, 5.0)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_forked_child_has_a_watchdog_and_connections_of_its_own() -> None:
    with raw_serving(_hang) as stuck, serving(lambda _: Reply(200, {"id": "a1"})) as service:
        identity(service.url).fetch_entity("USER", "a1")
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                identity(service.url).fetch_entity("USER", "a1")
                try:
                    identity(stuck, deadline=SHORT_DEADLINE).fetch_entity("USER", "a1")
                except RequestTimedOut:
                    code = 0
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        identity(service.url).fetch_entity("USER", "a1")
        assert len({seen.connection for seen in service.seen}) == 2


def test_a_watchdog_that_could_not_start_is_started_by_the_next_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    watchdog = DeadlineWatchdog()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="no thread could be started"):
            watchdog.add_deadline(Deadline(60.0))
    assert not watchdog._started
    watchdog.add_deadline(Deadline(60.0))
    assert watchdog._started
