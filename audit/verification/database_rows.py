"""Conversion of the log's rows to the types that the checks take. A row that has no such form becomes a fault."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from django.db import DatabaseError
from django.db.models import QuerySet

from audit.checks.findings import EntryRow, IntegrityFault, KeyRow, SegmentRow
from audit.format.canonical_json import MAX_NUMBER
from audit.format.hashes import stored_hash
from audit.format.signed_records import Record, format_time
from audit.models import Checkpoint, Entry, Segment, SigningKey
from audit.models.column_values import UNREADABLE, is_valid_value
from audit.sealing.record_rows import checkpoint_record, key_record, segment_record

Row = TypeVar("Row", Segment, SigningKey, Checkpoint)


def key_rows(damaged: list[IntegrityFault]) -> list[KeyRow]:
    """Return all keys in their order. Adds a fault to `damaged` for each that cannot be read."""
    rows, before = [], ""
    for row in read_rows(SigningKey.objects.all(), 100, "key", damaged):
        until = None if row.valid_until is None else format_time(row.valid_until)
        rows.append(KeyRow(key_record(row, before), until, row.private is not None))
        before = row.key
    return rows


def segment_rows(newest: int, damaged: list[IntegrityFault]) -> Iterator[SegmentRow]:
    """Yield the segments up to a number. Adds a fault to `damaged` for each that cannot be read."""
    # SQLite sorts text after all numbers.
    numbers = Segment.objects.exclude(number__lte=MAX_NUMBER).values_list("number", flat=True)
    damaged += [_invalid_column(f"segment {number}", "number") for number in numbers[:100]]
    rows = Segment.objects.filter(number__lte=newest)
    yield from map(segment_row, read_rows(rows, 50, "segment", damaged))


def checkpoint_rows(newest: int, damaged: list[IntegrityFault]) -> Iterator[tuple[str, Record]]:
    """Yield place and record of the checkpoints up to a count. Adds a fault to `damaged` for each unreadable one."""
    counts = Checkpoint.objects.exclude(count__lte=MAX_NUMBER).values_list("count", flat=True)
    damaged += [_invalid_column(f"checkpoint {count}", "count") for count in counts[:100]]
    rows = Checkpoint.objects.filter(count__lte=newest)
    for row in read_rows(rows, 500, "checkpoint", damaged):
        yield f"checkpoint {row.count}", checkpoint_record(row)


def read_rows(rows: QuerySet[Row], chunk: int, name: str, damaged: list[IntegrityFault]) -> Iterator[Row]:
    """Yield rows by key. Adds a fault to `damaged` for each that has a value of another type. `name`: of one row."""
    read = 0
    try:
        for row in rows.order_by("pk").iterator(chunk):
            read += 1
            if invalid := _invalid_columns(row):
                damaged.append(_invalid_column(f"{name} {row.pk}", invalid))
            else:
                yield row
    except (*UNREADABLE, DatabaseError):
        # One value that the driver cannot convert hides all rows of its chunk, so the rest is read row by row.
        keys = list(rows.order_by("pk").values_list("pk", flat=True))
        yield from _read_each(rows, keys[read:], name, damaged)


def _read_each(
    rows: QuerySet[Row], keys: Iterable[object], name: str, damaged: list[IntegrityFault]
) -> Iterator[Row]:
    for key in keys:
        found, unread = None, list[str]()
        if isinstance(key, int):
            try:
                found = rows.get(pk=key)
            except (*UNREADABLE, DatabaseError):
                unread = [
                    field.name for field in rows.model._meta.fields if not _is_readable(rows, key, field.name)
                ]
        invalid = ", ".join(unread) if found is None else _invalid_columns(found)
        if found is None or invalid:
            damaged.append(_invalid_column(f"{name} {key}", invalid or "key"))
        else:
            yield found


def _is_readable(rows: QuerySet[Row], key: int, column: str) -> bool:
    try:
        rows.values_list(column).get(pk=key)
    except (*UNREADABLE, DatabaseError):
        return False
    return True


def _invalid_columns(row: Segment | SigningKey | Checkpoint) -> str:
    """Return the names of the columns whose values the hub does not write; empty if there is none."""
    return ", ".join(
        field.name
        for field in row._meta.concrete_fields
        if not is_valid_value(field, getattr(row, field.attname))
        # It is in no record, and compared as a number: an absurd one must not hide its segment.
        and not (field.name == "highest_id" and isinstance(getattr(row, field.attname), int))
    )


def _invalid_column(location: str, names: str) -> IntegrityFault:
    return IntegrityFault(location, f"has an invalid value in: {names}")


def segment_row(row: Segment) -> SegmentRow:
    return SegmentRow(
        segment_record(row),
        bytes(row.ids),
        bytes(row.leaves),
        bytes(row.hash),
        bytes(row.nodes),
        row.highest_id,
    )


def read_entries(ids: Sequence[int]) -> list[Entry]:
    """Return which of these entries exist, by id. Times that cannot be read are deferred: see `entry_time`."""
    rows = Entry.objects.filter(id__in=ids).order_by("id")
    try:
        return list(rows)
    except (*UNREADABLE, DatabaseError):
        return [_read_entry(pk) for pk in rows.values_list("id", flat=True)]


def _read_entry(pk: int) -> Entry:
    try:
        return Entry.objects.defer("at").get(pk=pk)
    except (*UNREADABLE, DatabaseError):
        return Entry(id=pk, stream="unreadable", stream_seq=0, details="", leaf=b"")


def entry_row(row: Entry) -> EntryRow:
    return EntryRow(
        row.pk,
        row.stream,
        row.stream_seq,
        row.details,
        _body_or_none(row),
        stored_hash(row.leaf),
    )


def entry_time(row: Entry) -> datetime | None:
    """Return the time of an entry; None if its column has no valid value."""
    try:
        return row.at if isinstance(row.at, datetime) else None
    except (*UNREADABLE, DatabaseError):
        return None


def _body_or_none(row: Entry) -> str | None:
    # SQLite can store a value of another type in a column, and PostgreSQL a time that Python does not have.
    try:
        return row.body
    except (*UNREADABLE, DatabaseError):
        return None
