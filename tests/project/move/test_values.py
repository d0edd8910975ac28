"""What SQLite stores and PostgreSQL would not is named by table, row and column; everything else arrives unchanged."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.core.management.base import CommandError

from integration_hub.move.row_digest import RowDigest
from integration_hub.move.values import Column, RowConverter

pytestmark = pytest.mark.pure
A_UUID = UUID("0190b6f0-0000-7000-8000-000000000001")


def convert(data_type: str, value: Any, length: int | None = None, *, is_nullable: bool = False) -> Any:
    column = Column("it", data_type, length, is_nullable)
    return RowConverter.for_table("a_table", (column,)).convert((7, value))[0]


@pytest.mark.parametrize(
    ("data_type", "value", "expected"),
    [
        ("boolean", 0, False),
        ("boolean", 1, True),
        ("bigint", 2**63 - 1, 2**63 - 1),
        ("double precision", 3, 3.0),
        ("character varying", "ä" * 10, "ä" * 10),
        ("timestamp with time zone", "2026-03-01 10:20:30.000001", datetime(2026, 3, 1, 10, 20, 30, 1, UTC)),
        ("timestamp with time zone", "2026-03-01 10:20:30", datetime(2026, 3, 1, 10, 20, 30, 0, UTC)),
        ("uuid", A_UUID.hex, A_UUID),
        ("bytea", b"\x00\xff", b"\x00\xff"),
        ("inet", "2001:db8::1", "2001:db8::1"),
        ("jsonb", '{"a": [1, "\\u00e4", "\\\\u0000"]}', '{"a": [1, "\\u00e4", "\\\\u0000"]}'),
    ],
)
def test_a_value_arrives_as_it_is(data_type: str, value: Any, expected: Any) -> None:
    assert convert(data_type, value, 10) == expected
    assert convert(data_type, None, is_nullable=True) is None


@pytest.mark.parametrize(
    ("data_type", "value", "reason"),
    [
        ("character varying", "x" * 11, "has 11 characters, and PostgreSQL stores 10"),
        ("text", "a\0b", "contains a NUL character"),
        ("text", "a\udcff", "is no valid UTF-8"),
        ("text", b"a", "is no text"),
        ("text", None, "is empty"),
        ("smallint", 2**15, "is a number of more than 16 bits"),
        ("integer", -(2**31) - 1, "is a number of more than 32 bits"),
        ("bigint", 1.5, "is no whole number"),
        ("bigint", "1", "is no whole number"),
        ("boolean", 2, "is neither true nor false"),
        ("double precision", "fast", "is no number"),
        ("timestamp with time zone", "yesterday", "is no time"),
        ("timestamp with time zone", 7, "is no time"),
        ("uuid", "42", "is no UUID"),
        ("bytea", "text", "is not binary"),
        ("inet", "localhost", "is no IP address"),
        ("jsonb", "{", "is no JSON"),
        ("jsonb", "[NaN]", "is no JSON"),
        ("jsonb", '{"a\\u0000": 1}', "contains a NUL character"),
        ("jsonb", '["\\ud800"]', "is no valid UTF-8"),
    ],
)
def test_a_value_that_does_not_fit_is_named_and_not_shown(data_type: str, value: Any, reason: str) -> None:
    with pytest.raises(CommandError) as refused:
        convert(data_type, value, 10)
    assert str(refused.value).startswith(f"a_table, row 7: it {reason}. PostgreSQL cannot store it.")
    assert "Nothing was lost" in str(refused.value)


def test_a_type_that_is_not_known_is_refused_before_a_row_is_read() -> None:
    with pytest.raises(CommandError, match="it is of the type tsvector, which move_to cannot convert"):
        convert("tsvector", "")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ([7, '{"b": 1e2, "a": -0.0}'], [7, '{"a": 0.0, "b": 100}']),
        ([7, '{"a": 1.50}'], [7, '{"a": 1.5}']),
    ],
)
def test_a_document_is_equal_however_it_is_spelled(written: list[Any], read: list[Any]) -> None:
    columns = [Column("id", "bigint", None, False), Column("document", "jsonb", None, False)]
    first, second, other = RowDigest(columns), RowDigest(columns), RowDigest(columns)
    first.add_row(written)
    second.add_row(read)
    assert str(first) == str(second)
    second.add_row(read)
    assert str(first) != str(second)
    other.add_row([7, '{"a": 2}'])
    assert str(first) != str(other)
