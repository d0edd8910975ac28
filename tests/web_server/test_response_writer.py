"""Responses to clients that read slowly: what is kept, what is refused, and how much memory all of them may take."""

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config

from integration_hub.web_server import connection_loop, response_writer
from integration_hub.web_server.client_connection import SENDING_SECONDS, ClientConnection, ConnectionPhase
from integration_hub.web_server.connection_loop import ConnectionLoop
from integration_hub.web_server.response_writer import MAX_UNSENT, ResponseWriter, SlowClient

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

PIECE = bytes(range(256)) * 256


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield the hub's end of a connection, which never blocks, and the client's."""
    hub, client = socket.socketpair()
    hub.setblocking(False)
    with hub, client:
        yield hub, client


def read(client: socket.socket, size: int) -> bytes:
    received = bytearray()
    client.settimeout(60)
    while len(received) < size:
        received += client.recv(65_536)
    return bytes(received)


def fill(writer: ResponseWriter, size: int) -> int:
    """Write pieces until this much is kept. Returns how many were written."""
    pieces = 0
    while len(writer.unsent) < size:
        writer.sendall(PIECE)
        pieces += 1
        assert pieces < 200, "nothing is kept"
    return pieces


def test_unsent_data_is_buffered_in_order(ends: Any) -> None:
    hub, client = ends
    writer = ResponseWriter(hub, threading.Semaphore(0))
    pieces = fill(writer, MAX_UNSENT // 2)
    sent = read(client, pieces * len(PIECE) - len(writer.unsent))
    assert sent + bytes(writer.unsent) == PIECE * pieces
    # The client reads again, but nothing may overtake what is kept.
    writer.sendall(b"the end")
    assert writer.unsent.endswith(PIECE + b"the end")


def read_to_end(client: socket.socket, received: bytearray) -> None:
    while piece := client.recv(65_536):
        received += piece


def test_a_thread_waits_for_the_client_of_a_long_response(ends: Any) -> None:
    hub, client = ends
    waiters = threading.Semaphore(1)
    writer, received = ResponseWriter(hub, waiters), bytearray()
    reader = threading.Thread(target=read_to_end, args=(client, received))
    reader.start()
    for _ in range(100):
        writer.sendall(PIECE)
        assert len(writer.unsent) <= MAX_UNSENT
    hub.close()
    reader.join(60)
    assert bytes(received + writer.unsent) == PIECE * 100
    assert waiters.acquire(blocking=False), "the thread still counts as waiting"


def test_a_client_that_never_takes_a_long_response_is_given_up(
    ends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_writer, "WAIT_SECONDS", 0.2)
    waiters = threading.Semaphore(1)
    with pytest.raises(SlowClient, match="too slowly"):
        fill(ResponseWriter(ends[0], waiters), 2 * MAX_UNSENT)
    assert waiters.acquire(blocking=False)


def test_no_thread_waits_where_enough_of_them_do(ends: Any) -> None:
    with pytest.raises(SlowClient, match="too many"):
        fill(ResponseWriter(ends[0], threading.Semaphore(0)), 2 * MAX_UNSENT)


@pytest.fixture
def loop() -> Iterator[ConnectionLoop]:
    """Yield a loop without a server. Its poller is real."""
    loop = object.__new__(ConnectionLoop)
    loop.waiting, loop._large = set(), set()
    loop.nr_conns, loop.poller = 0, selectors.DefaultSelector()
    yield loop
    loop.poller.close()


def send_rest(
    loop: ConnectionLoop, hub: socket.socket, unsent: bytes, *, age: float = 0.0
) -> ClientConnection:
    """Hand a connection with the rest of a response to the loop."""
    connection = ClientConnection(Config(), hub, ("192.0.2.1", 1), None, time.monotonic())
    connection.unsent += unsent
    loop.nr_conns += 1
    loop.end_response(connection)
    connection.since -= age
    return connection


def test_the_loop_sends_the_rest_and_closes_the_connection(loop: ConnectionLoop, ends: Any) -> None:
    hub, client = ends
    connection = send_rest(loop, hub, PIECE * 20)
    received = bytearray()
    client.settimeout(60)
    while loop.waiting:
        for key, _ in loop.poller.select(1):
            key.data(key.fileobj)
        received += client.recv(1_048_576)
    while piece := client.recv(1_048_576):
        received += piece
    assert bytes(received) == PIECE * 20
    assert (loop.nr_conns, connection.unsent) == (0, b"")


def test_a_response_that_the_client_does_not_read_in_time_is_late(loop: ConnectionLoop, ends: Any) -> None:
    connection = send_rest(loop, ends[0], PIECE)
    assert connection.phase is ConnectionPhase.SENDING
    assert not connection.is_late(connection.since + SENDING_SECONDS - 1)
    assert connection.is_late(connection.since + SENDING_SECONDS + 1)


def test_all_rests_together_have_a_limit_and_the_oldest_are_closed(
    loop: ConnectionLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_loop, "MAX_UNSENT_OF_ALL", 3 * len(PIECE))
    pairs = [socket.socketpair() for _ in range(5)]
    try:
        sending = [send_rest(loop, hub, PIECE, age=100.0 - number) for number, (hub, _) in enumerate(pairs)]
        assert loop.waiting == set(sending[2:])
        assert loop.nr_conns == 3
    finally:
        for pair in pairs:
            for one in pair:
                one.close()
