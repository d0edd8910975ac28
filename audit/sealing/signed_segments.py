"""Tells the segments that the hub has signed from rows that someone else has inserted.

Such a row cannot be deleted by the hub, and its number can be any. What it says counts for nothing: not its entries,
not `highest_id`, not its time. One with an absurd number is passed over. One that has taken the next number stays in
the chain as it is, so that the log can be verified before it and after it: the next segment continues its record.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from audit.format.hashes import segment_hash
from audit.format.segment_record import SegmentHead
from audit.format.signed_records import has_valid_signature, signed_text
from audit.models import Segment
from audit.models.column_values import UNREADABLE
from audit.models.entry import ROUTINE_ACTIONS
from audit.sealing.record_rows import segment_record
from audit.sealing.trusted_keys import public_half
from database.row_ids import MAX_ID
from database.statement import Statement
from database.values import parse_optional_timestamp

# Rows of one statement, and how far above the last known segment others are looked for at once.
_PAGE = 100
_MAX_CACHED = 4_096
COLUMNS = ("number", "hash", "sealed_at", "highest_id", "signature")
_NEWEST = Statement(f"SELECT {', '.join(COLUMNS)} FROM audit_segment ORDER BY number DESC LIMIT 1")  # noqa: S608

FOREIGN_ACTION = "audit.foreign-segments"
# SQLite can store a text as number, and sorts it after all numbers. The list of actions is that of an index.
_FOREIGN_ROWS = Statement(
    f"""SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM audit_segment WHERE number > %s LIMIT {_PAGE}) a)
        + (SELECT COUNT(*) FROM (SELECT 1 FROM audit_entry WHERE id > %s LIMIT {_PAGE}) b),
    (SELECT at FROM audit_entry WHERE action = '{FOREIGN_ACTION}' AND NOT (action IN {ROUTINE_ACTIONS})
        ORDER BY at DESC, id DESC LIMIT 1)"""  # noqa: S608
)

# By the columns: what a signature says does not change, so each row is verified once in a process.
_heads: dict[tuple[Any, ...], SegmentHead | None] = {}
_UNKNOWN = SegmentHead(-1)
# Where the search for the newest segment begins if the newest row is none: the last one that was found.
_last_found = [0]


def last_segment() -> SegmentHead:
    """Return the newest signed segment, or an empty head before the first.

    If rows that are not signed have taken the numbers after it: with the number and the hash of the last of those.
    """
    row = _read_newest()
    if row is None:
        return SegmentHead()
    head = signed_head(row)
    if head is None:
        return _pass_over(_find_newest())
    _last_found[0] = head.number
    return head


def find_foreign_rows(last: SegmentHead, last_given_id: int) -> tuple[int, datetime | None]:
    """Return how many rows at the end of the log are not the hub's, and when the sealer last recorded some.

    They are segments above the newest signed one, and entries above the last id that the database gave; at most 100 of
    each are counted.
    """
    row = _FOREIGN_ROWS.fetch_one(last.number - last.foreign, last_given_id)
    assert row is not None
    with suppress(*UNREADABLE):
        return row[0], parse_optional_timestamp(row[1])
    return row[0], None


def first_signed(rows: QuerySet[Segment]) -> SegmentHead | None:
    """Return the first signed segment of these rows, in their order, or None."""
    return next((head for row in _read_rows(rows) if (head := signed_head(row)) is not None), None)


def is_signed(number: int) -> bool:
    """True if the hub has signed the segment with this number."""
    return first_signed(Segment.objects.filter(number=number)) is not None


def signed_head(row: tuple[Any, ...]) -> SegmentHead | None:
    """Return the head of a segment from its `COLUMNS`; None if the hub has not signed it, or it cannot be read."""
    key = tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
    head = _heads.get(key, _UNKNOWN)
    if head is _UNKNOWN:
        head = _verify(row)
        if len(_heads) >= _MAX_CACHED:
            _heads.clear()
        _heads[key] = head
    return head


def record_hash(number: int) -> bytes | None:
    """Return the hash of a segment's record, signed or not. None if it cannot be read."""
    try:
        return segment_hash(signed_text("segment", segment_record(_load(number))))
    except (*UNREADABLE, Segment.DoesNotExist):
        return None


def _verify(row: tuple[Any, ...]) -> SegmentHead | None:
    number, hash_, _, highest, _ = row
    if not isinstance(number, int) or not isinstance(highest, int) or number > MAX_ID:
        return None
    try:
        segment = _load(number)
        record = segment_record(segment)
        public = public_half(segment.key_id)
        found = segment_hash(signed_text("segment", record))
        is_ours = public is not None and has_valid_signature("segment", record, public)
        if not is_ours or found != bytes(hash_):
            return None
        return SegmentHead(number, found, parse_optional_timestamp(segment.sealed_at), highest)
    except (*UNREADABLE, Segment.DoesNotExist):
        return None


def _load(number: int) -> Segment:
    return Segment.objects.defer("leaves", "nodes").get(number=number)


def _read_newest() -> tuple[Any, ...] | None:
    try:
        return _NEWEST.fetch_one()
    except UNREADABLE:
        return ("",) * len(COLUMNS)


def _find_newest() -> SegmentHead:
    """Return the signed segment with the highest number, or an empty head. Begins near the last one that was found."""
    newest = _newest_between(_last_found[0], _last_found[0] + _PAGE)
    while newest is not None and (above := _newest_between(newest.number + 1, newest.number + _PAGE)):
        newest = above
    # None near it: of another database, or the row was changed since.
    newest = newest or _newest_between(1, MAX_ID - 1) or SegmentHead()
    _last_found[0] = newest.number
    return newest


def _newest_between(lowest: int, highest: int) -> SegmentHead | None:
    return first_signed(Segment.objects.filter(number__range=(lowest, highest)).order_by("-number"))


def _pass_over(head: SegmentHead) -> SegmentHead:
    """Return the head with the number and hash of the last of the rows that follow it without a gap."""
    number = head.number
    rows = Segment.objects.filter(number__gt=head.number, number__lt=MAX_ID).order_by("number")
    for following in rows.values_list("number", flat=True).iterator(_PAGE):
        if following != number + 1:
            break
        number = following
    if number == head.number:
        return head
    foreign = number - head.number
    return replace(head, number=number, hash=record_hash(number) or head.hash, foreign=foreign)


def _read_rows(rows: QuerySet[Segment]) -> Iterator[tuple[Any, ...]]:
    """Yield the `COLUMNS` of rows, a page at a time. One that the driver cannot read is left out."""
    start = 0
    while numbers := list(rows.values_list("number", flat=True)[start : start + _PAGE]):
        try:
            yield from list(rows.values_list(*COLUMNS)[start : start + _PAGE])
        except UNREADABLE:
            yield from (row for number in numbers for row in _read_row(number))
        start += _PAGE


def _read_row(number: int) -> list[tuple[Any, ...]]:
    try:
        return list(Segment.objects.filter(number=number).values_list(*COLUMNS))
    except UNREADABLE:
        return []
