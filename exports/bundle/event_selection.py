"""Select the events of an export: those that match its filter and whose first audit entry its checkpoint covers.

Sealed segments never change, so neither does this set: anyone with the checkpoint can count it.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from audit.format.id_ranges import IdSet, unpack_ids
from audit.format.signed_records import Record
from audit.models import Entry, Segment
from audit.sealing.checkpoints import make_checkpoint
from audit.sealing.record_rows import checkpoint_record
from audit.sealing.signed_segments import first_signed
from audit.sealing.unsealed_entries import SETTLE_TIME, segments_sealed_until
from config_schema.codes.reference import from_reference
from database.clock import read_clock
from sync.housekeeping.audit_upkeep import CIPHER, seal_audit
from sync.search.event_filter import EventFilter
from webhooks.models import Event

# All of them become parameters of one statement, and SQLite allows 32,766 by default.
MAX_UNSEALED = 30_000
# The largest difference that is assumed between the clocks of the hub's machines.
_CLOCKS_APART = timedelta(minutes=10)
_STREAM = "event:"


class NotSealed(Exception):
    """Raised if the audit log is not sealed up to now. The text is for people."""


def make_fresh_checkpoint() -> Record:
    """Seal everything that can be sealed now and make a checkpoint of it. Raises NotSealed if nothing is sealed."""
    seal_audit()
    checkpoint = make_checkpoint(CIPHER, read_clock())
    if checkpoint is None:
        raise NotSealed("No audit entries are sealed yet.")
    return checkpoint_record(checkpoint)


def find_first_segment(event_filter: EventFilter, count: int) -> int | None:
    """Return the segment from which on the export has every audit entry; None if it is exported by streams.

    From there to its checkpoint a whole export has all entries, and so the first entry of every event within its
    times. A filter that asks for more than times gives None.
    """
    if not event_filter.filters_only_by_time:
        return None
    if event_filter.received_from is None:
        return 1
    # Times of arrival are of the clock of a web process, times of segments of the database's clock.
    later = Segment.objects.filter(
        number__lte=count, sealed_at__gte=event_filter.received_from - _CLOCKS_APART
    )
    return later.order_by("sealed_at", "number").values_list("number", flat=True).first() or count


def select_events(event_filter: EventFilter, count: int) -> QuerySet[Any]:
    """Return the events that match the filter and are sealed in the first `count` segments, ordered by key."""
    return event_filter.apply_to(Event.objects.exclude(uuid__in=list(_unsealed_events(count)))).order_by("id")


def _unsealed_events(count: int) -> Iterator[UUID]:
    """Yield the UUIDs of events whose first entry is in none of these segments: those received in the last second."""
    low, number = _sealed_bounds(count)
    sealed = IdSet()
    newer = Segment.objects.filter(number__gt=number, number__lte=count).order_by("number")
    for packed in newer.values_list("ids", flat=True).iterator(200):
        sealed.add_ids(unpack_ids(bytes(packed)))
    # An event's first entry is written in the commit that stores it.
    first_entries = Entry.objects.filter(id__gt=low, stream_seq=1, stream__startswith=_STREAM).order_by("id")
    unsealed = 0
    for key, stream in first_entries.values_list("id", "stream").iterator(10_000):
        if key in sealed:
            continue
        unsealed += 1
        if unsealed > MAX_UNSEALED:
            raise NotSealed("Too many audit entries are not sealed yet. Check that a worker is running.")
        try:
            yield from_reference(stream.removeprefix(_STREAM))
        # A stream whose name is not a reference belongs to no event.
        except ValueError:
            continue


def _sealed_bounds(count: int) -> tuple[int, int]:
    """Return an entry id up to which everything is sealed, and the number of the segment that says so."""
    sealed_at = Segment.objects.values_list("sealed_at", flat=True).get(number=count)
    before = first_signed(segments_sealed_until(sealed_at - SETTLE_TIME, count))
    return (0, 0) if before is None else (before.highest_id, before.number)
