"""Turn the values of SQLite into values of PostgreSQL, or say which one cannot be stored there.

SQLite stores what it is given: it checks no length, no range and no kind. So each value is checked here, by the type of
the column in the target.
"""

import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

Convert = Callable[[Any], Any]
_INTEGER_BITS = {"smallint": 16, "integer": 32, "bigint": 64}


class UnstorableValue(ValueError):
    """PostgreSQL cannot store a value. The text says why, without the value."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the target: its name, its type, the greatest length of a text and whether it takes NULL."""

    name: str
    data_type: str
    length: int | None
    is_nullable: bool


def make_converter(column: Column) -> Convert:
    """Return the function that converts the values of a column. It raises UnstorableValue.

    Raises CommandError for a type that is not known here.
    """
    if column.data_type in _INTEGER_BITS:
        return _integer_converter(_INTEGER_BITS[column.data_type])
    if column.data_type in ("character varying", "text"):
        return _text_converter(column.length)
    if column.data_type not in _CONVERTERS:
        raise CommandError(f"{column.name} is of the type {column.data_type}, which move_to cannot convert.")
    return _CONVERTERS[column.data_type]


def _integer_converter(bits: int) -> Convert:
    limit = 2 ** (bits - 1)

    def convert(value: Any) -> int:
        if type(value) is not int:
            raise UnstorableValue("is no whole number")
        if not -limit <= value < limit:
            raise UnstorableValue(f"is a number of more than {bits} bits")
        return value

    return convert


def _text_converter(length: int | None) -> Convert:
    def convert(value: Any) -> str:
        text = _convert_text(value)
        if length is not None and len(text) > length:
            raise UnstorableValue(f"has {len(text):,} characters, and PostgreSQL stores {length:,}")
        return text

    return convert


def _convert_text(value: Any) -> str:
    if type(value) is not str:
        raise UnstorableValue("is no text")
    if "\0" in value:
        raise UnstorableValue("contains a NUL character")
    if not value.isascii() and _has_surrogate(value):
        raise UnstorableValue("is no valid UTF-8")
    return value


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _convert_boolean(value: Any) -> bool:
    if value not in (0, 1):
        raise UnstorableValue("is neither true nor false")
    return bool(value)


def _convert_float(value: Any) -> float:
    if type(value) not in (int, float):
        raise UnstorableValue("is no number")
    return float(value)


def _convert_decimal(value: Any) -> Decimal:
    return Decimal(str(_convert_float(value)))


def _convert_time(value: Any) -> datetime:
    """Return the time of a text, which Django stores in UTC and without a zone."""
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise UnstorableValue("is no time") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _convert_date(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise UnstorableValue("is no date") from None


def _convert_uuid(value: Any) -> UUID:
    try:
        return UUID(hex=value)
    except (AttributeError, TypeError, ValueError):
        raise UnstorableValue("is no UUID") from None


def _convert_bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise UnstorableValue("is not binary")
    return value


def _convert_address(value: Any) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise UnstorableValue("is no IP address") from None
    return str(value)


def _convert_json(value: Any) -> str:
    text = _convert_text(value)
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise UnstorableValue("is no JSON") from None
    # Only an escape can bring in what the text itself may not contain.
    if "\\u" in text:
        _check_texts(document)
    return text


def _check_texts(document: Any) -> None:
    unseen = [document]
    while unseen:
        value = unseen.pop()
        if isinstance(value, str):
            _convert_text(value)
        elif isinstance(value, dict):
            unseen += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            unseen += value


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_CONVERTERS: dict[str, Convert] = {
    "boolean": _convert_boolean,
    "double precision": _convert_float,
    "numeric": _convert_decimal,
    "timestamp with time zone": _convert_time,
    "date": _convert_date,
    "uuid": _convert_uuid,
    "bytea": _convert_bytes,
    "inet": _convert_address,
    "jsonb": _convert_json,
}


@dataclass(frozen=True, slots=True)
class RowConverter:
    """Converts the rows of one table, each read with its rowid first."""

    table: str
    columns: tuple[Column, ...]
    converters: tuple[Convert, ...]

    @property
    def names(self) -> list[str]:
        """Return the names of the columns."""
        return [column.name for column in self.columns]

    @classmethod
    def for_table(cls, table: str, columns: tuple[Column, ...]) -> "RowConverter":
        """Return the converter of a table with these columns."""
        return cls(table, columns, tuple(map(make_converter, columns)))

    def convert(self, row: tuple[Any, ...]) -> list[Any]:
        """Return the values of a row for PostgreSQL. Raises CommandError, which names table, row and column."""
        values: list[Any] = []
        for column, converter, value in zip(self.columns, self.converters, row[1:], strict=True):
            try:
                values.append(None if value is None and column.is_nullable else converter(value))
            except UnstorableValue as reason:
                found = "is empty" if value is None else str(reason)
                raise CommandError(
                    f"{self.table}, row {row[0]}: {column.name} {found}. PostgreSQL cannot store it. Nothing was lost: "
                    "the old database is unchanged. Correct the value there (after move_to --undo, if the hub is "
                    "read-only), then run move_to again."
                ) from None
        return values
