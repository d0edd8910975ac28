"""Conversion of the log's rows to the types that the checks take."""

from audit.checks.findings import EntryRow, KeyRow, SegmentRow
from audit.format.signed_records import format_time
from audit.models import Entry, Segment, SigningKey
from audit.sealing.record_rows import key_record, segment_record


def key_rows() -> list[KeyRow]:
    """Return all keys in their order."""
    rows, before = [], ""
    for row in SigningKey.objects.order_by("number"):
        until = None if row.valid_until is None else format_time(row.valid_until)
        rows.append(KeyRow(key_record(row, before), until, row.private is not None))
        before = row.key
    return rows


def segment_row(row: Segment) -> SegmentRow:
    return SegmentRow(
        segment_record(row),
        bytes(row.ids),
        bytes(row.leaves),
        bytes(row.hash),
        bytes(row.nodes),
        row.highest_id,
    )


def entry_row(row: Entry) -> EntryRow:
    return EntryRow(
        row.pk,
        row.stream,
        row.stream_seq,
        row.details,
        _body_or_none(row),
        stored_hash(row.leaf),
    )


def stored_hash(value: object) -> bytes:
    """Return a hash from a column of the log. Text and numbers, which SQLite can store there, count as no bytes."""
    return bytes(value) if isinstance(value, bytes | memoryview) else b""


def _body_or_none(row: Entry) -> str | None:
    # SQLite can store a value of another type in a column.
    try:
        return row.body
    except (TypeError, ValueError):
        return None
