"""Status of the log's integrity: sealed, published and verified up to when.

Six statements for any undamaged log, seven on PostgreSQL.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.db.models import QuerySet

from audit.format.segment_record import SegmentHead
from audit.models import CheckpointChannel, Entry, Segment, Verification
from audit.models.column_values import UNREADABLE
from audit.sealing.signed_segments import find_foreign_rows, last_segment
from audit.sealing.unsealed_entries import last_given_id

Row = TypeVar("Row")

# Of rows that the hub did not write, of each table.
_MAX_COUNTED = 100
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class SealingStatus:
    """The status of sealing.

    `unsealed_since` is the time of the oldest unsealed entry, `late_at` that of the newest late segment, `verified` the
    last verification of the whole log, `unverified_since` its time, or that of the first segment if there was none.
    `foreign` is the number of rows that the hub did not write, at the end of the log; `foreign_at` the last time at
    which the sealer had to leave the number of a segment to one.
    """

    segments: int
    sealed_at: datetime | None
    unsealed_since: datetime | None
    late_at: datetime | None
    late: int
    channels: tuple[CheckpointChannel, ...]
    verified: Verification | None
    unverified_since: datetime | None = None
    foreign: int = 0
    foreign_at: datetime | None = None


def sealing_status() -> SealingStatus:
    """Read the present status."""
    last, given = last_segment(), last_given_id()
    unsealed = (
        Entry.objects.filter(id__gt=last.highest_id, id__lte=given).order_by("id").values_list("id", "at")
    )
    late = _first_or_none(
        Segment.objects.filter(is_late=True).order_by("-number").values_list("sealed_at", "count")
    )
    verified = Verification.objects.order_by("-id").first()
    foreign, foreign_at = find_foreign_rows(last, given)
    if foreign:
        foreign = _count_foreign(last, given)
    return SealingStatus(
        segments=last.number,
        sealed_at=last.sealed_at,
        unsealed_since=_oldest_time(unsealed, last),
        late_at=late[0] if late else None,
        late=late[1] if late else 0,
        channels=tuple(CheckpointChannel.objects.order_by("name")),
        verified=verified,
        unverified_since=verified.at if verified else _first_sealed_at(),
        foreign=foreign,
        foreign_at=foreign_at,
    )


def _count_foreign(last: SegmentHead, given: int) -> int:
    """Count the rows above an earlier end of the log that are above its present end too: the others are the hub's own,
    which was writing meanwhile.
    """
    numbers = list(
        Segment.objects.filter(number__gt=last.number - last.foreign).values_list("number")[:_MAX_COUNTED]
    )
    ids = list(Entry.objects.filter(id__gt=given).values_list("id")[:_MAX_COUNTED])
    # Read after the rows: whatever the hub wrote of them is below.
    last, given = last_segment(), last_given_id()
    highest = last.number - last.foreign
    # SQLite keeps any value as the number of a segment; the hub writes numbers only.
    segments = sum(not isinstance(number, int) or number > highest for (number,) in numbers)
    return segments + sum(key > given for (key,) in ids)


def _first_sealed_at() -> datetime | None:
    return _first_or_none(Segment.objects.order_by("number").values_list("sealed_at", flat=True))


def _oldest_time(
    unsealed: QuerySet[Entry, tuple[int, datetime | None]], last: SegmentHead
) -> datetime | None:
    """Return the time of the first of these entries, or the earliest that it may be if its column is damaged."""
    earliest = last.sealed_at or _EPOCH
    try:
        found = unsealed.first()
    except UNREADABLE:
        return earliest
    return None if found is None else found[1] or earliest


def _first_or_none(rows: QuerySet[Any, Row]) -> Row | None:
    """Return the first row; None if there is none or it cannot be read."""
    try:
        return rows.first()
    except UNREADABLE:
        return None
