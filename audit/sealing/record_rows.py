"""Rows of the audit log as the records that are told, and as the rows that are checked."""

from typing import Any

from audit.format.hashes import digest
from audit.format.signed_records import Record, time_text
from audit.models import Checkpoint, Segment, SigningKey


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


def _hex(value: Any) -> str:
    return bytes(value).hex()
