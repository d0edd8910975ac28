"""A flood of refused requests costs one row and one write a second, and all of it is counted."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from tests.support.hub import EXAMPLE, Hub
from tests.support.people import entries
from tests.support.processes.hub_processes import running_hub
from webhooks.models import HANDSHAKE_CODE, Refusal, Source
from webhooks.receiving import refusals
from webhooks.receiving.incoming_request import IncomingRequest

pytestmark = [pytest.mark.usefixtures("hub"), pytest.mark.concurrent]

WRONG = {"authorization": "Bearer wrong"}


@pytest.fixture(autouse=True)
def _one_minute(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    now = datetime.now(UTC)
    monkeypatch.setattr("webhooks.receiving.incoming_request.timezone", SimpleNamespace(now=lambda: now))
    monkeypatch.setattr("database.deferred_counts.FLUSH_SECONDS", 3600.0)
    yield
    refusals.reset_counts()


def refuse(hub: Hub, times: int) -> None:
    for _ in range(times):
        assert hub.post(EXAMPLE, "aurora", **WRONG).status_code == 401


def counted() -> int:
    return sum(Refusal.objects.values_list("times", flat=True))


def test_refusals_after_the_first_write_no_table(hub: Hub) -> None:
    refuse(hub, 1)
    with CaptureQueriesContext(connection) as queries:
        refuse(hub, 50)
    assert [query["sql"] for query in queries if "webhooks_refusal" in query["sql"]] == []
    assert counted() == 1
    refusals.refusal_counts.flush()
    assert counted() == 51
    refusals.refusal_counts.flush()
    assert counted() == 51


@pytest.mark.submission
def test_a_flood_from_many_addresses_writes_no_table_beyond_the_limit_of_rows(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.receiving.refusals.NEW_ROWS_A_MINUTE", 3)

    def from_addresses(first: int, last: int) -> None:
        for number in range(first, last):
            hub.client.defaults["REMOTE_ADDR"] = f"10.0.0.{number}"
            refuse(hub, 1)

    from_addresses(0, 4)
    with CaptureQueriesContext(connection) as queries:
        from_addresses(4, 50)
    assert [query["sql"] for query in queries if "webhooks_refusal" in query["sql"]] == []
    refusals.refusal_counts.flush()
    assert sorted(Refusal.objects.values_list("times", flat=True)) == [1, 1, 1, 47]


def test_counts_that_cannot_be_written_are_kept_in_memory(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(hub, 3)
    with monkeypatch.context() as patch:
        patch.setattr(
            refusals, "Refusal", SimpleNamespace(objects=SimpleNamespace(filter=_fail_as_unavailable))
        )
        refusals.refusal_counts.flush()
        refuse(hub, 2)
        refusals.refusal_counts.flush()
    refusals.refusal_counts.flush()
    assert counted() == 5


def _fail_as_unavailable(**_: str) -> None:
    raise OperationalError("the database is away")


@pytest.mark.nightly
def test_a_stopping_process_writes_its_counts(hub: Hub, tmp_path: Path) -> None:
    with running_hub(tmp_path, hub.identity, hub.shop) as running:
        for _ in range(30):
            assert running.send(EXAMPLE, "/webhooks/aurora", Authorization="Bearer wrong").status == 401
        assert running.process is not None
        os.kill(running.process.pid, signal.SIGTERM)
        running.process.wait(60)
        running.process = None
        assert sum(times for (times,) in running.rows("SELECT times FROM webhooks_refusal")) == 30


NOON = datetime(2026, 7, 1, 12, 0, 30, tzinfo=UTC)


def refuse_at(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, at: datetime, times: int = 1, first: int = 0
) -> None:
    """Refuse requests at this time, each from an address of its own."""
    monkeypatch.setattr("webhooks.receiving.incoming_request.timezone", SimpleNamespace(now=lambda: at))
    for number in range(first, first + times):
        hub.client.defaults["REMOTE_ADDR"] = f"10.0.{number // 250}.{number % 250}"
        refuse(hub, 1)


@pytest.mark.submission
def test_an_hour_of_refusals_has_one_entry_and_the_next_one_has_their_sum(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minute in range(5):
        refuse_at(hub, monkeypatch, NOON + timedelta(minutes=minute), times=4)
    refusals.refusal_counts.flush()
    assert [entry["details"] for entry in entries("webhook.refused")] == [
        {"code": "bad-signature", "size": len(EXAMPLE)}
    ]
    refuse_at(hub, monkeypatch, NOON + timedelta(hours=3), times=2)
    refuse_at(hub, monkeypatch, NOON + timedelta(hours=4))
    sums = [entry["details"] for entry in entries("webhook.refused")][1:]
    assert [(entry["earlier_hour"][:16], entry["earlier_times"]) for entry in sums] == [
        ("2026-07-01T12:00", 20),
        ("2026-07-01T15:00", 2),
    ]


@pytest.mark.submission
def test_an_hour_has_a_limited_number_of_rows_of_one_source(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused are 4 requests a minute, each from a new address."""
    monkeypatch.setattr(refusals, "NEW_ROWS_A_MINUTE", 2)
    monkeypatch.setattr(refusals, "NEW_ROWS_AN_HOUR", 5)
    for minute in range(4):
        refuse_at(hub, monkeypatch, NOON + timedelta(minutes=minute), times=4, first=10 * minute)
    refusals.refusal_counts.flush()
    assert counted() == 16
    # The shared rows of a minute count, too; then one for the rest of the hour.
    assert Refusal.objects.count() == 6


def test_handshakes_do_not_use_up_rows_of_refusals(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "NEW_ROWS_AN_HOUR", 3)
    source = Source.objects.get(slug="aurora")
    for number in range(9):
        incoming = IncomingRequest("", {}, None, None, f"198.51.100.{number}", NOON)
        refusals.record_handshake(incoming, source, 200)
    assert Refusal.objects.filter(code=HANDSHAKE_CODE).count() == 4
    refuse_at(hub, monkeypatch, NOON, times=2)
    addresses = Refusal.objects.exclude(code=HANDSHAKE_CODE).values_list("address", flat=True)
    assert sorted(addresses) == ["10.0.0.0", "10.0.0.1"]
