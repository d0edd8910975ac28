"""Finds unsealed entries by set difference, because rows are committed out of the order of their ids.

*Low water* is an id below which no unsealed entry can appear any more: the highest id that was sealed two minutes
before the last segment that took everything. A transaction that was open then has ended by now, because the database
ends one that idles for a minute (`database.settings`). Above low water, every id that is missing from the segments is
queried each time.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from audit.format.hashes import ZERO_HASH, is_hash
from audit.format.id_ranges import IdRange, IdSet, unpack_ids
from audit.format.segment_record import MAX_SEGMENT_ENTRIES, SegmentHead
from audit.models import Entry, Segment
from audit.models.column_values import UNREADABLE
from audit.sealing.signed_segments import COLUMNS, first_signed, last_segment, signed_head
from database.row_ids import MAX_ID
from database.snapshot import read_snapshot
from database.statement import Statement

logger = logging.getLogger("hub.audit")

# Twice the minute after which the database ends a transaction that idles.
SETTLE_TIME = timedelta(seconds=120)
Rows = list[tuple[int, bytes]]

_RANGES = 50
_ENTRIES_ABOVE = Statement("SELECT id, leaf FROM audit_entry WHERE id BETWEEN %s AND %s ORDER BY id LIMIT %s")
_LAST_GIVEN_ID = Statement(
    "SELECT pg_sequence_last_value(pg_get_serial_sequence('audit_entry', 'id')::regclass)"
)
_ENTRIES_IN_RANGES = Statement(
    f"""SELECT id, leaf FROM audit_entry WHERE ({" OR ".join(["id BETWEEN %s AND %s"] * _RANGES)})
    ORDER BY id LIMIT %s"""  # noqa: S608
)


def load_unsealed(last: SegmentHead) -> Rows:
    """Return ids and leaves of unsealed entries in ascending order, `MAX_SEGMENT_ENTRIES` at most.

    Entries above all sealed ids are read first, so that an entry is never sealed without those before it in its stream.
    """
    above = _ENTRIES_ABOVE.fetch_all(last.highest_id + 1, last_given_id(), MAX_SEGMENT_ENTRIES)
    missing = _find_missing(find_low_water(last), last)
    return sorted([*missing, *_ids_and_leaves(above)])[:MAX_SEGMENT_ENTRIES]


def last_given_id() -> int:
    """Return the highest id that the database has given an entry. A higher one comes from a statement that named it.

    Sealed, it would hide all entries that follow, because entries are looked for above the highest sealed id. SQLite
    counts on from such a row, so there is none.
    """
    if connection.vendor == "sqlite":
        return MAX_ID
    row = _LAST_GIVEN_ID.fetch_one()
    return row[0] if row and row[0] is not None else MAX_ID


def find_low_water(last: SegmentHead) -> tuple[int, int]:
    """Return the id up to which no unsealed entry can appear, and the number of the segment up to which that was
    reached.
    """
    # A full segment may have left entries for the next one, and a late segment did not look at new entries at all.
    unfilled = Segment.objects.filter(count__lt=MAX_SEGMENT_ENTRIES, is_late=False, number__lte=last.number)
    seen = first_signed(unfilled.order_by("-number"))
    if seen is None or seen.sealed_at is None:
        return 0, 0
    settled = first_signed(segments_sealed_until(seen.sealed_at - SETTLE_TIME, last.number))
    return (0, 0) if settled is None else (settled.highest_id, settled.number)


def segments_sealed_until(moment: datetime, newest: int) -> QuerySet[Segment]:
    """Return the segments up to number `newest` that were sealed at that time or before, the last one first. Rows that
    are not signed may be among them.

    Times never go back from one segment to the next, so their order is that of numbers, and an index leads to the
    first.
    """
    rows = Segment.objects.filter(sealed_at__lte=moment, number__lte=newest)
    return rows.order_by("-sealed_at", "-number")


def _find_missing(low: tuple[int, int], last: SegmentHead) -> Rows:
    """Return entries between low water and the highest sealed id that no segment holds."""
    missing: Rows = []
    for ranges in _in_groups(list(_segment_cache.sealed_after(low[1], last.number).missing_ranges(low[0]))):
        # Padded to one length, so that there is one text of the statement for the server to prepare.
        padded = [*ranges, *[ranges[-1]] * (_RANGES - len(ranges))]
        missing += _ids_and_leaves(
            _ENTRIES_IN_RANGES.fetch_all(*(end for bounds in padded for end in bounds), MAX_SEGMENT_ENTRIES)
        )
    return missing


def _ids_after(number: int, up_to: int = MAX_ID - 1) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield number, hash and packed ids of each signed segment after this number."""
    for *columns, packed in _segments(number, up_to).values_list(*COLUMNS, "ids").iterator(200):
        head = signed_head(tuple(columns))
        if head is not None:
            yield head.number, head.hash, bytes(packed)


