"""Write the readable table `events.csv`, by COPY on PostgreSQL; formula-safe, or with the texts unchanged.

It names an event by its UUID. The reference is another spelling of it that no database makes: adding it took longer
than everything else.
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

from audit.export.line_formats import REQUESTER_COLUMN, neutralize_formula

COLUMNS = (
    *("uuid", "source", "event_id", "entity_type", "entity_id", "event_type"),
    *("occurred", "received", "signed", "state", "code", "body_sha256", "origin", "requested_by"),
)
CHUNK_SIZE = 500  # events fetched at a time
_LINES_PER_BLOCK = 500
# Columns that a source may fill with any text.
_QUOTED_COLUMNS = (
    "event_id",
    "entity_type",
    "entity_id",
    "event_type",
)
_SAFE_FIRST_CHARACTERS = frozenset(ascii_letters + digits)
# A quoted cell that begins with anything but a letter or a digit. It need be no formula: `neutralize_formula` decides.
_SUSPICIOUS = re.compile(rb',"(?![0-9A-Za-z]|",)')


def write_csv(
    events: QuerySet[Any], file: BinaryIO, requester: str, *, is_safe: bool = True
) -> Iterator[int]:
    """Write the events, and yield the number written so far, block by block. Each line ends with the requester.

    If `is_safe` is False, a text that begins like a formula is written unchanged.
    """
    file.write(f"{','.join((*COLUMNS, REQUESTER_COLUMN))}\r\n".encode())
    read_blocks = copy_csv_blocks if connection.vendor == "postgresql" else read_csv_blocks
    written = 0
    for count, block in read_blocks(events, requester, is_safe=is_safe):
        file.write(block)
        written += count
        yield written


def read_cells(events: QuerySet[Any], requester: str) -> Iterator[tuple[Any, ...]]:
    """Yield the cells of each event and the requester by the ORM: text, or None if there is no value."""
    cells: Iterator[tuple[Any, ...]] = _select_cells(events, requester).iterator(chunk_size=CHUNK_SIZE)
    return cells


def _select_cells(events: QuerySet[Any], requester: str) -> Any:
    return events.values_list(*_COLUMN_EXPRESSIONS, Value(requester, output_field=CharField()))


def read_csv_blocks(
    events: QuerySet[Any], requester: str, *, is_safe: bool = True
) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of lines by the ORM, each with its number of rows."""
    quote_cell = _quote_safe_cell if is_safe else _quote_cell
    lines: list[str] = []
    for row in read_cells(events, requester):
        lines.append(_format_line(quote_cell, *row))
        if len(lines) == _LINES_PER_BLOCK:
            yield len(lines), "".join(lines).encode()
            lines = []
    yield len(lines), "".join(lines).encode()


def _format_line(
    quote_cell: Callable[[str | None], str],
    uuid: str,
    source: str,
    event_id: str | None,
    entity_type: str,
    entity_id: str,
    event_type: str,
    *others: str | None,
) -> str:
    """Return one line in the spelling of COPY. The hub's own words never need quotes."""
    quoted = (
        f"{quote_cell(event_id)},{quote_cell(entity_type)},{quote_cell(entity_id)},{quote_cell(event_type)}"
    )
    return f"{uuid},{source},{quoted},{','.join([cell or '' for cell in others])}\r\n"


def _quote_cell(text: str | None) -> str:
    return "" if text is None else '"' + text.replace('"', '""') + '"'


def _quote_safe_cell(text: str | None) -> str:
    return _quote_cell(
        # Most texts begin with a letter or a digit. Asking that first saves a regular expression for each cell.
        text if text is None or text[:1] in _SAFE_FIRST_CHARACTERS else neutralize_formula(text)
    )


def copy_csv_blocks(
    events: QuerySet[Any], requester: str, *, is_safe: bool = True
) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of lines by COPY, each with its number of rows."""
    try:
        sql, values = _select_cells(events, requester).query.sql_with_params()
    # The filter can match no event, and Django makes no SQL for it.
    except EmptyResultSet:
        return
    # A quoted cell is what `neutralize_formulas` looks at, so texts of sources are quoted even if they need not be.
    quoted = ", ".join(f'"{name}"' for name in _QUOTED_COLUMNS)
    copy = f"COPY ({sql}) TO STDOUT (FORMAT csv, FORCE_QUOTE ({quoted}))"
    to_lines = neutralize_formulas if is_safe else _crlf_lines
    rows: list[bytes] = []
    # The driver's own cursor: with DEBUG on, Django's takes no parameters here.
    with connection.cursor() as cursor, cursor.cursor.copy(copy, values) as messages:
        # The server sends one row a message.
        for row in messages:
            rows.append(row)
            if len(rows) == _LINES_PER_BLOCK:
                yield len(rows), to_lines(rows)
                rows = []
    yield len(rows), to_lines(rows)


def _crlf_lines(copies: Sequence[bytes]) -> bytes:
    """Join the rows, with their line feeds replaced by CR LF."""
    return b"".join([b"%s\r\n" % row[:-1] for row in copies])


def neutralize_formulas(copies: Sequence[bytes]) -> bytes:
    """Join the rows as lines, with an apostrophe before each cell that a spreadsheet could take for a formula."""
    block = _crlf_lines(copies)
    # One search over the whole block: in most blocks no cell needs a change.
    if not _SUSPICIOUS.search(block):
        return block
    cells = (next(csv.reader(io.StringIO(bytes(row).decode(), newline=""))) for row in copies)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([neutralize_formula(cell) for cell in row] for row in cells)
    return text.getvalue().encode()


class _TextColumn(Func):
    """A column that the database converts to the table's text: converting it in Python took most of the time of a
    row.
    """

    arity = 1
    sqlite = ""

    def __init__(self, name: str) -> None:
        super().__init__(F(name), output_field=CharField())

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return self.as_sql(compiler, connection, template=self.sqlite, **more)


class _TimeColumn(_TextColumn):
    """An RFC 3339 time in UTC with six decimals. SQLite stores none if all of them are zero."""

    template = """to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    sqlite = """replace(substr(%(expressions)s, 1, 19), ' ', 'T') || '.'
        || substr(substr(%(expressions)s, 21) || '000000', 1, 6) || 'Z'"""


class _HashColumn(_TextColumn):
    template = "encode(%(expressions)s, 'hex')"
    sqlite = "lower(hex(%(expressions)s))"


class _NumberColumn(_TextColumn):
    template = sqlite = "CAST(%(expressions)s AS text)"


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
    "origin",
    _NumberColumn("requested_by"),
)
