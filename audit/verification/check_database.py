"""The whole log in the database, looked at row by row: memory grows with gaps in the ids, not with entries."""

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
from audit.verification.database_rows import entry_row, key_rows, segment_row
from database.snapshot import read_snapshot

MAX_FAULTS = 100
CHUNK = 500


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What a look found. `unsealed`: entries that are not sealed yet, the oldest of them from `unsealed_since`.
    `let_go`: what the log says of entries that are kept no longer."""

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
    """Entries that no segment holds, as a look finds them."""

    count: int = 0
    oldest: datetime | None = None

    def add_entry(self, at: datetime) -> None:
        self.count += 1
        self.oldest = at if self.oldest is None else min(self.oldest, at)


class PrunedSegments:
    """What the segments up to a number say of entries that are kept no longer."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        self.announcement = newest_announcement(newest)

    def contains_segment(self, number: int) -> bool:
        """Whether the entries of a segment are; one is missing, and it may have been said since this look began."""
        if self.announcement is None or number > self.announcement.segment:
            self.announcement = newest_announcement(last_segment().number)
        return self.announcement is not None and number <= self.announcement.segment


def verify_database(outside: Record | None = None) -> VerificationReport:
    """Look at everything; at most `MAX_FAULTS` faults are told. `outside`: a checkpoint that was kept elsewhere."""
    with read_snapshot():
        told = Checkpoint.objects.order_by("-count").values_list("count", flat=True).first() or 0
        walk, waiting, gone = (
            CheckProgress(KeyChain()),
            UnsealedEntries(),
            PrunedSegments(last_segment().number),
        )
        checkpoints = _merge_checkpoints(told, outside)
        faults = tuple(islice(_find_faults(walk, checkpoints, waiting, gone), MAX_FAULTS))
    return VerificationReport(
        segments=walk.number,
        entries=walk.entries,
        highest_id=walk.highest_id,
        sealed_at=walk.sealed_at,
        unsealed=waiting.count,
        unsealed_since=waiting.oldest,
        pruned=gone.announcement,
        faults=faults,
    )


def _find_faults(
    walk: CheckProgress, checkpoints: Checkpoints, waiting: UnsealedEntries, gone: PrunedSegments
) -> Faults:
    """Up to the segment that is the newest now, whatever is written meanwhile: its checkpoints are those that were
    there before it was read, and the keys that signed it were there when they are read after it."""
    yield from check_keys(key_rows(), walk.keys)
    segments = Segment.objects.filter(number__lte=gone.newest).order_by("number").iterator(50)
    yield from check_segments(
        (segment_row(row) for row in segments), _load_entries, checkpoints, walk, gone.contains_segment
    )
    yield from _check_pruned(gone)
    since = gone.announcement.sealed_at if gone.announcement else ""
    begun = [each for each in key_records() if each["from"] > since]
    yield from check_key_entries(begun, Entry.objects.filter(stream=KEYS).values_list("body", flat=True))
    yield from _check_unsealed(walk, waiting)
    yield from check_streams(_stream_rows())


def _check_pruned(gone: PrunedSegments) -> Faults:
    """What was let go: as the log says, and with the hash that each stream goes on from in its segment."""
    if gone.announcement is not None:
        for row in map(segment_row, Segment.objects.filter(number=gone.announcement.segment)):
            yield from check_announcement(gone.announcement, row.hash.hex(), row.record["sealed_at"])
    ends = Stub.objects.order_by("segment").values_list("segment", "stream", "leaf").iterator(2_000)
    for number, rows in groupby(ends, key=lambda row: row[0]):
        leaves = load_segment_leaves(number)[1] if gone.contains_segment(number) else []
        stubs = [(stream, bytes(leaf)) for _, stream, leaf in rows]
        yield from check_stubs(stubs, set(leaves), f"segment {number}")


def _merge_checkpoints(newest: int, outside: Record | None) -> Iterator[tuple[str, Record]]:
    """Up to the one of that count, in the order of counts."""
    rows = Checkpoint.objects.filter(count__lte=newest).order_by("count").iterator(500)
    known = ((f"checkpoint {row.count}", checkpoint_record(row)) for row in rows)
    given = [] if outside is None else [("the outside checkpoint", outside)]
    return merge(known, given, key=lambda each: each[1]["count"])


def _load_entries(ids: Sequence[int]) -> Mapping[int, EntryRow]:
    found = {}
    for start in range(0, len(ids), CHUNK):
        for row in Entry.objects.filter(id__in=ids[start : start + CHUNK]):
            found[row.pk] = entry_row(row)
    return found


def _check_unsealed(walk: CheckProgress, waiting: UnsealedEntries) -> Faults:
    """What no segment holds: it may wait for the sealer, unless it is older than what the sealer waits for."""
    low = _settled_id(walk)
    ids = Entry.objects.order_by("id").values_list("id", flat=True).iterator(10_000)
    unsealed = (each for each in ids if each not in walk.sealed)
    while some := list(islice(unsealed, CHUNK)):
        for row in Entry.objects.filter(id__in=some).order_by("id"):
            waiting.add_entry(row.at)
            yield from check_entry(entry_row(row))
            if row.pk <= low:
                yield IntegrityFault(entry_row(row).location, "stands in no segment")


def _settled_id(walk: CheckProgress) -> int:
    """The highest id that was sealed long before the newest segment of this walk."""
    if not walk.sealed_at:
        return 0
    settled = datetime.fromisoformat(walk.sealed_at) - SETTLE_TIME - timedelta(seconds=60)
    rows = Segment.objects.filter(sealed_at__lte=settled, number__lte=walk.number).order_by("-number")
    return rows.values_list("highest_id", flat=True).first() or 0


def _stream_rows() -> Iterator[StreamRow]:
    """Every entry by stream and place, with what its stream goes on from, from one statement."""
    sql = """SELECT entry.stream, entry.stream_seq, entry.prev_leaf, entry.leaf, stub.seq, stub.leaf
        FROM audit_entry entry LEFT JOIN audit_stub stub ON stub.stream = entry.stream
        ORDER BY entry.stream, entry.stream_seq"""
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql)
        while rows := cursor.fetchmany(2_000):
            for stream, seq, prev_leaf, leaf, stub, gone in rows:
                goes_on = (stub, bytes(gone or b""))
                yield StreamRow(stream, seq, bytes(prev_leaf), bytes(leaf), *goes_on)
