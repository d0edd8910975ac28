"""Every statement of the hot path finds its rows by an index: its cost does not grow with the stored data."""

import re
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from console.entities.timeline import find_names
from sync.attempts.delivery_run import run_delivery
from sync.deliveries.due_deliveries import find_due_ids, find_isolated_ids
from sync.deliveries.record_links import other_owners
from sync.execution.executor import run_due_deliveries
from sync.housekeeping.audit_upkeep import seal_audit
from sync.models import Connection, Delivery
from sync.monitoring import health_figures
from sync.worker.schedule import LONG_PERIODIC, PERIODIC
from tests.support.database.query_plans import (
    SeenStatement,
    find_unindexed_statements,
    pretend_that_tables_are_large,
    recorded_statements,
)
from tests.support.hub import EXAMPLE, Hub, new_sealing_key
from tests.support.jobs import run_jobs
from webhooks.models import lock_or_create_keys

GROWING = (
    "webhooks_event", "webhooks_receipt", "webhooks_payload", "webhooks_subjectkey", "sync_delivery", "sync_attempt",
    "sync_call", "sync_link", "sync_recordreference", "audit_entry",
)  # fmt: skip
SMALL_INDEX = re.compile(
    "delivery_(dead|held)|recheck_(due|delivery)|awaited_record_holder"
)  # of what failed or is held; of re-checks that run or are due
ACK = EXAMPLE[:-1] + b',"respond":"ack"}'


@pytest.fixture
def seen(hub: Hub, monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[SeenStatement]:
    """Yield the statements of the hot path.

    Two webhooks, one delivered by a worker with a lease so short that it is renewed, with limited connections, and one
    that is retried; a sweep; a check for dead processes, and one for the owner of a record that a search found; the
    names of a list of events, and the age of the backlog. People can be found by their values.
    """
    settings.SEARCH_KEYS = [new_sealing_key()]
    Connection.objects.update(concurrency=4)
    monkeypatch.setattr("sync.delivery_service.defer_to_workers", lambda _: None)
    with recorded_statements() as statements:
        for number, (body, lease) in enumerate(((EXAMPLE, 40.0), (ACK, 12.0))):
            settings.LEASE_SECONDS = lease
            hub.change_email(f"anna.plan{number}@example.com")
            assert hub.post_signed(body).status_code in (200, 202)
            hub.wait_until_quiet()
            run_due_deliveries()
        hub.shop.faults.add("error", status=503, times=1)
        assert hub.post_signed(ACK).status_code == 202
        run_due_deliveries()
    failed = Delivery.objects.filter(state="retrying")
    assert failed.update(due_at=F("opened_at")) == 1
    with recorded_statements() as again:
        run_due_deliveries()
        find_due_ids()
        find_due_ids(limit=0)
        find_isolated_ids(10)
    settled = Delivery.objects.latest("pk")
    with recorded_statements() as more:
        run_delivery(settled.pk)
        other_owners(settled, "1")
        find_names([settled.event])
        health_figures._oldest_due_at(timezone.now())
    return [*statements, *again, *more]


def test_no_statement_reads_a_whole_table(seen: list[SeenStatement]) -> None:
    assert find_unindexed_statements(connection, seen) == {}


@pytest.mark.usefixtures("database")
def test_keys_are_found_by_an_index_one_or_several() -> None:
    people = [(1, "USER", f"U{number}") for number in range(8)]
    lock_or_create_keys(people)
    with recorded_statements() as statements:
        lock_or_create_keys(people)
        lock_or_create_keys(people[:1])
    assert len(statements) == 2
    assert find_unindexed_statements(connection, statements) == {}


@pytest.mark.submission
def test_old_index_entries_of_a_long_snapshot_are_not_read(seen: list[SeenStatement]) -> None:
    """A long export or backup keeps index entries of all settled deliveries: ten thousands for each webhook."""
    assert _astray(seen) == {}


def _astray(statements: list[SeenStatement]) -> dict[str, list[str]]:
    """Return statements for a key or a subject whose plan searches all open deliveries."""
    found = {}
    with transaction.atomic():
        pretend_that_tables_are_large(connection)
        if connection.vendor == "postgresql":
            connection.cursor().execute(
                "UPDATE pg_class SET reltuples = 1000000, relpages = 20000 WHERE relname = 'sync_delivery';"
                "UPDATE pg_class SET reltuples = 1000000, relpages = 3000 WHERE relname = 'sync_delivery_pkey';"
                "UPDATE pg_class SET reltuples = 0, relpages = 1"
                " WHERE relname IN ('one_running_delivery_a_subject', 'delivery_due', 'delivery_open_subject')"
            )
        for statement in statements:
            if re.search(r"sync_delivery (SET .*)?WHERE (id|entity_id) = ", statement.sql):
                lines = [
                    line
                    for line in statement.plan(connection)
                    if re.search(r"(delivery_due|one_running)", line)
                ]
                if lines and "lease_until <= " not in statement.sql:
                    found[statement.sql] = lines
        transaction.set_rollback(True)
    return found


@pytest.mark.submission
def test_statements_that_workers_repeat_use_an_index(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.post(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    with recorded_statements() as statements:
        for work in (*PERIODIC, *LONG_PERIODIC):
            if work.name != "audit":  # once a night: everything
                work.run()
        seal_audit()
        run_jobs()
    assert len(statements) > 20
    unindexed = find_unindexed_statements(
        connection, [statement for statement in statements if _is_about_much(statement.sql)]
    )
    assert {sql: plan for sql, plan in unindexed.items() if not SMALL_INDEX.search("".join(plan))} == {}


def _is_about_much(sql: str) -> bool:
    """Return True unless a statement reads one row at an end of a table."""
    is_one = re.search(r"ORDER BY (1|\S+id\S*)( ASC| DESC)? LIMIT 1$", sql)
    return is_one is None and any(model in sql for model in GROWING)
