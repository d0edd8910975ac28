"""Checks the whole log in the database, row by row. Memory grows with gaps in the ids, not with entries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import groupby, islice

from django.db import connection

from audit.checks.entries import check_entry, check_streams
from audit.checks.findings import EntryRow, Faults, IntegrityFault, StreamRow
from audit.checks.keys import KeyChain, check_key_entries, check_keys
from audit.checks.retention import PruningAnnouncement, check_announcement, check_stubs
from audit.checks.segments import Checkpoints, CheckProgress, check_segments
from audit.format.signed_records import Record
from audit.models import Checkpoint, Entry, Segment, Stub
from audit.retention.prune_entries import newest_announcement
from audit.sealing.record_rows import checkpoint_record, key_records
from audit.sealing.segment_index import load_segment_leaves
from audit.sealing.signing_keys import SIGNING_KEY_STREAM as KEYS
from audit.sealing.unsealed_entries import SETTLE_TIME, last_segment
from audit.verification.database_rows import entry_row, key_rows, segment_row, stored_hash
from database.snapshot import read_snapshot

MAX_FAULTS = 100
CHUNK = 500


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """The result of a verification.

    `unsealed` is the number of unsealed entries, the oldest from `unsealed_since`; `pruned` the announcement of pruned
    entries, if there is one.
    """

    segments: int
    entries: int
    highest_id: int
    sealed_at: str
    unsealed: int
    unsealed_since: datetime | None
    pruned: PruningAnnouncement | None
    faults: tuple[IntegrityFault, ...]


@dataclass(slots=True)
class UnsealedEntries:
    """Count and oldest time of the entries that no segment holds."""

    count: int = 0
    oldest: datetime | None = None

    def add_entry(self, at: datetime) -> None:
        self.count += 1
        self.oldest = at if self.oldest is None else min(self.oldest, at)


class PrunedSegments:
    """The pruned segments, as announced in the segments up to a number."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        self.announcement = newest_announcement(newest)

    def contains_segment(self, number: int) -> bool:
        """True if the entries of a segment were announced as pruned, even after this verification began."""
        if self.announcement is None or number > self.announcement.segment:
            self.announcement = newest_announcement(last_segment().number)
        return self.announcement is not None and number <= self.announcement.segment


def verify_database(outside: Record | None = None) -> VerificationReport:
    """Check the whole log and report up to `MAX_FAULTS` faults. `outside` is a checkpoint that was stored elsewhere."""
    with read_snapshot():
        # Before the newest segment is read: a checkpoint that is made in between could cover a segment that is not
        # checked.
        published_count = Checkpoint.objects.order_by("-count").values_list("count", flat=True).first() or 0
        progress, unsealed_entries, pruned = (
            CheckProgress(KeyChain()),
            UnsealedEntries(),
            PrunedSegments(last_segment().number),
        )
        checkpoints = _merge_checkpoints(published_count, outside)
        faults = tuple(islice(_find_faults(progress, checkpoints, unsealed_entries, pruned), MAX_FAULTS))
    return VerificationReport(
        segments=progress.number,
        entries=progress.entries,
        highest_id=progress.highest_id,
        sealed_at=progress.sealed_at,
        unsealed=unsealed_entries.count,
        unsealed_since=unsealed_entries.oldest,
        pruned=pruned.announcement,
        faults=faults,
    )


def _find_faults(
    progress: CheckProgress,
    checkpoints: Checkpoints,
    unsealed_entries: UnsealedEntries,
    pruned: PrunedSegments,
) -> Faults:
    """Yield the faults up to the newest segment of this moment, whatever is written meanwhile.

    Its checkpoints existed before the segment was read, and keys are read after it, so the key that signed it is among
    them.
    """
    yield from check_keys(key_rows(), progress.keys)
    segments = Segment.objects.filter(number__lte=pruned.newest).order_by("number").iterator(50)
    yield from check_segments(
        (segment_row(row) for row in segments), _load_entries, checkpoints, progress, pruned.contains_segment
    )
    yield from _check_pruned(pruned)
    # The entries about older keys may be pruned, so those keys cannot be required to have one.
    since = pruned.announcement.sealed_at if pruned.announcement else ""
    new_keys = [record for record in key_records() if record["from"] > since]
    yield from check_key_entries(
        new_keys, Entry.objects.filter(stream=KEYS).values_list("details", flat=True)
    )
    yield from _check_unsealed(progress, unsealed_entries)
    yield from check_streams(_stream_rows())


