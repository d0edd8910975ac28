"""Rows of the audit log as the records that are told, and as the rows that are checked."""

from typing import Any

from audit.hashing import digest
from audit.models import Checkpoint, Entry, Segment, SigningKey
from audit.records import Record, time_text
from audit.verifying.faults import EntryRow, KeyRow, SegmentRow


def segment_record(row: Segment) -> Record:
    """A segment as it was signed, with its signature."""
    return {
        "v": 1,
        "number": row.number,
        "prev": _hex(row.prev_hash),
        "count": row.count,
        "ids": digest(bytes(row.ids)).hex(),
        "root": _hex(row.root),
        "sealed_at": time_text(row.sealed_at),
        "key": row.key_id,
        "late": row.is_late,
        "signature": _hex(row.signature),
    }


def checkpoint_record(row: Checkpoint) -> Record:
    """A checkpoint as it was signed, with its signature."""
    return {
        "v": 1,
        "count": row.count,
        "root": _hex(row.root),
        "head": _hex(row.head),
        "at": time_text(row.at),
        "key": row.key_id,
        "signature": _hex(row.signature),
    }


def key_record(row: SigningKey, before: str) -> Record:
    """A key as it was signed, with its signature. `before`: the id of the key before it."""
    return {
        "v": 1,
        "number": row.number,
        "key": row.key,
        "public": _hex(row.public),
        "prev": before,
        "from": time_text(row.valid_from),
        "signature": _hex(row.signature),
    }


def key_records() -> list[Record]:
    """All keys in their order."""
    records: list[Record] = []
    before = ""
    for row in SigningKey.objects.order_by("number"):
        records.append(key_record(row, before))
        before = row.key
    return records


def key_rows() -> list[KeyRow]:
    """All keys in their order, to be checked."""
    rows, before = [], ""
    for row in SigningKey.objects.order_by("number"):
        until = None if row.valid_until is None else time_text(row.valid_until)
        rows.append(KeyRow(key_record(row, before), until, row.private is not None))
        before = row.key
    return rows


def segment_row(row: Segment) -> SegmentRow:
    """A segment to be checked."""
    return SegmentRow(
        segment_record(row),
        bytes(row.ids),
        bytes(row.leaves),
        bytes(row.hash),
        bytes(row.nodes),
        row.highest_id,
    )


def entry_row(row: Entry) -> EntryRow:
    """An entry to be checked."""
    return EntryRow(
        row.pk,
        row.stream,
        time_text(row.at),
        row.action,
        row.actor,
        row.body,
        row.stream_seq,
        bytes(row.prev_leaf),
        bytes(row.leaf),
    )


def _hex(value: Any) -> str:
    return bytes(value).hex()
