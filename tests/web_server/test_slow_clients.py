"""Hundreds of slow clients: the hub serves others meanwhile, and closes the slow ones in time."""

import json
import signal
import socket
import sqlite3
import time
from contextlib import ExitStack, closing

import pytest

from integration_hub.web_server.connection_loop import MAX_LARGE_BODIES, MAX_LARGE_BODIES_OF_ADDRESS
from tests.support.processes.hub_processes import RunningHub
from tests.web_server.conftest import StartHub
from tests.web_server.raw_client import (
    ANSWERED_WITHIN,
    HEALTH,
    count_events,
    exchange,
    open_link,
    read_answer,
    seconds_of,
)
from tests.web_server.raw_requests.case import webhook
from tests.web_server.slow_clients import SlowClient, slow_clients

pytestmark = [pytest.mark.nightly, pytest.mark.concurrent, pytest.mark.one_database]

CLOSED_WITHIN = 15.0


def closing_times(clients: list[SlowClient]) -> list[float]:
    """Return after how many seconds each client was closed; infinity for those that are still open at the end."""
    until = time.monotonic() + CLOSED_WITHIN
    while time.monotonic() < until and any(client.closed_after is None for client in clients):
        time.sleep(0.1)
    return [float("inf") if client.closed_after is None else client.closed_after for client in clients]


def test_slow_clients_do_not_block_others_and_are_closed(running: RunningHub) -> None:
    before = count_events(running)
    with slow_clients(running.port, 200, 200) as clients:
        for _ in range(5):
            assert seconds_of(running, HEALTH) <= ANSWERED_WITHIN
            assert seconds_of(running, webhook()) < 3
        assert max(closing_times(clients)) <= CLOSED_WITHIN
        assert {read_answer(client.received)[0] for client in clients} == {408}
    assert count_events(running) - before == 5


@pytest.mark.parametrize("status", [503, 429])
def test_unfinished_long_forms_take_a_bounded_part_of_the_memory(start_hub: StartHub, status: int) -> None:
    with start_hub(UNAVAILABLE_STATUS=str(status)) as running:
        fill_with_large_bodies(running, status)
        seen = f"SELECT status FROM webhooks_refusal WHERE code = 'storage-unavailable' AND status = {status}"
        until = time.monotonic() + 15
        while not running.rows(seen):
            assert time.monotonic() < until
            time.sleep(0.2)


def accept_large_bodies(running: RunningHub) -> None:
    document = json.dumps({"max_bytes": 1_048_576})
    running.write(f"UPDATE webhooks_source SET webhook_format = '{document}' WHERE slug = 'aurora-unsigned'")
    time.sleep(1.5)  # sources are cached


def address_of(number: int) -> str:
    """Return the address of a client that has begun so many large bodies: two clients have one address."""
    return f"127.0.0.{2 + number // MAX_LARGE_BODIES_OF_ADDRESS}"


def fill_with_large_bodies(running: RunningHub, status: int) -> None:
    """Begin as many large bodies as a process reads at once; the next is refused, and webhooks are not."""
    accept_large_bodies(running)
    beginning = webhook("Content-Length: 100000", length=False)
    with ExitStack() as stack:
        for number in range(MAX_LARGE_BODIES):
            stack.enter_context(open_link(running.port, beginning, address_of(number)))
        time.sleep(0.5)
        assert read_answer(exchange(running.port, beginning))[0] == status
        assert seconds_of(running, webhook()) < 3


def large_webhook(size: int = 70_000) -> bytes:
    return webhook(body=b'{"id":"D-1","entityType":"DEVICE","eventType":"UPDATE","x":"%s"}' % (b"x" * size))


def test_large_bodies_that_have_arrived_count_until_they_are_answered(start_hub: StartHub) -> None:
    large = large_webhook()
    with start_hub() as running, ExitStack() as stack:
        accept_large_bodies(running)
        # While the database is locked, no request is answered.
        lock = stack.enter_context(closing(sqlite3.connect(running.database, isolation_level=None)))
        lock.execute("BEGIN IMMEDIATE")
        links = [
            stack.enter_context(open_link(running.port, large, address_of(number)))
            for number in range(MAX_LARGE_BODIES)
        ]
        time.sleep(0.5)
        assert read_answer(exchange(running.port, large))[0] == 503
        lock.execute("ROLLBACK")
        assert {status_of(link) for link in links} == {200}
        assert read_answer(exchange(running.port, large))[0] == 200


def status_of(link: socket.socket) -> int:
    """Return the status of the answer on a connection that the server closes after it."""
    return int(read_answer(b"".join(iter(lambda: link.recv(65_536), b"")))[0])


def test_a_request_that_is_arriving_when_the_hub_stops_is_answered(start_hub: StartHub) -> None:
    with start_hub() as hub:
        assert hub.process is not None
        request = webhook()
        with socket.create_connection(("127.0.0.1", hub.port), timeout=10) as link:
            link.sendall(request[:-5])
            time.sleep(0.2)
            hub.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            link.sendall(request[-5:])
            received = b""
            while piece := link.recv(65_536):
                received += piece
        assert read_answer(received)[0] in (200, 202)
        assert hub.process.wait(30) == 0
        hub.process = None
        assert count_events(hub) == 1


def p95_of_large_webhooks(running: RunningHub, number: int = 40) -> float:
    """Send webhooks of 1 MiB from an address of their own, one after the other."""
    seconds = []
    for _ in range(number):
        began = time.monotonic()
        with open_link(running.port, large_webhook(1_048_000), "127.0.0.9") as link:
            assert status_of(link) == 200
        seconds.append(time.monotonic() - began)
    return sorted(seconds)[int(number * 0.95) - 1]


def test_slow_clients_of_one_address_do_not_delay_the_large_bodies_of_another(start_hub: StartHub) -> None:
    """60 silent connections, each with the beginning of a large body, had shut out all others."""
    beginning = webhook("Content-Length: 1000000", length=False)
    with start_hub() as running, ExitStack() as stack:
        accept_large_bodies(running)
        quiet = p95_of_large_webhooks(running)
        for _ in range(60):
            stack.enter_context(open_link(running.port, beginning, "127.0.0.1"))
        stack.enter_context(slow_clients(running.port, 100, 100))
        busy = p95_of_large_webhooks(running)
        print(
            f"p95 of webhooks of 1 MiB: {quiet * 1000:.0f} ms alone, {busy * 1000:.0f} ms beside slow clients"
        )
        assert busy < 2 * quiet
