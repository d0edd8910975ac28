"""The whole log in the database, looked at row by row: memory grows with gaps in the ids, not with entries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import groupby, islice

from django.db import connection

from audit.checks.entries import check_entry, check_streams
from audit.checks.findings import EntryRow, Fault, Faults, StreamRow
from audit.checks.keys import Keys, check_begun, check_keys
from audit.checks.retention import Declared, check_declared, check_stubs
from audit.checks.segments import Checkpoints, Walk, check_segments
from audit.format.signed_records import Record
from audit.models import Checkpoint, Entry, Segment, Stub
from audit.retention.prune_entries import declared
from audit.sealing.record_rows import checkpoint_record, key_records
from audit.sealing.segment_index import segment_leaves
from audit.sealing.signing_keys import STREAM as KEYS
from audit.sealing.unsealed_entries import SETTLED, last_segment
from audit.verification.database_rows import entry_row, key_rows, segment_row
from database.snapshot import snapshot

MOST_FAULTS = 100
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Report:
    """What a look found. `unsealed`: entries that are not sealed yet, the oldest of them from `unsealed_since`.
    `let_go`: what the log says of entries that are kept no longer."""

    segments: int
    entries: int
    highest_id: int
    sealed_at: str
    unsealed: int
    unsealed_since: datetime | None
    let_go: Declared | None
    faults: tuple[Fault, ...]


@dataclass(slots=True)
class Waiting:
    """Entries that no segment holds, as a look finds them."""

    count: int = 0
    oldest: datetime | None = None

    def add(self, at: datetime) -> None:
        self.count += 1
        self.oldest = at if self.oldest is None else min(self.oldest, at)


class Gone:
    """What the segments up to a number say of entries that are kept no longer."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        self.said = declared(newest)

    def has(self, number: int) -> bool:
        """Whether the entries of a segment are; one is missing, and it may have been said since this look began."""
        if self.said is None or number > self.said.segment:
            self.said = declared(last_segment().number)
        return self.said is not None and number <= self.said.segment


def check_database(outside: Record | None = None) -> Report:
    """Look at everything; at most `MOST_FAULTS` faults are told. `outside`: a checkpoint that was kept elsewhere."""
    with snapshot():
        told = Checkpoint.objects.order_by("-count").values_list("count", flat=True).first() or 0
        walk, waiting, gone = Walk(Keys()), Waiting(), Gone(last_segment().number)
        checkpoints = _checkpoints(told, outside)
        faults = tuple(islice(_faults(walk, checkpoints, waiting, gone), MOST_FAULTS))
    return Report(
        segments=walk.number,
        entries=walk.entries,
        highest_id=walk.highest_id,
        sealed_at=walk.sealed_at,
        unsealed=waiting.count,
        unsealed_since=waiting.oldest,
        let_go=gone.said,
        faults=faults,
    )


def _faults(walk: Walk, checkpoints: Checkpoints, waiting: Waiting, gone: Gone) -> Faults:
    """Up to the segment that is the newest now, whatever is written meanwhile: its checkpoints are those that were
    there before it was read, and the keys that signed it were there when they are read after it."""
    yield from check_keys(key_rows(), walk.keys)
    segments = Segment.objects.filter(number__lte=gone.newest).order_by("number").iterator(50)
    yield from check_segments((segment_row(row) for row in segments), _entries, checkpoints, walk, gone.has)
    yield from _check_gone(gone)
    since = gone.said.sealed_at if gone.said else ""
    begun = [each for each in key_records() if each["from"] > since]
    yield from check_begun(begun, Entry.objects.filter(stream=KEYS).values_list("body", flat=True))
    yield from _check_unsealed(walk, waiting)
    yield from check_streams(_streams())


def _check_gone(gone: Gone) -> Faults:
    """What was let go: as the log says, and with the hash that each stream goes on from in its segment."""
    if gone.said is not None:
        for row in map(segment_row, Segment.objects.filter(number=gone.said.segment)):
            yield from check_declared(gone.said, row.hash.hex(), row.record["sealed_at"])
    ends = Stub.objects.order_by("segment").values_list("segment", "stream", "leaf").iterator(2_000)
    for number, rows in groupby(ends, key=lambda row: row[0]):
        leaves = segment_leaves(number)[1] if gone.has(number) else []
        stubs = [(stream, bytes(leaf)) for _, stream, leaf in rows]
        yield from check_stubs(stubs, set(leaves), f"segment {number}")


def _checkpoints(newest: int, outside: Record | None) -> Iterator[tuple[str, Record]]:
    """Up to the one of that count, in the order of counts."""
    rows = Checkpoint.objects.filter(count__lte=newest).order_by("count").iterator(500)
    known = ((f"checkpoint {row.count}", checkpoint_record(row)) for row in rows)
    given = [] if outside is None else [("the outside checkpoint", outside)]
    return merge(known, given, key=lambda each: each[1]["count"])


def _entries(ids: Sequence[int]) -> Mapping[int, EntryRow]:
    found = {}
    for start in range(0, len(ids), CHUNK):
        for row in Entry.objects.filter(id__in=ids[start : start + CHUNK]):
            found[row.pk] = entry_row(row)
    return found


def _check_unsealed(walk: Walk, waiting: Waiting) -> Faults:
    """What no segment holds: it may wait for the sealer, unless it is older than what the sealer waits for."""
    low = _settled_id(walk)
    ids = Entry.objects.order_by("id").values_list("id", flat=True).iterator(10_000)
    unsealed = (each for each in ids if each not in walk.sealed)
    while some := list(islice(unsealed, CHUNK)):
        for row in Entry.objects.filter(id__in=some).order_by("id"):
            waiting.add(row.at)
            yield from check_entry(entry_row(row))
            if row.pk <= low:
                yield Fault(entry_row(row).place, "stands in no segment")


def _settled_id(walk: Walk) -> int:
    """The highest id that was sealed long before the newest segment of this walk."""
    if not walk.sealed_at:
        return 0
    settled = datetime.fromisoformat(walk.sealed_at) - SETTLED - timedelta(seconds=60)
    rows = Segment.objects.filter(sealed_at__lte=settled, number__lte=walk.number).order_by("-number")
    return rows.values_list("highest_id", flat=True).first() or 0


def _streams() -> Iterator[StreamRow]:
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
