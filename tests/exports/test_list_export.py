"""A plain list of events names a damaged row and goes on with the next one."""

import csv
import json
from io import StringIO
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from audit.export.line_formats import FORMATS
from exports import list_export
from exports.list_export import EVENT_EXPORT, StreamStats, stream_rows
from tests.support.audit.triggers import disable_triggers
from tests.support.builders.exports import a_recorded_history
from webhooks.models import Event

is_sqlite = connection.vendor == "sqlite"
# Table and column, what is stored there, and how the list shows it.
DAMAGES: list[tuple[str, str, str, str]] = (
    [
        ("webhooks_event", "received_at", "'noon'", "noon"),
        ("webhooks_event", "occurred_at", "'0001-01-01 00:00:00+23:00'", "0001-01-01 00:00:00+23:00"),
        ("webhooks_event", "uuid", "'x'", "x"),
        ("webhooks_event", "entity_type", "CAST(x'ff' AS TEXT)", "?"),
        ("webhooks_event", "entity_id", "x'4142'", "AB"),
        ("webhooks_event", "state", "x'ff'", "?"),
        ("webhooks_receipt", "answered_at", "'noon'", "noon"),
        ("webhooks_receipt", "uuid", "'x'", "x"),
        ("webhooks_receipt", "code", "x'4142'", "AB"),
    ]
    if is_sqlite
    else [
        ("webhooks_event", "received_at", "'infinity'", "infinity"),
        ("webhooks_event", "occurred_at", "'20260-01-01 00:00:00+00'", "20260-01-01 00:00:00+00"),
        ("webhooks_receipt", "answered_at", "'infinity'", "infinity"),
    ]
)


def rows_of_list(form: str = "jsonl") -> list[Any]:
    stats = StreamStats()
    pieces = stream_rows(EVENT_EXPORT, Event.objects.order_by("-pk"), FORMATS[form], stats)
    text = b"".join(pieces).decode()
    rows: list[Any] = (
        [json.loads(line) for line in text.splitlines()]
        if form == "jsonl"
        else list(csv.DictReader(StringIO(text)))
    )
    assert stats.rows == len(rows)
    return rows


@pytest.mark.submission
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_damaged_value_is_written_as_it_is_stored(database: None, form: str) -> None:
    events = a_recorded_history(5)
    before = rows_of_list(form)
    assert len(before) == 5
    for table, column, stored, shown in DAMAGES:
        row = "event_id" if table == "webhooks_receipt" else "id"
        with connection.constraint_checks_disabled(), transaction.atomic(), connection.cursor() as cursor:
            disable_triggers()
            cursor.execute(f"UPDATE {table} SET {column} = {stored} WHERE {row} = {events[2].pk}")
            after = rows_of_list(form)
            transaction.set_rollback(True)
        assert [*after[:2], *after[3:]] == [*before[:2], *before[3:]], column
        [changed] = [name for name in before[2] if after[2][name] != before[2][name]]
        assert shown in json.dumps(after[2][changed]), column


def test_a_database_that_fails_ends_the_list(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> Any:
        raise OperationalError("database is locked")

    a_recorded_history(2)
    monkeypatch.setattr(list_export, "_answers_by_event", fail)
    with pytest.raises(OperationalError):
        rows_of_list()