def _check_pruned(pruned: PrunedSegments) -> Faults:
    """Yield the faults of pruning: it was announced, and each stub's hash is in its segment."""
    if pruned.announcement is not None:
        for row in map(segment_row, Segment.objects.filter(number=pruned.announcement.segment)):
            yield from check_announcement(pruned.announcement, row.hash.hex(), row.record["sealed_at"])
    ends = Stub.objects.order_by("segment").values_list("segment", "stream", "leaf").iterator(2_000)
    for number, rows in groupby(ends, key=lambda row: row[0]):
        leaves = load_segment_leaves(number)[1] if pruned.contains_segment(number) else []
        stubs = [(stream, bytes(leaf)) for _, stream, leaf in rows]
        yield from check_stubs(stubs, set(leaves), f"segment {number}")


def _merge_checkpoints(newest: int, outside: Record | None) -> Iterator[tuple[str, Record]]:
    """Yield the checkpoints up to this count, and the one from outside, in the order of their counts."""
    rows = Checkpoint.objects.filter(count__lte=newest).order_by("count").iterator(500)
    known = ((f"checkpoint {row.count}", checkpoint_record(row)) for row in rows)
    outside_checkpoints = [] if outside is None else [("the outside checkpoint", outside)]
    return merge(known, outside_checkpoints, key=lambda pair: pair[1]["count"])


def _load_entries(ids: Sequence[int]) -> Mapping[int, EntryRow]:
    entries = {}
    for start in range(0, len(ids), CHUNK):
        for row in Entry.objects.filter(id__in=ids[start : start + CHUNK]):
            entries[row.pk] = entry_row(row)
    return entries


def _check_unsealed(progress: CheckProgress, unsealed_entries: UnsealedEntries) -> Faults:
    """Check the entries that no segment holds. One that is older than the sealer's waiting time is a fault."""
    low = _settled_id(progress)
    ids = Entry.objects.order_by("id").values_list("id", flat=True).iterator(10_000)
    unsealed = (entry_id for entry_id in ids if entry_id not in progress.sealed)
    while some := list(islice(unsealed, CHUNK)):
        for row in Entry.objects.filter(id__in=some).order_by("id"):
            unsealed_entries.add_entry(row.at)
            yield from check_entry(entry_row(row))
            if row.pk <= low:
                yield IntegrityFault(entry_row(row).location, "stands in no segment")


def _settled_id(progress: CheckProgress) -> int:
    """Return the highest id that was sealed long before the newest segment that was checked."""
    if not progress.sealed_at:
        return 0
    settled = datetime.fromisoformat(progress.sealed_at) - SETTLE_TIME - timedelta(seconds=60)
    rows = Segment.objects.filter(sealed_at__lte=settled, number__lte=progress.number).order_by("-number")
    return rows.values_list("highest_id", flat=True).first() or 0


def _stream_rows() -> Iterator[StreamRow]:
    """Yield every entry by stream and place, with the stub of its stream, from one statement."""
    sql = """SELECT entry.stream, entry.stream_seq, entry.prev_leaf, entry.leaf, stub.seq, stub.leaf
        FROM audit_entry entry LEFT JOIN audit_stub stub ON stub.stream = entry.stream
        ORDER BY entry.stream, entry.stream_seq"""
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql)
        while rows := cursor.fetchmany(2_000):
            for stream, seq, prev_leaf, leaf, stub_seq, stub_leaf in rows:
                stub = (stub_seq, stored_hash(stub_leaf))
                yield StreamRow(stream, seq, stored_hash(prev_leaf), stored_hash(leaf), *stub)
