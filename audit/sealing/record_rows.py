"""Conversion of the log's rows to the records that are signed and exported."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.db.models import QuerySet

from audit.format.entry_body import BODY_COLUMNS, entry_body
from audit.format.hashes import sha256_digest
from audit.format.signed_records import Record, format_time
from audit.models import Checkpoint, Entry, Segment, SigningKey
from audit.models.column_values import UNREADABLE

# Stands in an export for an entry whose columns make no body. No entry has its hash, so a verifier finds it.
NO_BODY = "{}"


def entry_bodies(rows: QuerySet[Entry]) -> Iterator[tuple[int, str, str]]:
    """Yield id, stream and body of entries, in their order. The body is `NO_BODY` if a column has no valid value."""
    try:
        # Not by instances of the model: those would take half as long again.
        found = list(rows.values_list("id", *BODY_COLUMNS))
    except UNREADABLE:
        # One time that the driver cannot convert hides all rows.
        yield from ((row.pk, row.stream, _body_of(partial(getattr, row, "body"))) for row in rows.defer("at"))
        return
    for pk, *columns in found:
        yield pk, columns[0], _body_of(partial(entry_body, *columns))


def _body_of(make_body: Callable[[], str]) -> str:
    try:
        return make_body()
    except UNREADABLE:
        return NO_BODY


def segment_record(row: Segment) -> Record:
    """Return a segment's record with its signature."""
    return {
        "v": 1,
        "number": row.number,
        "prev": _to_hex(row.prev_hash),
        "count": row.count,
        "ids": sha256_digest(bytes(row.ids)).hex(),
        "root": _to_hex(row.root),
        "sealed_at": format_time(row.sealed_at),
        "key": row.key_id,
        "late": row.is_late,
        "signature": _to_hex(row.signature),
    }


def checkpoint_record(row: Checkpoint) -> Record:
    """Return a checkpoint's record with its signature."""
    return {
        "v": 1,
        "count": row.count,
        "root": _to_hex(row.root),
        "head": _to_hex(row.head),
        "at": format_time(row.at),
        "key": row.key_id,
        "signature": _to_hex(row.signature),
    }


def key_record(row: SigningKey, previous_key: str) -> Record:
    """Return a key's record with its signature. `previous_key` is the id of the key before it."""
    return {
        "v": 1,
        "number": row.number,
        "key": row.key,
        "public": _to_hex(row.public),
        "prev": previous_key,
        "from": format_time(row.valid_from),
        "signature": _to_hex(row.signature),
    }


def key_records() -> list[Record]:
    """Return the records of all keys in their order."""
    records: list[Record] = []
    before = ""
    for row in SigningKey.objects.order_by("number"):
        records.append(key_record(row, before))
        before = row.key
    return records


def _to_hex(value: Any) -> str:
    # `bytes` would take a number, as a size.
    return memoryview(value).hex()
