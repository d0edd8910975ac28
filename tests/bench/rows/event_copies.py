"""Fill the hub's tables with copies of one real event, in the database itself (`--growth`, `--export`).

Run with the hub's environment: `python -m tests.bench.rows.event_copies <events> <people> [bare]`. Each copy has keys,
unique values, times and audit streams of its own, the copies lie half a minute apart in the past, and the people take
turns. `bare`: without contents, as events are once KEEP_PAYLOADS_DAYS are over.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from config_schema.codes.reference import to_reference
from tests.bench.rows.audit_chains import Chains, Copied

CHUNK = 10_000
APART_SECONDS = 30
_FIRST_MOMENT = 1_600_000_000_000  # milliseconds: where the names of the copies begin, before any real one


@dataclass(frozen=True, slots=True)
class Dialect:
    """The SQL that differs between the two databases. `n` is the number of a copy."""

    numbers: str
    uuid: str
    earlier: str


_MOMENT = f"({_FIRST_MOMENT} + n * {APART_SECONDS * 1000})"
DIALECTS = {
    "sqlite": Dialect(
        "WITH RECURSIVE numbers(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})",
        f"printf('%012x', {_MOMENT}) || lower(hex(randomblob(10)))",
        f"strftime('%Y-%m-%d %H:%M:%f000', {{column}}, '-' || ((total - n) * {APART_SECONDS}) || ' seconds')",
    ),
    "postgresql": Dialect(
        "WITH numbers AS (SELECT generate_series({first}::bigint, {last}) AS n)",
        f"(lpad(to_hex({_MOMENT}), 12, '0') || substr(md5(random()::text || n), 1, 20))::uuid",
        f"{{column}} - (total - n) * interval '{APART_SECONDS} seconds'",
    ),
}

# The copies are right by construction and may be lost: no foreign key is checked, and nothing waits for the disk.
_FASTER = {
    "sqlite": ("PRAGMA foreign_keys = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -400000"),
    "postgresql": ("SET session_replication_role = replica", "SET synchronous_commit = off"),
}


@dataclass(slots=True)
class Originals:
    """The rows of one table that belong to the event, and the last key of the table before the copies."""

    model: Any
    keys: list[int] = field(default_factory=list)
    last: int = 0

    def copied_key(self, key: int) -> str:
        """Return SQL for the key of this row in copy number n."""
        return f"({self.last} + (n - 1) * {len(self.keys)} + {self.keys.index(key) + 1})"


def newest() -> tuple[Any, Any, Any, Any]:
    """Return the newest event that succeeded, its receipt, its delivery and its attempt."""
    from sync.models import Attempt, Delivery
    from webhooks.models import Event, Receipt

    event = Event.objects.filter(state="succeeded").latest("pk")
    delivery = Delivery.objects.get(event=event)
    return event, Receipt.objects.get(event=event), delivery, Attempt.objects.get(delivery=delivery)


def originals(*, is_bare: bool) -> list[Originals]:
    """Return every row of the newest event that succeeded, tables in an order that foreign keys allow.

    Leaves out the audit log entries, which `Chains` writes.
    """
    from sync.models import Attempt, Call, Delivery
    from webhooks.models import Event, Payload, Receipt

    event = newest()[0]
    deliveries = list(Delivery.objects.filter(event=event))
    chosen = [
        (Event, [event]),
        (Receipt, Receipt.objects.filter(event=event)),
        (Delivery, deliveries),
        (Attempt, Attempt.objects.filter(delivery__in=deliveries)),
        (Call, Call.objects.filter(attempt__delivery__in=deliveries)),
    ]
    payloads = sorted(
        {key for model, rows in chosen for row in rows for key in _payloads(model, row, Payload)}
    )
    tables = [] if is_bare else [Originals(Payload, payloads)]
    tables += [Originals(model, sorted(row.pk for row in rows)) for model, rows in chosen]
    for table in tables:
        table.last = last_key(table.model)
    return tables


def last_key(model: Any) -> int:
    return model.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def _payloads(model: Any, row: Any, payload: Any) -> Iterator[int]:
    for column in model._meta.concrete_fields:
        if column.related_model is payload and getattr(row, column.attname) is not None:
            yield getattr(row, column.attname)


class Filler:
    """Writes the copies."""

    def __init__(self, connection: Any, people: int, *, is_bare: bool = False) -> None:
        from audit.models import Entry

        self._connection = connection
        self._dialect = DIALECTS[connection.vendor]
        self._people, self._is_bare = people, is_bare
        self._tables = originals(is_bare=is_bare)
        self._newest = event, _, delivery, _ = newest()
        entries = Entry.objects.filter(stream__in=[event.stream, delivery.stream]).order_by("id")
        self._chains = Chains(
            connection, list(entries), self._own_names(), event.received_at, last_key(Entry)
        )

    def _own_names(self) -> dict[str, str]:
        """Return the texts of the original's audit log entries that differ in a copy, longest first."""
        event, receipt, _, attempt = self._newest
        return {
            str(attempt.key): "attempt",
            receipt.own_reference: "receipt",
            event.reference: "reference",
        }

    def fill(self, events: int) -> None:
        """Insert copies, one chunk in each transaction."""
        from django.db import transaction

        for setting in _FASTER[self._connection.vendor]:
            self._connection.cursor().execute(setting)
        for first in range(1, events + 1, CHUNK):
            last = min(first + CHUNK - 1, events)
            with transaction.atomic(), self._connection.cursor() as cursor:
                for table in self._tables:
                    for key in table.keys:
                        cursor.execute(self._statement(table, key, first, last, events))
                self._chains.write(first, list(self._copied(first, last)))
        self._finish()

    def _copied(self, first: int, last: int) -> Iterator[Copied]:
        """Return the names of the rows of these copies in their audit log entries."""
        event, receipt, _, attempt = self._newest
        tables = {table.model: table for table in self._tables}

        def keys(row: Any) -> range:
            before = tables[type(row)].last
            return range(before + first, before + last + 1)

        def copies(row: Any) -> Any:
            return type(row).objects.filter(pk__range=(keys(row)[0], keys(row)[-1])).order_by("pk")

        events = copies(event).values_list("uuid", "received_at")
        attempts = copies(attempt).values_list("key", flat=True)
        receipts = copies(receipt).values_list("uuid", flat=True)
        for (uuid, received_at), key, receipt_uuid in zip(events, attempts, receipts, strict=True):
            yield Copied(
                {
                    "attempt": str(key),
                    "reference": to_reference(uuid),
                    "receipt": to_reference(receipt_uuid),
                },
                received_at,
            )

    def _statement(self, table: Originals, key: int, first: int, last: int, total: int) -> str:
        name, columns = table.model._meta.db_table, table.model._meta.concrete_fields
        row = table.model.objects.get(pk=key)
        values = ", ".join(self._value(table, column, row) for column in columns)
        numbers = self._dialect.numbers.format(first=first, last=last)
        listed = ", ".join(f'"{column.column}"' for column in columns)
        source = f"FROM {name} CROSS JOIN numbers CROSS JOIN (SELECT {total} AS total) AS totals"
        key_column = table.model._meta.pk.column
        if self._connection.vendor == "sqlite":
            return (
                f"{numbers} INSERT INTO {name} ({listed}) SELECT {values} {source} WHERE {key_column} = {key}"
            )
        return f"INSERT INTO {name} ({listed}) {numbers} SELECT {values} {source} WHERE {key_column} = {key}"

    def _value(self, table: Originals, column: Any, row: Any) -> str:
        value, kind = getattr(row, column.attname), column.get_internal_type()
        if column.primary_key:
            return table.copied_key(row.pk)
        if column.related_model is not None:
            return self._reference(column, value)
        if kind == "UUIDField" and column.unique:
            return self._dialect.uuid
        if kind == "DateTimeField":
            return self._dialect.earlier.format(column=column.column)
        return self._named(table, column, value) or f'"{column.column}"'

    def _reference(self, column: Any, value: int | None) -> str:
        for table in self._tables:
            if table.model is column.related_model and value in table.keys:
                return table.copied_key(value)
        is_content = self._is_bare and column.null and column.related_model._meta.model_name == "payload"
        return "NULL" if is_content else f'"{column.column}"'

    def _named(self, table: Originals, column: Any, value: Any) -> str:
        """Return the texts that identify a copy: its event id, its person and its audit log stream."""
        if column.name == "event_id":
            return f"'filled-' || ({table.last} + n)"
        if column.name == "entity_id":
            return f"'U' || substr(CAST(10000000 + n % {self._people} AS text), 2)"
        return ""

    def _finish(self) -> None:
        """Advance sequences and update statistics, as in a database that grew row by row."""
        with self._connection.cursor() as cursor:
            if self._connection.vendor == "postgresql":
                from audit.models import Entry

                for model in (*(table.model for table in self._tables), Entry):
                    name, key = model._meta.db_table, model._meta.pk.column
                    cursor.execute(
                        f"SELECT setval(pg_get_serial_sequence('{name}', '{key}'), (SELECT max({key}) FROM {name}))"
                    )
                cursor.execute("VACUUM ANALYZE")
            else:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


if __name__ == "__main__":
    import django
    from django.db import connection

    django.setup()
    Filler(connection, int(sys.argv[2]), is_bare="bare" in sys.argv[3:]).fill(int(sys.argv[1]))
