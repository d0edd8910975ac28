"""The table for reading, `events.csv`: formula-safe or as it is, by COPY where the database is PostgreSQL.

It names an event by its UUID, of which the reference is another spelling that no database makes: putting it in took
longer than everything else.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from string import ascii_letters, digits
from typing import Any, BinaryIO

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Case, CharField, F, Func, QuerySet, Value, When

from audit.export.line_formats import neutralize_formula

COLUMNS = (
    *("uuid", "source", "event_id", "entity_type", "entity_id", "event_type"),
    *("occurred", "received", "signed", "state", "code", "body_sha256"),
)
CHUNK_SIZE = 500  # events fetched at a time
_LINES_PER_BLOCK = 500
_QUOTED_COLUMNS = (
    "event_id",
    "entity_type",
    "entity_id",
    "event_type",
)  # what a source may fill with anything; always quoted
_SAFE_FIRST_CHARACTERS = frozenset(ascii_letters + digits)
# A quoted cell that begins with anything but a letter or a digit. It need be no formula: `neutralize_formula` decides.
_SUSPICIOUS = re.compile(rb',"(?![0-9A-Za-z]|",)')


def write_csv(events: QuerySet[Any], file: BinaryIO, *, is_safe: bool = True) -> Iterator[int]:
    """Write the events; how many so far, again and again. Not `is_safe`: what begins as a formula does, stays so."""
    file.write(f"{','.join(COLUMNS)}\r\n".encode())
    way = copy_csv_blocks if connection.vendor == "postgresql" else read_csv_blocks
    written = 0
    for count, block in way(events, is_safe=is_safe):
        file.write(block)
        written += count
        yield written


def read_cells(events: QuerySet[Any]) -> Iterator[tuple[Any, ...]]:
    """The cells of each event by the ORM, all of them text, or None where there is nothing."""
    return events.values_list(*_COLUMN_EXPRESSIONS).iterator(chunk_size=CHUNK_SIZE)


def read_csv_blocks(events: QuerySet[Any], *, is_safe: bool = True) -> Iterator[tuple[int, bytes]]:
    """Blocks of lines by the ORM, each with its number of rows."""
    cell = _quote_safe_cell if is_safe else _quote_cell
    some: list[str] = []
    for row in read_cells(events):
        some.append(_format_line(cell, *row))
        if len(some) == _LINES_PER_BLOCK:
            yield len(some), "".join(some).encode()
            some = []
    yield len(some), "".join(some).encode()


def _format_line(
    quote_cell: Callable[[str | None], str],
    uuid: str,
    source: str,
    event_id: str | None,
    entity_type: str,
    entity_id: str,
    event_type: str,
    *told: str | None,
) -> str:
    """As COPY writes it: of our own words none needs a quotation mark."""
    strange = (
        f"{quote_cell(event_id)},{quote_cell(entity_type)},{quote_cell(entity_id)},{quote_cell(event_type)}"
    )
    return f"{uuid},{source},{strange},{','.join([each or '' for each in told])}\r\n"


def _quote_cell(text: str | None) -> str:
    return "" if text is None else '"' + text.replace('"', '""') + '"'


def _quote_safe_cell(text: str | None) -> str:
    return _quote_cell(
        text if text is None or text[:1] in _SAFE_FIRST_CHARACTERS else neutralize_formula(text)
    )


def copy_csv_blocks(events: QuerySet[Any], *, is_safe: bool = True) -> Iterator[tuple[int, bytes]]:
    """The same by COPY; the server sends one row a message."""
    try:
        sql, values = events.values_list(*_COLUMN_EXPRESSIONS).query.sql_with_params()
    except EmptyResultSet:  # the filter can mean nothing
        return
    quoted = ", ".join(f'"{name}"' for name in _QUOTED_COLUMNS)
    copy = f"COPY ({sql}) TO STDOUT (FORMAT csv, FORCE_QUOTE ({quoted}))"
    lines = neutralize_formulas if is_safe else _crlf_lines
    some: list[bytes] = []
    with connection.cursor() as cursor, cursor.copy(copy, values) as taken:
        for message in taken:
            some.append(message)
            if len(some) == _LINES_PER_BLOCK:
                yield len(some), lines(some)
                some = []
    yield len(some), lines(some)


def _crlf_lines(copies: Sequence[bytes]) -> bytes:
    """Rows that end with a line feed as lines that end with CR LF."""
    return b"".join([b"%s\r\n" % row[:-1] for row in copies])


def neutralize_formulas(copies: Sequence[bytes]) -> bytes:
    """The same; a cell that a spreadsheet could take for a formula gets an apostrophe in front."""
    block = _crlf_lines(copies)
    if not _SUSPICIOUS.search(block):
        return block
    cells = (next(csv.reader(io.StringIO(bytes(row).decode(), newline=""))) for row in copies)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([neutralize_formula(cell) for cell in row] for row in cells)
    return text.getvalue().encode()


class _TextColumn(Func):
    """A column as its text in the table, made by the database: made here it took most of the time of a row."""

    arity = 1
    sqlite = ""

    def __init__(self, name: str) -> None:
        super().__init__(F(name), output_field=CharField())

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return self.as_sql(compiler, connection, template=self.sqlite, **more)


class _TimeColumn(_TextColumn):
    """RFC 3339 in UTC, six decimals; SQLite keeps none where all of them are zero."""

    template = """to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    sqlite = """replace(substr(%(expressions)s, 1, 19), ' ', 'T') || '.'
        || substr(substr(%(expressions)s, 21) || '000000', 1, 6) || 'Z'"""


class _HashColumn(_TextColumn):
    template = "encode(%(expressions)s, 'hex')"
    sqlite = "lower(hex(%(expressions)s))"


class _UuidColumn(_TextColumn):
    template = "%(expressions)s::text"
    sqlite = " || '-' || ".join(
        f"substr(%(expressions)s, {begin}, {length})"
        for begin, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    )


_COLUMN_EXPRESSIONS = (
    _UuidColumn("uuid"),
    *("source__slug", "event_id", "entity_type", "entity_id", "event_type"),
    _TimeColumn("occurred_at"),
    _TimeColumn("received_at"),
    Case(When(is_signed=True, then=Value("true")), default=Value("false"), output_field=CharField()),
    *("state", "code"),
    _HashColumn("digest"),
)
