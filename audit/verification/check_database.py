"""Checks the whole log in the database, row by row. Memory grows with gaps in the ids, not with entries."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import groupby, islice
from math import ceil
from typing import Any

from django.db import OperationalError, connection
from django.db.models import QuerySet

from audit.checks.entries import check_entry, check_streams
from audit.checks.findings import EntryRow, Faults, IntegrityFault, StreamRow
from audit.checks.keys import KeyChain, check_key_entries, check_keys
from audit.checks.retention import (
    DELETION_STREAM,
    PRUNING_STREAM,
    PruningAnnouncement,
    check_announcement,
    check_stub_sum,
    check_stubs,
)
from audit.checks.segments import Checkpoints, CheckProgress, check_segments
from audit.format.canonical_json import MAX_NUMBER
from audit.format.hashes import stored_hash
from audit.format.signed_records import Record
from audit.format.stub_sum import StubSum
from audit.models import Checkpoint, Entry, Segment
from audit.models.column_values import UNREADABLE
from audit.retention.prune_entries import newest_announcement
from audit.sealing.segment_index import load_segment_leaves
from audit.sealing.signing_keys import SIGNING_KEY_STREAM as KEYS
from audit.sealing.unsealed_entries import SETTLE_TIME, last_given_id
from audit.verification.database_rows import (
    checkpoint_rows,
    entry_row,
    entry_time,
    key_rows,
    read_entries,
    read_rows,
    segment_row,
    segment_rows,
)
from database.snapshot import read_snapshot

logger = logging.getLogger("hub.audit")

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

    def add_entry(self, at: datetime | None) -> None:
        self.count += 1
        if at is not None:
            self.oldest = at if self.oldest is None else min(self.oldest, at)


class PrunedSegments:
    """The pruned segments, as announced in the segments up to a number."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        self.is_unreadable = False
        self.announcement = self._read_announcement(newest)

    def contains_segment(self, number: int) -> bool:
        """True if the entries of a segment were announced as pruned, even after this verification began."""
        if self.announcement is None or number > self.announcement.segment:
            self.announcement = self._read_announcement(_newest_number())
        return self.announcement is not None and number <= self.announcement.segment

    def _read_announcement(self, newest: int) -> PruningAnnouncement | None:
        try:
            return newest_announcement(newest)
        except UNREADABLE:
            self.is_unreadable = True
            return None


def verify_database(outside: Record | None = None) -> VerificationReport:
    """Check the whole log and report up to `MAX_FAULTS` faults. `outside` is a checkpoint that was stored elsewhere."""
    with read_snapshot():
        # Before the newest segment is read: a checkpoint that is made in between could cover a segment that is not
        # checked.
        published_count = _newest(Checkpoint.objects.values_list("count", flat=True))
        damaged: list[IntegrityFault] = []
        progress, unsealed_entries, pruned = (
            CheckProgress(KeyChain()),
            UnsealedEntries(),
            PrunedSegments(_newest_number()),
        )
        checkpoints = _merge_checkpoints(published_count, outside, damaged)
        found = _find_faults(progress, checkpoints, unsealed_entries, pruned, damaged)
        faults = tuple(islice(_with_damaged(found, damaged), MAX_FAULTS))
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
    damaged: list[IntegrityFault],
) -> Faults:
    """Yield the faults up to the newest segment of this moment, whatever is written meanwhile.

    Its checkpoints existed before the segment was read, and keys are read after it, so the key that signed it is among
    them.
    """
    yield from check_keys(key_rows(damaged), progress.keys)
    segments = segment_rows(pruned.newest, damaged)
    yield from check_segments(segments, _load_entries, checkpoints, progress, pruned.contains_segment)
    yield from _check_pruned(pruned)
    # The entries about older keys may be pruned, so those keys cannot be required to have one.
    since = pruned.announcement.sealed_at if pruned.announcement else ""
    new_keys = [row.record for row in key_rows([]) if row.record["from"] > since]
    yield from check_key_entries(
        new_keys, Entry.objects.filter(stream=KEYS).values_list("details", flat=True)
    )
    yield from _check_unsealed(progress, unsealed_entries)
    yield from check_streams(_stream_rows())


def _check_pruned(pruned: PrunedSegments) -> Faults:
    """Yield the faults of pruning: it was announced, and each stub's hash is in its segment."""
    if pruned.announcement is not None:
        # One that is damaged is a fault already.
        numbers = (pruned.announcement.segment, pruned.announcement.announced_in)
        segments = read_rows(Segment.objects.filter(number__in=numbers), 2, "segment", [])
        by_number = {row.record["number"]: row for row in map(segment_row, segments)}
        if len(by_number) == len(set(numbers)):
            named, holder = (by_number[number] for number in numbers)
            yield from check_announcement(
                pruned.announcement, named.hash.hex(), named.record["sealed_at"], holder.record["sealed_at"]
            )
    if pruned.is_unreadable:
        yield IntegrityFault(
            f"stream {PRUNING_STREAM}", "its newest entry or the segment of that cannot be read"
        )
    yield from _check_stubs(pruned)


