"""The table for reading, `events.csv`: formula-safe, by COPY where the database is PostgreSQL."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Case, CharField, F, Func, QuerySet, Value, When

from audit.export import csv_record
from integration_hub.console.exporting.columns import EVENTS
from integration_hub.console.exporting.rows import event_rows
from webhooks.references import reference_of

_BLOCK = 500
# A cell that begins with anything but a letter or a digit. It need be no formula; `csv_record` decides.
_SUSPICIOUS = re.compile(rb'(?:\A|,|\n)"(?![0-9A-Za-z]|"(?:,|\r?\n|\Z))')


def write_csv(events: QuerySet[Any], file: BinaryIO) -> Iterator[int]:
    """Write the events; how many so far, again and again."""
    file.write(csv_record(EVENTS.names).encode())
    blocks = _copied(events) if connection.vendor == "postgresql" else _read(events)
    rows = 0
    for count, block in blocks:
        file.write(block)
        rows += count
        yield rows


def _read(events: QuerySet[Any]) -> Iterator[tuple[int, bytes]]:
    lines: list[str] = []
    for _key, row in event_rows(events):
        lines.append(csv_record(row))
        if len(lines) == _BLOCK:
            yield len(lines), "".join(lines).encode()
            lines = []
    yield len(lines), "".join(lines).encode()


def _copied(events: QuerySet[Any]) -> Iterator[tuple[int, bytes]]:
    """By COPY. The server sends one row a message, which begins with the quoted UUID."""
    try:
        sql, values = events.values_list(*_COLUMNS).query.sql_with_params()
    except EmptyResultSet:  # the filter can mean nothing
        return
    copy = f"COPY ({sql}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)"
    rows: list[bytes] = []
    with connection.cursor() as cursor, cursor.copy(copy, values) as taken:
        for message in taken:
            rows.append(_named(bytes(message)))
            if len(rows) == _BLOCK:
                yield len(rows), harmless(rows)
                rows = []
    yield len(rows), harmless(rows)


def _named(row: bytes) -> bytes:
    """With the reference instead of the UUID, ended by CR LF."""
    reference = reference_of(int(row[1:37].replace(b"-", b""), 16))
    return b'"%s%s\r\n' % (reference.encode(), row[37:-1])


def harmless(rows: list[bytes]) -> bytes:
    """The rows, with an apostrophe before each cell that a spreadsheet could take for a formula."""
    block = b"".join(rows)
    if not _SUSPICIOUS.search(block):
        return block
    return "".join(csv_record(_cells(row)) for row in rows).encode()


def _cells(row: bytes) -> list[str]:
    (cells,) = csv.reader(io.StringIO(row.decode(), newline=""))
    return cells


def _text_of(name: str, template: str) -> Func:
    return Func(F(name), template=template, output_field=CharField())


_TIME = """to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_COLUMNS = (
    *("uuid", "source__slug", "event_id", "entity_type", "entity_id", "event_type"),
    _text_of("occurred_at", _TIME),
    _text_of("received_at", _TIME),
    Case(When(is_signed=True, then=Value("true")), default=Value("false"), output_field=CharField()),
    "state",
    "code",
    _text_of("digest", "encode(%(expressions)s, 'hex')"),
)
