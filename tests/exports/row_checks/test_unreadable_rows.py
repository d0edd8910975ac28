"""A value that cannot be read is a fault of its row. It hides no other fault, and an export that needs it says so."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, models, transaction

from audit.entries.append import NewEntry, append_entries
from audit.models import Entry
from exports.models import ExportState
from exports.row_checks.nightly_rows import find_row_faults
from sync.models import Attempt, Call, Delivery
from tests.support.audit.triggers import disable_triggers
from tests.support.builders.exports import a_recorded_history, a_requested_export
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from webhooks.models import Event, Receipt

TABLES = {
    "events": (Event, "pk"),
    "receipts": (Receipt, "event"),
    "deliveries": (Delivery, "event"),
    "attempts": (Attempt, "delivery__event"),
    "calls": (Call, "attempt__delivery__event"),
}
is_sqlite = connection.vendor == "sqlite"
NOT_UTF8 = "CAST(x'ff' AS TEXT)"
# A value of each kind of column that cannot be read. Neither database takes one in the other columns.
VALUES: tuple[tuple[Any, list[str]], ...] = (
    (
        (models.DateTimeField, ["'0001-01-01 00:00:00+23:00'", NOT_UTF8]),
        (models.UUIDField, ["'x'", "1.5", NOT_UTF8]),
        (models.BinaryField, ["'x'", "-1", NOT_UTF8]),
        (models.FloatField, ["'x'", "9e999", NOT_UTF8]),
        (models.CharField, [NOT_UTF8]),
        (models.TextField, [NOT_UTF8]),
    )
    if is_sqlite
    else ((models.DateTimeField, ["'infinity'", "'20260-01-01 00:00:00+00'"]),)
)
# No check compares them, so none reads them.
NOT_READ = frozenset(
    {
        *("payload", "answer", "address", "key", "findings", "request", "response", "token", "due_at"),
        *("not_before", "opened_at", "lease_until", "covered_by", "state_before_recheck", "payload_choice"),
        *("trace", "failure_key", "language"),
    }
)


def execute(sql: str) -> None:
    with connection.constraint_checks_disabled(), transaction.atomic():
        disable_triggers()
        with connection.cursor() as cursor:
            if is_sqlite:
                cursor.execute("PRAGMA ignore_check_constraints = 1")
            cursor.execute(sql)


def damages(table: str) -> Iterator[tuple[str, str]]:
    """Yield each column of a table that is compared, with each value for it that cannot be read."""
    for field in TABLES[table][0]._meta.concrete_fields:
        for kind, values in VALUES:
            is_compared = field.name not in NOT_READ or (table, field.name) == ("attempts", "key")
            if isinstance(field, kind) and is_compared:
                yield from ((field.name, value) for value in values)


@pytest.mark.nightly
@pytest.mark.parametrize("table", TABLES)
def test_an_unreadable_value_is_named_and_hides_no_other_fault(database: None, table: str) -> None:
    first, _, last = a_recorded_history(3)
    model, path = TABLES[table]
    row = model._default_manager.filter(**{path: first.pk}).get()
    Delivery.objects.filter(event=last).update(state="closed")
    (other,) = list(find_row_faults())[:1]
    assert first.reference not in other
    tried = 0
    for name, value in damages(table):
        column = model._meta.get_field(name).column
        execute(
            f"CREATE TABLE kept_value AS SELECT {column} AS v FROM {row._meta.db_table} WHERE id = {row.pk}"
        )
        execute(f"UPDATE {row._meta.db_table} SET {column} = {value} WHERE id = {row.pk}")
        faults = list(find_row_faults())
        execute(f"UPDATE {row._meta.db_table} SET {column} = (SELECT v FROM kept_value) WHERE id = {row.pk}")
        execute("DROP TABLE kept_value")
        assert other in faults, (name, value, faults)
        named = [fault for fault in faults if fault.startswith(f"[unreadable] {table} ")]
        assert [fault for fault in named if f", {name}: cannot be read" in fault], (name, value, faults)
        tried += 1
    assert tried or not is_sqlite, table


def test_an_unreadable_entry_about_a_deletion_is_named_and_ends_no_check(database: None) -> None:
    first, last = a_recorded_history(2)
    with transaction.atomic():
        append_entries(
            NewEntry("system", "retention.begun", details={"kind": "events"}),
            NewEntry("erasure:1", "subject.erased", details={"pseudonyms": 5}),
            NewEntry("setting:source:1", "webhook.unusable", details={"receipt": [1]}),
        )
    bad = list(
        Entry.objects.exclude(stream__contains=first.reference)
        .filter(action__in=["retention.begun", "subject.erased", "webhook.unusable"])
        .values_list("pk", flat=True)
    )
    Delivery.objects.filter(event=last).update(state="closed")
    faults = list(find_row_faults())
    assert {fault for fault in faults if "[unreadable]" in fault} == {
        f"[unreadable] entries {key}: cannot be read" for key in bad
    }
    assert [fault for fault in faults if fault.startswith("[row-differs] deliveries ")]


def test_the_rows_of_an_unreadable_entry_are_not_compared_and_the_others_are(database: None) -> None:
    first, last = a_recorded_history(2)
    execute(
        f"UPDATE audit_entry SET details = '{json.dumps({'state': 1})}', action = 'webhook.answered' "
        f"WHERE stream = 'event:{first.reference}'"
    )
    Delivery.objects.filter(event=last).update(state="closed")
    faults = list(find_row_faults())
    assert f"[unreadable] events {first.reference}: a row or an entry of it cannot be read" in faults
    assert [fault for fault in faults if fault.startswith("[row-differs] deliveries ")]


def test_an_unreadable_request_without_an_event_is_named(hub: Hub) -> None:
    hub.post_signed(b"{}")
    hub.post_signed(b"{}")
    first, last = Receipt.objects.filter(event=None).order_by("pk")
    execute(f"UPDATE webhooks_receipt SET answered_at = {VALUES[0][1][0]} WHERE id = {first.pk}")
    Receipt.objects.filter(pk=last.pk).update(status=200)
    faults = list(find_row_faults())
    assert f"[unreadable] receipts with id {first.pk}: answered_at: cannot be read" not in faults
    assert [
        fault
        for fault in faults
        if fault.startswith(f"[unreadable] receipts with id {first.pk}, answered_at")
    ]
    assert [fault for fault in faults if "status: is 200" in fault]


@pytest.mark.submission
@pytest.mark.parametrize("table", ["events", "calls"])
def test_an_export_names_the_event_that_it_cannot_read(database: None, table: str) -> None:
    events = a_recorded_history(5)
    model, path = TABLES[table]
    row = model._default_manager.filter(**{path: events[3].pk}).get()
    column = {"events": "occurred_at", "calls": "started_at"}[table]
    for value in VALUES[0][1]:
        execute(f"UPDATE {row._meta.db_table} SET {column} = {value} WHERE id = {row.pk}")
        export = a_requested_export()
        run_jobs("export")
        export.refresh_from_db()
        assert (export.state, export.failure) == (
            ExportState.FAILED,
            f"A stored value of event {events[3].reference} cannot be read. Run verify_audit, which names the row.",
        )
