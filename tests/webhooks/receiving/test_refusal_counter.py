"""A flood of refused requests costs one row and one write a second, and all of it is counted."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext

from tests.support.hub import EXAMPLE, Hub
from tests.support.processes.hub_processes import running_hub
from webhooks.models import Refusal
from webhooks.receiving import refusals

pytestmark = pytest.mark.usefixtures("hub")

WRONG = {"authorization": "Bearer wrong"}


@pytest.fixture(autouse=True)
def _one_minute(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    now = datetime.now(UTC)
    monkeypatch.setattr("webhooks.receiving.incoming_request.timezone", SimpleNamespace(now=lambda: now))
    monkeypatch.setattr(refusals, "FLUSH_SECONDS", 3600.0)
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
    refusals.flush_counts()
    assert counted() == 51
    refusals.flush_counts()
    assert counted() == 51


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
    refusals.flush_counts()
    assert sorted(Refusal.objects.values_list("times", flat=True)) == [1, 1, 1, 47]


def test_refusals_of_many_threads_are_all_counted(hub: Hub) -> None:
    refuse(hub, 1)

    def some(_: int) -> None:
        try:
            refuse(hub, 40)
            refusals.flush_counts()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(some, range(8)))
    refusals.flush_counts()
    assert counted() == 321


def test_counts_that_cannot_be_written_are_kept_in_memory(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(hub, 3)
    with monkeypatch.context() as patch:
        patch.setattr(refusals, "Refusal", SimpleNamespace(objects=SimpleNamespace(filter=_away)))
        refusals.flush_counts()
        refuse(hub, 2)
        refusals.flush_counts()
    refusals.flush_counts()
    assert counted() == 5


def _away(**_: str) -> None:
    raise OperationalError("the database is away")


def test_an_emptied_database_resets_the_known_rows(hub: Hub) -> None:
    refuse(hub, 3)
    refusals.reset_counts()
    Refusal.objects.all().delete()
    refuse(hub, 2)
    refusals.flush_counts()
    assert counted() == 2


def test_counts_are_written_within_a_second(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "FLUSH_SECONDS", 0.05)
    refuse(hub, 4)
    (timer,) = refusals._timers
    timer.join(10)
    assert counted() == 4


def test_a_stopping_process_writes_its_counts(hub: Hub, tmp_path: Path) -> None:
    with running_hub(tmp_path, hub.identity, hub.shop) as running:
        for _ in range(30):
            assert running.send(EXAMPLE, "/webhooks/aurora", Authorization="Bearer wrong").status == 401
        assert running.process is not None
        os.kill(running.process.pid, signal.SIGTERM)
        running.process.wait(20)
        running.process = None
        assert sum(times for (times,) in running.rows("SELECT times FROM webhooks_refusal")) == 30