def _segments(number: int, up_to: int) -> QuerySet[Segment]:
    return Segment.objects.filter(number__gt=number, number__lte=up_to).order_by("number")


class _SegmentCache(threading.local):
    """The sealed ids that a thread has read, so that a sealer reads each segment once.

    `ids` holds the entries of the segments after number `after`. `last` is the newest segment read, with its hash: if
    the database has another one there, or none, the cache is discarded.
    """

    def __init__(self) -> None:
        self.after, self.last, self.ids = 0, (0, b""), IdSet()

    def sealed_after(self, number: int, up_to: int = MAX_ID - 1) -> IdSet:
        """Return at least the ids in the segments after this number, and no id that is in none."""
        if number < self.after or not self._add_new_segments(up_to):
            self.after, self.last, self.ids = number, (0, b""), IdSet()
            self._add_segments(_ids_after(number, up_to))
        return self.ids

    def _add_new_segments(self, up_to: int) -> bool:
        """Add the segments that are new since the last call. False if the cached ones are no longer in the database."""
        number, hash_ = self.last
        # The newest cached segment is read again: only if its hash is the same does the cache belong to this log.
        newer = _ids_after(number - 1, up_to)
        if number == 0 or (first := next(newer, None)) is None or first[:2] != (number, hash_):
            return False
        self._add_segments(newer)
        return True

    def _add_segments(self, segments: Iterable[tuple[int, bytes, bytes]]) -> None:
        for number, hash_, packed in segments:
            self.ids.add_ids(unpack_ids(packed))
            self.last = number, hash_


_segment_cache = _SegmentCache()


def _in_groups(ranges: Sequence[IdRange]) -> Iterator[Sequence[IdRange]]:
    for start in range(0, len(ranges), _RANGES):
        yield ranges[start : start + _RANGES]


def _ids_and_leaves(rows: Iterable[tuple[int, Any]]) -> Rows:
    return [(number, _leaf_to_seal(number, leaf)) for number, leaf in rows]


def _leaf_to_seal(number: int, leaf: Any) -> bytes:
    """Return the hash of an entry; a hash that no entry has if the column was damaged.

    The entries after a damaged one must be sealed too, and a verification finds the one whose sealed hash is not its
    own.
    """
    if is_hash(leaf):
        return bytes(leaf)
    logger.error("the hash of audit entry %s was changed before it was sealed", number)
    return ZERO_HASH


def find_unsealed_below(low: int) -> list[int]:
    """Return the id of every entry up to low water that no segment holds. Reads the whole log."""
    with read_snapshot():
        sealed = IdSet()
        # Signatures are checked by the verification that follows.
        for packed in _segments(0, last_segment().number).values_list("ids", flat=True).iterator(200):
            with suppress(*UNREADABLE):
                sealed.add_ids(unpack_ids(bytes(packed)))
        known = Entry.objects.filter(id__lte=low).order_by("id")
        ids = known.values_list("id", flat=True).iterator(10_000)
        return [entry_id for entry_id in ids if entry_id not in sealed]


def still_unsealed(number: int, ids: Sequence[int]) -> Rows:
    """Return which of these entries no segment after this number contains, in ascending order."""
    sealed = IdSet()
    for _, _, packed in _ids_after(number):
        sealed.add_ids(unpack_ids(packed))
    entries = Entry.objects.filter(id__in=[entry_id for entry_id in ids if entry_id not in sealed]).order_by(
        "id"
    )
    return _ids_and_leaves(entries.values_list("id", "leaf"))
