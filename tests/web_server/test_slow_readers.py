"""Clients that ask for much and read nothing: they hold no thread, little memory, and are closed after a while."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from integration_hub.web_server.client_connection import SENDING_SECONDS
from tests.support.processes.hub_processes import RunningHub
from tests.web_server.raw_client import ANSWERED_WITHIN, HEALTH, exchange, read_answer, seconds_of

pytestmark = [pytest.mark.nightly, pytest.mark.concurrent, pytest.mark.one_database]

LARGE = b"GET /static/admin/js/vendor/xregexp/xregexp.js HTTP/1.1\r\nHost: localhost\r\n"
READERS = 64


@contextmanager
def slow_readers(port: int, number: int) -> Iterator[list[socket.socket]]:
    """Hold so many connections open that have asked for 40 files each and read none."""
    with ExitStack() as stack:
        links = []
        for _ in range(number):
            link = stack.enter_context(socket.socket())
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
            link.connect(("127.0.0.1", port))
            link.sendall((LARGE + b"\r\n") * 40)
            links.append(link)
        yield links


def read_to_end(link: socket.socket) -> int:
    """Read until the connection is closed. Returns the number of bytes."""
    link.settimeout(10)
    received = 0
    try:
        while piece := link.recv(65_536):
            received += len(piece)
    except ConnectionError:
        pass
    return received


def test_slow_readers_do_not_block_others_and_are_closed(running: RunningHub) -> None:
    with slow_readers(running.port, READERS) as links:
        time.sleep(1.0)
        assert max(seconds_of(running, HEALTH) for _ in range(20)) <= ANSWERED_WITHIN
        time.sleep(SENDING_SECONDS + 1.0)
        whole = 40 * len(exchange(running.port, LARGE + b"Connection: close\r\n\r\n"))
        assert max(map(read_to_end, links)) < whole
    assert seconds_of(running, HEALTH) <= ANSWERED_WITHIN


def test_a_client_that_reads_after_a_pause_gets_everything(running: RunningHub) -> None:
    whole = exchange(running.port, LARGE + b"Connection: close\r\n\r\n")
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
        link.connect(("127.0.0.1", running.port))
        link.sendall((LARGE + b"\r\n") * 9 + LARGE + b"Connection: close\r\n\r\n")
        time.sleep(2.0)
        link.settimeout(10)
        received = bytearray()
        while piece := link.recv(1_048_576):
            received += piece
    body = whole.partition(b"\r\n\r\n")[2]
    assert read_answer(whole)[0] == 200
    assert len(body) > 300_000
    assert received.count(body) == 10
