"""The whole log in the database, looked at row by row: memory grows with gaps in the ids, not with entries."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from audit.keys import STREAM as KEYS
from audit.looking import SETTLED, last_segment
from audit.models import Checkpoint, Entry, Head, Segment
from audit.records import Record
from audit.rows import checkpoint_record, entry_row, key_records, key_rows, segment_row
from audit.verifying.entries import check_entry, check_streams
from audit.verifying.faults import EntryRow, Fault, Faults, StreamRow
from audit.verifying.keys import Keys, check_begun, check_keys
from audit.verifying.segments import Walk, check_segments

MOST_FAULTS = 100
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Report:
    """What a look found. `unsealed`: entries that are not sealed yet, the oldest of them from `unsealed_since`."""

    segments: int
    entries: int
    highest_id: int
    sealed_at: str
    unsealed: int
    unsealed_since: datetime | None
    faults: tuple[Fault, ...]


@dataclass(slots=True)
class Waiting:
    """Entries that no segment holds, as a look finds them."""

    count: int = 0
    oldest: datetime | None = None

    def add(self, at: datetime) -> None:
        self.count += 1
        self.oldest = at if self.oldest is None else min(self.oldest, at)


def check_database(outside: Record | None = None) -> Report:
    """Look at everything; at most `MOST_FAULTS` faults are told. `outside`: a checkpoint that was kept elsewhere."""
    with _snapshot():
        walk, waiting = Walk(Keys()), Waiting()
        faults = tuple(islice(_faults(walk, outside, waiting), MOST_FAULTS))
    return Report(
        segments=walk.number,
        entries=walk.entries,
        highest_id=walk.highest_id,
        sealed_at=walk.sealed_at,
        unsealed=waiting.count,
        unsealed_since=waiting.oldest,
        faults=faults,
    )


def _faults(walk: Walk, outside: Record | None, waiting: Waiting) -> Faults:
    """Up to the segment that is the newest now, whatever is written meanwhile: its checkpoints are those that were
    there before it was read, and the keys that signed it were there when they are read after it."""
    told = Checkpoint.objects.order_by("-count").values_list("count", flat=True).first() or 0
    newest = last_segment().number
    yield from check_keys(key_rows(), walk.keys)
    yield from check_begun(key_records(), Entry.objects.filter(stream=KEYS).values_list("body", flat=True))
    segments = Segment.objects.filter(number__lte=newest).order_by("number").iterator(50)
    checkpoints = _checkpoints(told, outside)
    yield from check_segments((segment_row(row) for row in segments), _entries, checkpoints, walk)
    yield from _check_unsealed(walk, waiting)
    yield from check_streams(_streams())
    for stream in _headless():
        yield Fault(f"stream {stream}", "has a head and no entries")


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
            if row.leaf is None:
                continue
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
    """Every chained entry by stream and place, with the head of its stream, from one statement."""
    sql = """SELECT entry.stream, entry.stream_seq, entry.prev_leaf, entry.leaf, head.seq
        FROM audit_entry entry LEFT JOIN audit_head head ON head.stream = entry.stream
        WHERE entry.leaf IS NOT NULL ORDER BY entry.stream, entry.stream_seq"""
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql)
        while rows := cursor.fetchmany(2_000):
            for stream, seq, prev_leaf, leaf, head_seq in rows:
                yield StreamRow(stream, seq or 0, bytes(prev_leaf or b""), bytes(leaf), head_seq)


def _headless() -> Iterator[str]:
    its_own = Entry.objects.filter(stream=OuterRef("stream"))
    yield from Head.objects.filter(~Exists(its_own)).values_list("stream", flat=True)[:MOST_FAULTS]


@contextmanager
def _snapshot() -> Iterator[None]:
    """One state of the database for all statements. On SQLite a transaction would hold up every writer: there each
    statement has a state of its own, and what was appended in between counts as not sealed yet."""
    if connection.vendor == "sqlite" or connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
