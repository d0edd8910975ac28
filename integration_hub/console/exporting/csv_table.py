"""The table for reading, `events.csv`: formula-safe, by COPY where the database is PostgreSQL.

It names an event by its UUID, of which the reference is another spelling that no database makes: putting it in took
longer than everything else.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from string import ascii_letters, digits
from typing import Any, BinaryIO

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Case, CharField, F, Func, QuerySet, Value, When

from audit.export import neutral
from integration_hub.console.exporting.rows import CHUNK

COLUMNS = (
    *("uuid", "source", "event_id", "entity_type", "entity_id", "event_type"),
    *("occurred", "received", "signed", "state", "code", "body_sha256"),
)
_BLOCK = 500
_STRANGE = (
    "event_id",
    "entity_type",
    "entity_id",
    "event_type",
)  # what a source may fill with anything; always quoted
_BEGIN_NO_FORMULA = frozenset(ascii_letters + digits)
# A quoted cell that begins with anything but a letter or a digit. It need be no formula: `neutral` decides.
_SUSPICIOUS = re.compile(rb',"(?![0-9A-Za-z]|",)')


def write_csv(events: QuerySet[Any], file: BinaryIO) -> Iterator[int]:
    """Write the events; how many so far, again and again."""
    file.write(f"{','.join(COLUMNS)}\r\n".encode())
    blocks = copied(events) if connection.vendor == "postgresql" else read(events)
    rows = 0
    for count, block in blocks:
        file.write(block)
        rows += count
        yield rows


def read(events: QuerySet[Any]) -> Iterator[tuple[int, bytes]]:
    """Blocks of lines by the ORM, each with its number of rows."""
    some: list[str] = []
    for row in events.values_list(*_WRITTEN).iterator(chunk_size=CHUNK):
        some.append(_line(*row))
        if len(some) == _BLOCK:
            yield len(some), "".join(some).encode()
            some = []
    yield len(some), "".join(some).encode()


def _line(
    uuid: str,
    source: str,
    event_id: str | None,
    entity_type: str,
    entity_id: str,
    event_type: str,
    *told: str | None,
) -> str:
    """As COPY writes it: of our own words none needs a quotation mark."""
    strange = f"{_cell(event_id)},{_cell(entity_type)},{_cell(entity_id)},{_cell(event_type)}"
    return f"{uuid},{source},{strange},{','.join([each or '' for each in told])}\r\n"


def _cell(text: str | None) -> str:
    if text is None:
        return ""
    shown = text if text[:1] in _BEGIN_NO_FORMULA else neutral(text)
    return '"' + shown.replace('"', '""') + '"'


def copied(events: QuerySet[Any]) -> Iterator[tuple[int, bytes]]:
    """The same by COPY; the server sends one row a message."""
    try:
        sql, values = events.values_list(*_WRITTEN).query.sql_with_params()
    except EmptyResultSet:  # the filter can mean nothing
        return
    quoted = ", ".join(f'"{name}"' for name in _STRANGE)
    copy = f"COPY ({sql}) TO STDOUT (FORMAT csv, FORCE_QUOTE ({quoted}))"
    rows: list[bytes] = []
    with connection.cursor() as cursor, cursor.copy(copy, values) as taken:
        for message in taken:
            rows.append(message)
            if len(rows) == _BLOCK:
                yield len(rows), harmless(rows)
                rows = []
    yield len(rows), harmless(rows)


def harmless(rows: Sequence[bytes]) -> bytes:
    """Rows that end with a line feed as lines that end with CR LF.

    A cell that a spreadsheet could take for a formula gets an apostrophe in front.
    """
    block = b"".join([b"%s\r\n" % row[:-1] for row in rows])
    if not _SUSPICIOUS.search(block):
        return block
    cells = (next(csv.reader(io.StringIO(bytes(row).decode(), newline=""))) for row in rows)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([neutral(cell) for cell in row] for row in cells)
    return text.getvalue().encode()


class _Text(Func):
    """A column as its text in the table, made by the database: made here it took most of the time of a row."""

    arity = 1
    sqlite = ""

    def __init__(self, name: str) -> None:
        super().__init__(F(name), output_field=CharField())

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return self.as_sql(compiler, connection, template=self.sqlite, **more)


class _Time(_Text):
    """RFC 3339 in UTC, six decimals; SQLite keeps none where all of them are zero."""

    template = """to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    sqlite = """replace(substr(%(expressions)s, 1, 19), ' ', 'T') || '.'
        || substr(substr(%(expressions)s, 21) || '000000', 1, 6) || 'Z'"""


class _Hash(_Text):
    template = "encode(%(expressions)s, 'hex')"
    sqlite = "lower(hex(%(expressions)s))"


class _Uuid(_Text):
    template = "%(expressions)s::text"
    sqlite = " || '-' || ".join(
        f"substr(%(expressions)s, {begin}, {length})"
        for begin, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    )


_WRITTEN = (
    _Uuid("uuid"),
    *("source__slug", "event_id", "entity_type", "entity_id", "event_type"),
    _Time("occurred_at"),
    _Time("received_at"),
    Case(When(is_signed=True, then=Value("true")), default=Value("false"), output_field=CharField()),
    *("state", "code"),
    _Hash("digest"),
)
