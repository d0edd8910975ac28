"""Retention of audit entries: the oldest segments lose their entries, never their hashes and signatures.

First an entry announces the last segment to be pruned. Only entries that a sealed announcement covers are deleted, in
small transactions, the oldest first. A verification reports each entry that is missing without announcement.

Each of these transactions appends an entry with the sum over all stubs. Without it, a stub whose stream has no later
entry could be deleted unnoticed.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Max, Sum

from audit.checks.retention import (
    DELETION_ACTION,
    DELETION_STREAM,
    PRUNING_ACTION,
    PRUNING_STREAM,
    PruningAnnouncement,
    parse_announcement,
    parse_stub_sum,
)
from audit.entries.append import NewEntry, append_entries
from audit.format.hashes import stored_hash
from audit.format.id_ranges import unpack_ids
from audit.format.signed_records import format_time
from audit.format.stub_sum import StubSum
from audit.models import Cut, Entry, Segment, Stub
from audit.sealing.segment_index import SegmentIndex
from audit.sealing.signed_segments import first_signed, last_segment
from audit.sealing.unsealed_entries import segments_sealed_until

logger = logging.getLogger("hub.audit")

DELETE_BATCH = 500


def announce_pruning(days: int, at: datetime) -> bool:
    """Announce on the log that entries sealed more than `days` days ago will be deleted.

    Returns False if there are none that are not announced yet. Raises ValueError for less than one day: nothing would
    be left.
    """
    if days <= 0:
        raise ValueError(f"{days} days is too short a retention")
    up_to = at - timedelta(days=days)
    # The announcement and the row that permits deletion are committed together.
    with transaction.atomic():
        before = Cut.objects.aggregate(segment=Max("segment"), emptied=Max("emptied"))
        # A microsecond less, because a segment of exactly this age is not older than the rule says.
        rows = segments_sealed_until(up_to - timedelta(microseconds=1), last_segment().number)
        head = first_signed(rows)
        old = None if head is None else Segment.objects.get(number=head.number)
        if old is None or old.number <= (before["segment"] or 0):
            return False
        unannounced = Segment.objects.filter(number__gt=before["segment"] or 0, number__lte=old.number)
        entries = unannounced.aggregate(found=Sum("count"))["found"]
        # Empty segments have nothing to delete: no announcement.
        if not entries:
            return False
        details = {
            "segment": old.number,
            "hash": bytes(old.hash).hex(),
            "sealed_at": format_time(old.sealed_at),
            "up_to": format_time(up_to),
            "days": days,
            "entries": entries,
        }
        append_entries(NewEntry(PRUNING_STREAM, PRUNING_ACTION, details=details), at=at)
        entry_id = (
            Entry.objects.filter(stream=PRUNING_STREAM)
            .order_by("-stream_seq")
            .values_list("pk", flat=True)[0]
        )
        Cut.objects.create(
            segment=old.number, highest_id=old.highest_id, entry_id=entry_id, emptied=before["emptied"] or 0
        )
    return True


def prune_announced_entries(max_entries: int = DELETE_BATCH) -> tuple[int, bool]:
    """Delete up to `max_entries` of the entries that a sealed announcement covers, the oldest first, in one
    transaction.

    Returns the number of deleted entries, and whether none is left.
    """
    with transaction.atomic():
        cut = _newest_sealed_cut()
        if cut is None or cut.emptied == cut.segment:
            return 0, True
        number, segments = _next_segments(cut, max_entries)
        rows = Entry.objects.filter(id__in=list(segments)).order_by("id")
        # One more than may be deleted: it shows whether these segments still have entries afterwards.
        entries = list(rows.values_list("id", "stream", "stream_seq", "leaf")[: max_entries + 1])
        _delete_entries(entries[:max_entries], segments)
        if len(entries) <= max_entries:
            cut.emptied = number
            cut.save(update_fields=["emptied"])
    return len(entries[:max_entries]), cut.emptied == cut.segment


def _newest_sealed_cut() -> Cut | None:
    """Return the newest cut whose announcement is sealed, locked: two prunings would compute the sum of stubs from the
    same stubs. None if there is none.
    """
    # Locked in one order, and before anything else is read.
    list(Cut.objects.select_for_update().order_by("segment").values_list("pk"))
    places = SegmentIndex(last_segment().number)
    emptied = Cut.objects.aggregate(found=Max("emptied"))["found"]
    # The newest announcement may not be sealed yet; then an older one still counts.
    for cut in Cut.objects.order_by("-segment"):
        if places.segment_of(cut.entry_id) is not None:
            cut.emptied = emptied
            return cut
    return None


def _next_segments(cut: Cut, max_entries: int) -> tuple[int, dict[int, int]]:
    """Find the next whole segments with at most `max_entries` entries together, or one segment with more.

    Returns the number of the last one, and the segment number of each id.
    """
    reached, segment_of_entry = cut.emptied, dict[int, int]()
    rows = Segment.objects.filter(number__gt=cut.emptied, number__lte=cut.segment).order_by("number")
    for number, packed in rows.values_list("number", "ids")[:max_entries]:
        ids = unpack_ids(bytes(packed))
        if segment_of_entry and len(segment_of_entry) + len(ids) > max_entries:
            break
        reached = number
        segment_of_entry |= dict.fromkeys(ids, number)
    return reached, segment_of_entry


def _delete_entries(rows: list[tuple[Any, ...]], segments: dict[int, int]) -> None:
    """Delete entries and keep the last of each stream as a stub, so that its successor's hash can still be checked."""
    ends = {
        stream: Stub(stream=stream, seq=seq, leaf=leaf, segment=segments[pk])
        for pk, stream, seq, leaf in rows
    }
    if not rows:
        return
    counted = _count_stubs(ends)
    names = ["seq", "leaf", "segment"]
    Stub.objects.bulk_create(
        # Sorted, so that two prunings lock the rows in the same order.
        [ends[stream] for stream in sorted(ends)],
        update_conflicts=True,
        unique_fields=["stream"],
        update_fields=names,
    )
    Entry.objects.filter(id__in=[pk for pk, *_ in rows]).delete()
    details = {"entries": len(rows), **counted.to_details()}
    append_entries(NewEntry(DELETION_STREAM, DELETION_ACTION, details=details))


