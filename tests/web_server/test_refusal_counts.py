"""What the server itself refuses is counted, and listed among the requests of the console."""

import socket
import time
from pathlib import Path

import pytest

from integration_hub.web_server import refusal_counts
from tests.support.hub import Hub
from tests.support.processes.hub_processes import RunningHub, running_hub
from webhooks.models import Refusal
from webhooks.receiving import refusals

pytestmark = pytest.mark.concurrent

MALFORMED = b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"


def send(running: RunningHub, raw: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        connection.sendall(raw)
        return connection.recv(4096)


@pytest.mark.nightly
def test_malformed_requests_of_a_minute_share_a_row(hub: Hub, tmp_path: Path) -> None:
    with running_hub(tmp_path, hub.identity, hub.shop) as running:
        for _ in range(20):
            assert send(running, MALFORMED).startswith(b"HTTP/1.1 400 ")
        query = "SELECT code, sum(times) FROM webhooks_refusal WHERE address = '127.0.0.1' GROUP BY code"
        until = time.monotonic() + 15
        while running.rows(query) != [("bad-request", 20)]:
            assert time.monotonic() < until, running.rows(query)
            time.sleep(0.2)
        assert running.rows("SELECT count(*) <= 2 FROM webhooks_refusal") in ([(1,)], [(True,)])


@pytest.mark.submission
def test_a_flood_from_many_addresses_shares_a_count(hub: Hub) -> None:
    del hub
    refusal_counts.pending_counts.reset()
    for number in range(3 * refusal_counts.MAX_COUNTS):
        refusal_counts.count_refusal("bad-request", f"192.0.2.{number % 250}", 400)
        refusal_counts.count_refusal("slow-request", f"198.51.100.{number % 250}", 408)
    assert len(refusal_counts.pending_counts) <= refusal_counts.MAX_COUNTS + 4
    refusal_counts.pending_counts.flush()
    refusals.refusal_counts.flush()
    assert sum(Refusal.objects.values_list("times", flat=True)) == 6 * refusal_counts.MAX_COUNTS
    assert set(Refusal.objects.values_list("code", flat=True)) == {"bad-request", "slow-request"}


def test_a_link_local_address_is_counted_without_its_zone(hub: Hub) -> None:
    del hub
    refusal_counts.pending_counts.reset()
    refusal_counts.count_refusal("bad-request", "fe80::1234:5678:9abc:def0%br-0123456789ab", 400)
    refusal_counts.pending_counts.flush()
    assert Refusal.objects.get().address == "fe80::1234:5678:9abc:def0"
