"""A flood of what is refused costs one row and one write a second, and every one of it counts."""

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
    monkeypatch.setattr(refusals, "SECONDS", 3600.0)
    yield
    refusals.forget()


def refuse(hub: Hub, times: int) -> None:
    for _ in range(times):
        assert hub.post(EXAMPLE, "aurora", **WRONG).status_code == 401


def counted() -> int:
    return sum(Refusal.objects.values_list("times", flat=True))


def test_what_is_refused_after_the_first_touches_no_table(hub: Hub) -> None:
    refuse(hub, 1)
    with CaptureQueriesContext(connection) as queries:
        refuse(hub, 50)
    assert [each["sql"] for each in queries if "webhooks_refusal" in each["sql"]] == []
    assert counted() == 1
    refusals.write_down()
    assert counted() == 51
    refusals.write_down()
    assert counted() == 51


def test_a_flood_from_many_addresses_touches_no_table_either_once_their_rows_are_many(
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
    assert [each["sql"] for each in queries if "webhooks_refusal" in each["sql"]] == []
    refusals.write_down()
    assert sorted(Refusal.objects.values_list("times", flat=True)) == [1, 1, 1, 47]


def test_of_many_threads_none_is_forgotten(hub: Hub) -> None:
    refuse(hub, 1)

    def some(_: int) -> None:
        try:
            refuse(hub, 40)
            refusals.write_down()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(some, range(8)))
    refusals.write_down()
    assert counted() == 321


def test_what_cannot_be_written_down_is_kept(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(hub, 3)
    with monkeypatch.context() as patch:
        patch.setattr(refusals, "Refusal", SimpleNamespace(objects=SimpleNamespace(filter=_away)))
        refusals.write_down()
        refuse(hub, 2)
        refusals.write_down()
    refusals.write_down()
    assert counted() == 5


def _away(**_: str) -> None:
    raise OperationalError("the database is away")


def test_nothing_is_known_of_a_database_that_was_emptied(hub: Hub) -> None:
    refuse(hub, 3)
    refusals.forget()
    Refusal.objects.all().delete()
    refuse(hub, 2)
    refusals.write_down()
    assert counted() == 2


def test_it_is_written_down_within_a_second_without_anybody_asking(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "SECONDS", 0.05)
    refuse(hub, 4)
    (timer,) = refusals._timers
    timer.join(10)
    assert counted() == 4


def test_a_process_that_is_told_to_end_writes_down_what_it_added_up(hub: Hub, tmp_path: Path) -> None:
    with running_hub(tmp_path, hub.identity, hub.shop) as running:
        for _ in range(30):
            assert running.send(EXAMPLE, "/webhooks/aurora", Authorization="Bearer wrong").status == 401
        assert running.process is not None
        os.kill(running.process.pid, signal.SIGTERM)
        running.process.wait(20)
        running.process = None
        assert sum(times for (times,) in running.rows("SELECT times FROM webhooks_refusal")) == 30