def _count_stubs(ends: dict[str, Stub]) -> StubSum:
    """Return the sum over all stubs after these have replaced the earlier stubs of their streams.

    It continues the sum in the newest entry, never one over the stored stubs: otherwise a stub that was changed would
    be counted as if it were right.
    """
    newest = Entry.objects.filter(stream=DELETION_STREAM, stream_seq__gte=0, stream_seq__lte=F("id"))
    recorded = parse_stub_sum(newest.order_by("-stream_seq").values_list("details", flat=True).first())
    if recorded is None:
        # The changed entry is a fault for ever; pruning goes on.
        logger.error("the newest entry of stream %s was changed", DELETION_STREAM)
        recorded = StubSum()
    before = Stub.objects.filter(stream__in=list(ends)).values_list("stream", "seq", "leaf", "segment")
    replaced = [(stream, seq, stored_hash(leaf), segment) for stream, seq, leaf, segment in before]
    added = [(stub.stream, stub.seq, bytes(stub.leaf), stub.segment) for stub in ends.values()]
    return recorded.with_stubs(added, replaced)


def newest_announcement(last_segment_number: int) -> PruningAnnouncement | None:
    """Return the newest announcement in the segments up to this number, or None if there is none."""
    places = SegmentIndex(last_segment_number)
    announcements = Entry.objects.filter(stream=PRUNING_STREAM).order_by("-stream_seq")
    for entry in announcements.iterator():
        # An announcement in no segment is not sealed and permits nothing yet.
        if (number := places.segment_of(entry.pk)) is not None:
            return parse_announcement(entry.body, number)
    return None
