"""Connections are reused between exchanges, except those in a doubtful state."""

import contextlib
import socket
import struct
import threading
from ipaddress import ip_network
from typing import Any

import pytest

from connectors.contracts.errors import RequestRejected, SystemUnavailable, UnreadableResponse
from connectors.http.connection_pool import MAX_IDLE, MAX_ORIGINS, ConnectionPool
from connectors.http.message_types import HttpEndpoint
from tests.support.http.connectors import identity, shop
from tests.support.http.servers import Reply, raw_serving, read_request, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"id":"a1"}'
WRONG = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"id":"no"}'


def test_consecutive_exchanges_use_one_connection() -> None:
    with serving(lambda _: Reply(200, {"id": "a1"})) as service:
        for _ in range(5):
            assert identity(service.url).fetch_entity("USER", "a1")
        assert len({seen.connection for seen in service.seen}) == 1


@pytest.mark.parametrize(
    "answers",
    [
        [OK + WRONG],
        [OK, WRONG],
        [b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 11\r\n\r\n{"id":"a1"}'],
        [b'HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\n{"id":"a1"}'],
    ],
    ids=["more-at-once", "more-afterwards", "close", "http-1.0"],
)
def test_a_connection_with_unexpected_data_is_not_reused(answers: list[bytes]) -> None:
    """An unexpected answer must never become the answer to the next request."""
    signalled = threading.Event()

    def behave(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while read_request(connection):
            for answer in answers:
                connection.sendall(answer)
            signalled.set()

    with raw_serving(behave) as url:
        for _ in range(3):
            signalled.clear()
            assert identity(url).fetch_entity("USER", "a1")
            assert signalled.wait(60)


HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nContent-Length: 9\r\n\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        [HINTS + OK],
        [HINTS, OK],
        [b"HTTP/1.1 102 Processing\r\n\r\n" * 3, HINTS + b"HTTP/1.1 100 Continue\r\n\r\n", OK],
        [*(HINTS[place : place + 1] for place in range(len(HINTS))), OK],
    ],
    ids=["at-once", "before", "several", "byte-by-byte"],
)
def test_interim_answers_are_skipped_and_the_connection_is_used_again(parts: list[bytes]) -> None:
    connections: list[socket.socket] = []

    def behave(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections.append(connection)
        while read_request(connection):
            for part in parts:
                connection.sendall(part)

    with raw_serving(behave) as url:
        for _ in range(3):
            assert identity(url).fetch_entity("USER", "a1")
    assert len(connections) == 1


def test_endless_interim_answers_end_at_the_limit_of_the_headers() -> None:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(HINTS)

    with raw_serving(behave) as url, pytest.raises(UnreadableResponse, match="too large"):
        identity(url).fetch_entity("USER", "a1")


def test_a_response_before_the_end_of_the_request_is_read_although_the_connection_was_reset() -> None:
    """Whoever closes with unread data resets the connection; what it sent before has arrived all the same."""

    def behave(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with raw_serving(behave) as url, pytest.raises(RequestRejected) as caught:
        shop(url).create_record("USER", {"name": "a" * 6_000_000}, "k")
    assert caught.value.status == 413


def test_an_interim_answer_alone_is_a_cut_connection() -> None:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HINTS)

    with raw_serving(behave) as url, pytest.raises(SystemUnavailable):
        identity(url).fetch_entity("USER", "a1")


def test_another_protocol_is_rejected_and_its_connection_closed() -> None:
    first = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    served: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        served.append(read_request(connection))
        connection.sendall(first if len(served) == 1 else OK)
        read_request(connection)

    with raw_serving(behave) as url:
        with pytest.raises(UnreadableResponse):
            identity(url).fetch_entity("USER", "a1")
        assert identity(url).fetch_entity("USER", "a1")


@pytest.mark.parametrize(
    "lengths", [b"11\r\nContent-Length: 12", b"11, 12", b"+11", b"1_1", b"-1", b"11, 11"]
)
def test_an_answer_of_ambiguous_length_is_rejected(lengths: bytes) -> None:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: " + lengths + b'\r\n\r\n{"id":"a1"} ')

    with raw_serving(behave) as url, pytest.raises(UnreadableResponse):
        identity(url).fetch_entity("USER", "a1")


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize(
    "coding",
    [b"gzip, chunked", b"gzip\r\nTransfer-Encoding: chunked", b"identity", b"chunked, chunked"],
)
def test_an_answer_in_an_unknown_transfer_coding_is_rejected(coding: bytes, version: bytes) -> None:
    head = b"HTTP/" + version + b" 200 OK\r\nTransfer-Encoding: " + coding + b"\r\n"

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(head + b'Content-Length: 11\r\n\r\n{"id":"a1"}')

    with raw_serving(behave) as url, pytest.raises(UnreadableResponse):
        identity(url).fetch_entity("USER", "a1")


class _Line:
    """A connection that only remembers whether it was closed."""

    def __init__(self) -> None:
        self.is_connected = True

    def close(self) -> None:
        self.is_connected = False


def test_idle_connections_and_origins_are_bounded() -> None:
    keeper: ConnectionPool[_Line] = ConnectionPool(lambda _: _Line)
    endpoint = HttpEndpoint("http://a.test", 1.0, 1)
    lines = [keeper.acquire_connection(endpoint) for _ in range(MAX_IDLE + 3)]
    for line in lines:
        keeper.return_connection(endpoint, line)
    assert [line.is_connected for line in lines] == [True] * MAX_IDLE + [False] * 3
    late = keeper.acquire_connection(endpoint)
    assert late is lines[MAX_IDLE - 1]

    for number in range(MAX_ORIGINS):
        keeper.acquire_connection(HttpEndpoint(f"http://b{number}.test", 1.0, 1))
    keeper.return_connection(endpoint, late)
    assert not any(line.is_connected for line in lines)
    assert keeper.acquire_connection(endpoint) not in lines


@pytest.mark.parametrize(
    "terms", [{"ca_certificates": "other"}, {"allowed_networks": (ip_network("10.0.0.0/8"),)}]
)
def test_certificates_and_networks_keep_connections_apart(terms: dict[str, Any]) -> None:
    keeper: ConnectionPool[_Line] = ConnectionPool(lambda _: _Line)
    wire = HttpEndpoint("https://a.test", 1.0, 1)
    line = keeper.acquire_connection(wire)
    keeper.return_connection(wire, line)
    assert keeper.acquire_connection(wire._replace(**terms)) is not line
    assert keeper.acquire_connection(wire._replace(deadline_seconds=2.0, byte_cap=2)) is line
