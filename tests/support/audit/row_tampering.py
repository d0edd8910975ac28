"""Every change of one row beside the audit log that one statement of SQL can make, and how to take it back.

The changes are generated from the columns of the models, so that a new column is either found or named here.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, models, transaction

from sync.models import Attempt, Call, Delivery
from tests.support.audit.triggers import disable_triggers
from tests.support.builders.history import NOON
from webhooks.models import Event, Receipt

MODELS: tuple[type[models.Model], ...] = (Event, Receipt, Delivery, Attempt, Call)
WORK = "says when and how a delivery is to run next, and changes without an entry"
NOT_COVERED = {
    Event: {
        "language": "of the answer: no export or page shows it",
        "trace": "leads into the logs of other systems, and proves nothing here",
    },
    Receipt: {
        "id": "a number that no export or page shows",
        "address": "from where the request came: no export or page of an event shows it",
    },
    Delivery: dict.fromkeys(
        (
            *("due_at", "not_before", "attempts_used", "last_number", "opened_at", "deaths", "is_approved"),
            *("creates_record", "identity_slot", "target_slot", "token", "lease_until", "covered_by"),
            *("person_request", "payload_choice", "mapping_version", "state_before_recheck"),
            "failure_key",
        ),
        WORK,
    ),
    Attempt: {},
    Call: {
        "id": "a number that nothing refers to: the calls of an attempt are compared as a set",
        "key": "the idempotency key has a hash of what was sent, so an erasure removes it; no export shows it",
    },
}
# Columns that no export shows: only the nightly check can compare them.
ONLY_NIGHTLY = {
    Event: {"batch", "payload"},
    Receipt: {"source", "event_count", "payload", "answer"},
    Delivery: {"entity_type", "entity_id"},
    Attempt: {
        "person_request",
        "in_own_process",
        "mapping_version",
        "payload_choice",
        "counted_as",
        "findings",
    },
    Call: {"request", "response"},
}

# The database refuses to empty these alone.
NEVER_EMPTIED = frozenset({"response_part"})

TWIN = 1_000_000
# What a second row beside another one must have of its own.
UNIQUE: dict[type[models.Model], dict[str, Any]] = {
    Event: {"uuid": uuid.UUID(int=9), "event_id": "another"},
    Receipt: {"uuid": uuid.UUID(int=9)},
    Delivery: {"route_id": 1_000},
    Attempt: {"key": uuid.UUID(int=9), "number": 99},
    Call: {},
}


@dataclass(frozen=True, slots=True)
class RowChange:
    """One statement that changes a row, and the one that takes it back."""

    name: str
    sql: str
    values: tuple[Any, ...]
    back_sql: str
    back_values: tuple[Any, ...]
    shown_in_exports: bool = True

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make the change as a database administrator would, and take it back."""
        _execute(self.sql, self.values)
        try:
            yield
        finally:
            _execute(self.back_sql, self.back_values)


def _execute(sql: str, values: tuple[Any, ...]) -> None:
    with connection.constraint_checks_disabled(), transaction.atomic():
        disable_triggers()
        with connection.cursor() as cursor:
            cursor.execute(sql, values)


def every_change(*events: Event) -> Iterator[RowChange]:
    """Yield each change of each column of each row under these events, and the deletion and the doubling of each."""
    for model in MODELS:
        for row in _rows_under(model, events):
            yield from _updates(model, row)
            yield from _deletion_and_insert(model, row)


def _rows_under(model: type[models.Model], events: tuple[Event, ...]) -> list[Any]:
    path = {
        Event: "pk",
        Receipt: "event",
        Delivery: "event",
        Attempt: "delivery__event",
        Call: "attempt__delivery__event",
    }
    keys = [event.pk for event in events]
    return list(model._default_manager.filter(**{f"{path[model]}__in": keys}).order_by("pk"))


def _updates(model: type[models.Model], row: Any) -> Iterator[RowChange]:
    table = model._meta.db_table
    for field in model._meta.concrete_fields:
        if field.name in NOT_COVERED[model]:
            continue
        before = _stored(field, getattr(row, field.attname))
        for after in _other_values(field, getattr(row, field.attname)):
            key = after if field.primary_key else row.pk
            yield RowChange(
                f"UPDATE {table} SET {field.column} = {after!r} WHERE id = {row.pk}",
                f"UPDATE {table} SET {field.column} = %s WHERE id = %s",
                (_stored(field, after), row.pk),
                f"UPDATE {table} SET {field.column} = %s WHERE id = %s",
                (before, key),
                field.name not in ONLY_NIGHTLY.get(model, ()),
            )


def _other_values(field: Any, value: Any) -> list[Any]:
    """Return values that a tamperer might give a column: another one of its kind, and none where it may have none."""
    nothing = [None] if field.null and value is not None and field.name not in NEVER_EMPTIED else []
    if isinstance(field, models.BooleanField):
        return [not value]
    if isinstance(field, models.ForeignKey) or field.primary_key or isinstance(field, models.IntegerField):
        return [(value or 0) + 1_000, *nothing]
    if isinstance(field, models.FloatField):
        return [(value or 0.0) + 0.25, *nothing]
    if isinstance(field, models.DateTimeField):
        return [NOON if value is None else value + timedelta(microseconds=1), *nothing]
    if isinstance(field, models.UUIDField):
        return [uuid.UUID(int=7)]
    if isinstance(field, models.BinaryField):
        return [bytes(reversed(bytes(value))), b""]
    if field.name == "state":
        return [state for state in ("dead", "succeeded", "pending", "closed") if state != value]
    return [f"{value or ''}x"[-(field.max_length or 300) :], *([""] if value and not field.null else nothing)]


def _stored(field: Any, value: Any) -> Any:
    return field.get_db_prep_value(value, connection) if value is not None else None


def _deletion_and_insert(model: type[models.Model], row: Any) -> Iterator[RowChange]:
    table, fields = model._meta.db_table, model._meta.concrete_fields
    values = tuple(_stored(field, getattr(row, field.attname)) for field in fields)
    insert = f"INSERT INTO {table} ({', '.join(field.column for field in fields)}) VALUES ({', '.join(['%s'] * len(fields))})"
    delete = f"DELETE FROM {table} WHERE id = %s"
    yield RowChange(f"{delete[:-2]}{row.pk}", delete, (row.pk,), insert, values)
    twin = {field.attname: _stored(field, getattr(row, field.attname)) for field in fields} | {"id": TWIN}
    twin |= {
        field.attname: _stored(field, value)
        for field in fields
        for name, value in UNIQUE[model].items()
        if field.attname == name
    }
    yield RowChange(f"{insert} of a twin of {row.pk}", insert, tuple(twin.values()), delete, (TWIN,))
