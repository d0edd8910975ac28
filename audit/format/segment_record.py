"""Builds the record and the columns of a segment from its entries. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from audit.format.canonical_json import JSONValue
from audit.format.hashes import ZERO_HASH, segment_hash, sha256_digest
from audit.format.id_ranges import pack_ids
from audit.format.merkle_tree import merkle_root
from audit.format.signed_records import Record, format_time, signed_text

MAX_SEGMENT_ENTRIES = 5_000  # entries in a segment
EntryLeaves = Sequence[tuple[int, bytes]]  # ids and leaves, in ascending order of ids


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """The newest segment, with all that the next one depends on.

    `foreign`: how many rows that the hub did not write have taken the numbers up to `number`. Then `hash` is that of
    the last one.
    """

    number: int = 0
    hash: bytes = ZERO_HASH
    sealed_at: datetime | None = None
    highest_id: int = 0
    foreign: int = 0


def unsigned_segment(
    last: SegmentHead, entries: EntryLeaves, at: datetime, key: str, *, is_late: bool
) -> Record:
    """Return the signed fields of the next segment. Its time is `at`, but never before the time of the last segment."""
    return {
        "v": 1,
        "number": last.number + 1,
        "prev": last.hash.hex(),
        "count": len(entries),
        "ids": sha256_digest(pack_ids(entry_id for entry_id, _ in entries)).hex(),
        "root": merkle_root([leaf for _, leaf in entries]).hex(),
        # The clock may have been set back, and `segments_sealed_until` relies on times that never decrease.
        "sealed_at": format_time(at if last.sealed_at is None else max(at, last.sealed_at)),
        "key": key,
        "late": is_late,
    }


def segment_columns(last: SegmentHead, entries: EntryLeaves, record: Record) -> Mapping[str, JSONValue]:
    """Return the columns of a segment's row, except `nodes`."""
    return {
        "number": record["number"],
        "prev_hash": last.hash,
        "count": record["count"],
        "ids": pack_ids(entry_id for entry_id, _ in entries),
        "leaves": b"".join(leaf for _, leaf in entries),
        "root": bytes.fromhex(record["root"]),
        "sealed_at": datetime.fromisoformat(record["sealed_at"]),
        "key_id": record["key"],
        "signature": bytes.fromhex(record["signature"]),
        "is_late": record["late"],
        "hash": segment_hash(signed_text("segment", record)),
        # A late segment holds lower ids than the one before, and a search by id relies on a column that never
        # decreases.
        "highest_id": max(last.highest_id, entries[-1][0] if entries else 0),
    }