def _check_stubs(pruned: PrunedSegments) -> Faults:
    """Yield the faults of stubs: the hash of each is in its segment, and they are those that the log counted."""
    ends, found = _stub_rows(), StubSum()
    details = next(ends)[0]
    for number, rows in groupby(ends, key=lambda row: row[3]):
        stubs = [(stream, seq, stored_hash(leaf), number) for stream, seq, leaf, _ in rows]
        found = found.with_stubs(stubs)
        leaves = set(_pruned_leaves(number, pruned))
        yield from check_stubs([(stream, leaf) for stream, _, leaf, _ in stubs], leaves, f"segment {number}")
    yield from check_stub_sum(found, details)


def _stub_rows() -> Iterator[tuple[Any, ...]]:
    """Yield the details of the newest entry about deletions (None without one), then the columns of all stubs by
    segment. One statement, so that both are of one moment.
    """
    sql = """SELECT (SELECT details FROM audit_entry WHERE stream = %s AND stream_seq BETWEEN 0 AND id
            ORDER BY stream_seq DESC LIMIT 1) AS stream, NULL AS seq, NULL AS leaf, -1 AS segment, 0 AS kind
        UNION ALL SELECT stream, seq, leaf, segment, 1 FROM audit_stub ORDER BY kind, segment"""
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql, [DELETION_STREAM])
        while rows := cursor.fetchmany(2_000):
            yield from (row[:4] for row in rows)


def _pruned_leaves(number: int, pruned: PrunedSegments) -> Sequence[bytes]:
    """Return the hashes in a pruned segment; none if it is not pruned, missing or unreadable."""
    try:
        return load_segment_leaves(number)[1] if pruned.contains_segment(number) else []
    except (*UNREADABLE, Segment.DoesNotExist):
        return []


def _newest_number() -> int:
    """Return the number of the newest segment, or 0. Not by `last_segment`, which needs a row that can be read."""
    return _newest(Segment.objects.values_list("number", flat=True))


def _newest(keys: QuerySet[Any, int]) -> int:
    """Return the largest key, or 0. SQLite can store fractions, which are rounded up, and text, which is left out."""
    return ceil(keys.filter(pk__lte=MAX_NUMBER).order_by("-pk").first() or 0)


def _with_damaged(faults: Faults, damaged: list[IntegrityFault]) -> Faults:
    """Yield the faults, each after those of the rows that could not be read before it was found."""
    try:
        for fault in faults:
            while damaged:
                yield damaged.pop(0)
            yield fault
    # The faults that were found before must not be lost by a value that no check expects.
    except (*UNREADABLE, RecursionError, OperationalError) as error:
        if isinstance(error, OperationalError) and "UTF-8" not in str(error):
            raise
        logger.exception("the verification of the audit log stopped")
        damaged.append(
            IntegrityFault("the audit log", "has an invalid value, after which nothing was checked")
        )
    yield from damaged


def _merge_checkpoints(
    newest: int, outside: Record | None, damaged: list[IntegrityFault]
) -> Iterator[tuple[str, Record]]:
    """Yield the checkpoints up to this count, and the one from outside, in the order of their counts."""
    known = checkpoint_rows(newest, damaged)
    outside_checkpoints = [] if outside is None else [("the outside checkpoint", outside)]
    return merge(known, outside_checkpoints, key=lambda pair: pair[1]["count"])


def _load_entries(ids: Sequence[int]) -> Mapping[int, EntryRow]:
    entries = {}
    # Damaged ids of a segment can be larger than a database takes.
    ids = [entry_id for entry_id in ids if entry_id < MAX_NUMBER]
    for start in range(0, len(ids), CHUNK):
        for row in read_entries(ids[start : start + CHUNK]):
            entries[row.pk] = entry_row(row)
    return entries


def _check_unsealed(progress: CheckProgress, unsealed_entries: UnsealedEntries) -> Faults:
    """Check the entries that no segment holds. One that is older than the sealer's waiting time is a fault."""
    low, given = _settled_id(progress), last_given_id()
    ids = Entry.objects.order_by("id").values_list("id", flat=True).iterator(10_000)
    unsealed = (entry_id for entry_id in ids if entry_id not in progress.sealed)
    while some := list(islice(unsealed, CHUNK)):
        for row in read_entries(some):
            unsealed_entries.add_entry(entry_time(row))
            yield from check_entry(entry_row(row))
            if row.pk <= low:
                yield IntegrityFault(entry_row(row).location, "stands in no segment")
            if row.pk > given:
                yield IntegrityFault(entry_row(row).location, "has an id that the database did not give")


def _settled_id(progress: CheckProgress) -> int:
    """Return the highest id that was sealed long before the newest segment that was checked."""
    if not progress.sealed_at:
        return 0
    settled = datetime.fromisoformat(progress.sealed_at) - SETTLE_TIME - timedelta(seconds=60)
    rows = Segment.objects.filter(sealed_at__lte=settled, number__lte=progress.number).order_by("-number")
    # Text, which SQLite can store there, is a fault of the segment.
    return rows.filter(highest_id__lte=MAX_NUMBER).values_list("highest_id", flat=True).first() or 0


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
