"""Rows by the hundred thousand, past the ORM: `executemany` on SQLite, COPY on PostgreSQL."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models import NOT_PROVIDED

# What is written may be lost and is right by construction: nothing waits for the disk while it is written.
_HURRY = {
    "sqlite": ("PRAGMA synchronous = OFF", "PRAGMA cache_size = -400000"),
    "postgresql": ("SET synchronous_commit = off",),
}
_CARE = {
    "sqlite": ("PRAGMA synchronous = FULL", "PRAGMA cache_size = -2000"),
    "postgresql": ("RESET synchronous_commit",),
}


class Table:
    """The new rows of one model. A value is given as the database stores it: see `moment` and `name`."""

    def __init__(self, model: type[models.Model]) -> None:
        self._name = model._meta.db_table
        self._key = str(model._meta.pk.column) if model._meta.pk else "id"
        self._defaults: dict[str, Any] = {
            str(each.column): _default(each) for each in model._meta.concrete_fields
        }
        self._rows: list[tuple[Any, ...]] = []
        self.last = int(model._default_manager.aggregate(last=models.Max("pk"))["last"] or 0)

    def add(self, **values: Any) -> int:
        """A row of these columns, the others as a new one of the model; its key."""
        self.last += 1
        row = self._defaults | values
        row[self._key] = self.last
        self._rows.append(tuple(row.values()))
        return self.last

    def write(self) -> None:
        """Store what was added; within a transaction, in an order that foreign keys allow."""
        if self._rows:
            columns = ", ".join(f'"{each}"' for each in self._defaults)
            (_copy if connection.vendor == "postgresql" else _insert)(self._name, columns, self._rows)
            self._rows = []

    def finish(self) -> None:
        """The next key of the database comes after ours."""
        if connection.vendor == "postgresql" and self.last:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, %s), %s)", [self._name, self._key, self.last]
                )


def hurry() -> None:
    """Until `take_care`, this connection does not wait for the disk. Not within a transaction."""
    _run(_HURRY[connection.vendor])


def take_care() -> None:
    """As before; on PostgreSQL with statistics of what was written."""
    _run(_CARE[connection.vendor])
    _run(
        ("VACUUM ANALYZE",)
        if connection.vendor == "postgresql"
        else ("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA optimize")
    )


def moment(at: float) -> str:
    """A time as Django stores it here."""
    told = datetime.fromtimestamp(at, UTC).isoformat(" ", "microseconds")
    return told if _is_postgresql() else told[:-6]


def name(bits: int) -> str:
    """A UUID of these 128 bits as Django stores it here."""
    return f"{bits:032x}"


@cache
def _is_postgresql() -> bool:
    """Asked once: this is done a dozen times for each event."""
    return connection.vendor == "postgresql"


def _default(field: Any) -> Any:
    value = None if field.default is NOT_PROVIDED else field.get_default()
    if isinstance(field, models.JSONField):
        return json.dumps(value)
    if (
        value is None
        and not field.null
        and field.empty_strings_allowed
        and field.get_internal_type() != "BinaryField"
    ):
        return ""
    return str(value) if isinstance(value, str) else value


def _run(statements: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        for each in statements:
            cursor.execute(each)


def _insert(table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    marks = ", ".join(["%s"] * len(rows[0]))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)  # noqa: S608


def _copy(table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    lines = "".join(["\t".join(map(_cell, row)) + "\n" for row in rows])
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        copy.write(lines)


_ESCAPED: Mapping[int, str] = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _cell(value: Any) -> str:
    """A value in the text format of COPY."""
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    return value.translate(_ESCAPED) if isinstance(value, str) else str(value)
