"""Finds unsealed entries by set difference, because rows are committed out of the order of their ids.

*Low water* is an id below which no unsealed entry can appear any more: the highest id that was sealed two minutes
before the last segment that took everything. A transaction that was open then has ended by now, because the database
ends one that idles for a minute (`database.settings`). Above low water, every id that is missing from the segments is
queried each time.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from audit.format.hashes import ZERO_HASH, is_hash
from audit.format.id_ranges import IdRange, IdSet, unpack_ids
from audit.format.segment_record import MAX_SEGMENT_ENTRIES, SegmentHead
from audit.models import Entry, Segment
from database.snapshot import read_snapshot
from database.statement import Statement
from database.values import parse_optional_timestamp

logger = logging.getLogger("hub.audit")

# Twice the minute after which the database ends a transaction that idles.
SETTLE_TIME = timedelta(seconds=120)
Rows = list[tuple[int, bytes]]

_RANGES = 50
_LAST_SEGMENT = Statement(
    "SELECT number, hash, sealed_at, highest_id FROM audit_segment ORDER BY number DESC LIMIT 1"
)
# A full segment may have left entries for the next one, and a late segment did not look at new entries at all.
_LAST_UNFILLED_SEGMENT = Statement(
    "SELECT sealed_at FROM audit_segment WHERE count < %s AND NOT is_late ORDER BY number DESC LIMIT 1"
)
_ENTRIES_ABOVE = Statement("SELECT id, leaf FROM audit_entry WHERE id > %s ORDER BY id LIMIT %s")
_ENTRIES_IN_RANGES = Statement(
    f"""SELECT id, leaf FROM audit_entry WHERE ({" OR ".join(["id BETWEEN %s AND %s"] * _RANGES)})
    ORDER BY id LIMIT %s"""  # noqa: S608
)


def last_segment() -> SegmentHead:
    """Return the newest segment, or an empty head before the first."""
    row = _LAST_SEGMENT.fetch_one()
    return (
        SegmentHead()
        if row is None
        else SegmentHead(row[0], bytes(row[1]), parse_optional_timestamp(row[2]), row[3])
    )


def load_unsealed(last: SegmentHead) -> Rows:
    """Return ids and leaves of unsealed entries in ascending order, `MAX_SEGMENT_ENTRIES` at most.

    Entries above all sealed ids are read first, so that an entry is never sealed without those before it in its stream.
    """
    above = _ids_and_leaves(_ENTRIES_ABOVE.fetch_all(last.highest_id, MAX_SEGMENT_ENTRIES))
    return sorted([*_find_missing(find_low_water()), *above])[:MAX_SEGMENT_ENTRIES]


def find_low_water() -> tuple[int, int]:
    """Return the id up to which no unsealed entry can appear, and the number of the segment up to which that was
    reached.
    """
    row = _LAST_UNFILLED_SEGMENT.fetch_one(MAX_SEGMENT_ENTRIES)
    seen_at = parse_optional_timestamp(row[0]) if row else None
    if seen_at is None:
        return 0, 0
    return segments_sealed_until(seen_at - SETTLE_TIME).values_list("highest_id", "number").first() or (0, 0)


def segments_sealed_until(moment: datetime) -> QuerySet[Segment]:
    """Return the segments sealed at that time or before, the last one first.

    Times never go back from one segment to the next, so their order is that of numbers, and an index leads to the
    first.
    """
    return Segment.objects.filter(sealed_at__lte=moment).order_by("-sealed_at", "-number")


def _find_missing(low: tuple[int, int]) -> Rows:
    """Return entries between low water and the highest sealed id that no segment holds."""
    missing: Rows = []
    for ranges in _in_groups(list(_segment_cache.sealed_after(low[1]).missing_ranges(low[0]))):
        # Padded to one length, so that there is one text of the statement for the server to prepare.
        padded = [*ranges, *[ranges[-1]] * (_RANGES - len(ranges))]
        missing += _ids_and_leaves(
            _ENTRIES_IN_RANGES.fetch_all(*(end for bounds in padded for end in bounds), MAX_SEGMENT_ENTRIES)
        )
    return missing


def _sealed_after(number: int = 0) -> IdSet:
    """Return the ids in the segments after this number. For low water: all sealed ids above it."""
    sealed = IdSet()
    for _, _, packed in _segments_from(number + 1):
        sealed.add_ids(unpack_ids(bytes(packed)))
    return sealed


def _segments_from(number: int) -> Iterator[tuple[int, Any, Any]]:
    """Yield number, hash and packed ids of each segment from this number on."""
    segments = Segment.objects.filter(number__gte=number).order_by("number")
    return segments.values_list("number", "hash", "ids").iterator(200)


class _SegmentCache(threading.local):
    """The sealed ids that a thread has read, so that a sealer reads each segment once.

    `ids` holds the entries of the segments after number `after`. `last` is the newest segment read, with its hash: if
    the database has another one there, or none, the cache is discarded.
    """

    def __init__(self) -> None:
        self.after, self.last, self.ids = 0, (0, b""), IdSet()

    def sealed_after(self, number: int) -> IdSet:
        """Return at least the ids in the segments after this number, and no id that is in none."""
        if number < self.after or not self._add_new_segments():
            self.after, self.last, self.ids = number, (0, b""), IdSet()
            self._add_segments(_segments_from(number + 1))
        return self.ids

    def _add_new_segments(self) -> bool:
        """Add the segments that are new since the last call. False if the cached ones are no longer in the database."""
        number, hash_ = self.last
        # The newest cached segment is read again: only if its hash is the same does the cache belong to this log.
        newer = _segments_from(number)
        if (
            number == 0
            or (first := next(newer, None)) is None
            or (first[0], bytes(first[1])) != (number, hash_)
        ):
            return False
        self._add_segments(newer)
        return True

    def _add_segments(self, segments: Iterable[tuple[int, Any, Any]]) -> None:
        for number, hash_, packed in segments:
            self.ids.add_ids(unpack_ids(bytes(packed)))
            self.last = number, bytes(hash_)


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
        sealed = _sealed_after()
        known = Entry.objects.filter(id__lte=low).order_by("id")
        ids = known.values_list("id", flat=True).iterator(10_000)
        return [entry_id for entry_id in ids if entry_id not in sealed]


def still_unsealed(number: int, ids: Sequence[int]) -> Rows:
    """Return which of these entries no segment after this number contains, in ascending order."""
    sealed = _sealed_after(number)
    entries = Entry.objects.filter(id__in=[entry_id for entry_id in ids if entry_id not in sealed]).order_by(
        "id"
    )
    return _ids_and_leaves(entries.values_list("id", "leaf"))
