"""Bulk insert of generated rows without the ORM: `executemany` on SQLite, COPY on PostgreSQL."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models import NOT_PROVIDED

# Generated rows may be lost in a crash, so their commits do not wait for the disk.
_UNSAFE_SETTINGS = {
    "sqlite": ("PRAGMA synchronous = OFF", "PRAGMA cache_size = -400000"),
    "postgresql": ("SET synchronous_commit = off",),
}
_SAFE_SETTINGS = {
    "sqlite": ("PRAGMA synchronous = FULL", "PRAGMA cache_size = -2000"),
    "postgresql": ("RESET synchronous_commit",),
}


class BulkTable:
    """New rows of one model. Values are given as the database stores them: see `format_time` and `format_uuid`."""

    def __init__(self, model: type[models.Model]) -> None:
        self._name = model._meta.db_table
        self._key = str(model._meta.pk.column) if model._meta.pk else "id"
        self._defaults: dict[str, Any] = {
            str(field.column): _column_default(field) for field in model._meta.concrete_fields
        }
        self._rows: list[tuple[Any, ...]] = []
        self.last_key = int(model._default_manager.aggregate(last=models.Max("pk"))["last"] or 0)

    def add_row(self, **values: Any) -> int:
        """Add a row with these values and the model's defaults in all other columns. Returns its key."""
        self.last_key += 1
        row = self._defaults | values
        row[self._key] = self.last_key
        self._rows.append(tuple(row.values()))
        return self.last_key

    def write_rows(self) -> None:
        """Insert the rows that were added. Call this in a transaction, referenced tables first."""
        if self._rows:
            columns = ", ".join(f'"{column}"' for column in self._defaults)
            (_copy_rows if connection.vendor == "postgresql" else _insert_rows)(
                self._name, columns, self._rows
            )
            self._rows = []

    def advance_sequence(self) -> None:
        """Advance the key sequence of PostgreSQL beyond the inserted rows."""
        if connection.vendor == "postgresql" and self.last_key:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, %s), %s)",
                    [self._name, self._key, self.last_key],
                )


def disable_disk_sync() -> None:
    """Stop this connection from waiting for the disk until `restore_disk_sync`. Not allowed in a transaction."""
    _run_statements(_UNSAFE_SETTINGS[connection.vendor])


def restore_disk_sync() -> None:
    """Let this connection wait for the disk again, and update the statistics of the query planner."""
    _run_statements(_SAFE_SETTINGS[connection.vendor])
    _run_statements(
        ("VACUUM ANALYZE",)
        if connection.vendor == "postgresql"
        else ("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA optimize")
    )


def format_time(at: float) -> str:
    """Return a time, in seconds since 1970, as Django stores it in this database."""
    text = datetime.fromtimestamp(at, UTC).isoformat(" ", "microseconds")
    return text if _is_postgresql() else text[:-6]


def format_uuid(bits: int) -> str:
    """Return a UUID of 128 bits in hexadecimal, as Django stores it in SQLite; PostgreSQL accepts it too."""
    return f"{bits:032x}"


@cache
def _is_postgresql() -> bool:
    """Return True on PostgreSQL. Cached, because it is called a dozen times for each event."""
    return connection.vendor == "postgresql"


def _column_default(field: Any) -> Any:
    """Return the value that a new object of the model has in a column, as the database stores it."""
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


def _run_statements(statements: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _insert_rows(table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    marks = ", ".join(["%s"] * len(rows[0]))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)  # noqa: S608


def _copy_rows(table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    lines = "".join(["\t".join(map(_format_cell, row)) + "\n" for row in rows])
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        copy.write(lines)


_COPY_ESCAPES: Mapping[int, str] = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _format_cell(value: Any) -> str:
    """Return a value in the text format of COPY."""
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    return value.translate(_COPY_ESCAPES) if isinstance(value, str) else str(value)
