"""Find the fields that a target does not store: it accepts a value, and returns another one at the next read. Pure.

A write of a field is counted if it repeats the previous write: the same value is sent, and the same value was found.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sync.planning.change import Change, ChangeAction, FieldChange, drop_uncompared_changes

NOTICED_WRITES = 3
"""A field counts as not kept after this many equal writes: the first one may follow a change of the entity."""

_MAX_COUNTED = 10_000

DigestDifference = Callable[[str, Any, Any], str]
"""Returns a digest of a field's name and both values: no personal data can be read from it."""


@dataclass(frozen=True, slots=True)
class WriteCount:
    """The number of equal writes of a field, one after the other, and the digest of their difference."""

    digest: str
    number: int


WriteCounts = Mapping[str, WriteCount]
"""The counts of a record, by field."""


def leave_out_unkept(change: Change, counts: WriteCounts, digest: DigestDifference, limit: int) -> Change:
    """Return the change without the differences that were sent `limit` times already. `limit` 0 leaves out none.

    A field is sent again as soon as the wanted value or the value found is another one.
    """
    if change.action is not ChangeAction.UPDATE or not limit:
        return change
    left_out = tuple(
        field
        for field in change.fields
        if field.is_compared
        and field.name in counts
        and counts[field.name].number >= limit
        and counts[field.name].digest == digest(field.name, field.before, field.after)
    )
    if not left_out:
        return change
    sent = tuple(field for field in change.fields if field not in left_out)
    return drop_uncompared_changes(replace(change, fields=sent, left_out_fields=left_out))


def is_last_write(counts: WriteCounts, digest: DigestDifference, name: str, value: Any) -> bool:
    """Return True if the last write of a field that the target does not return sent this value."""
    last = counts.get(name)
    return last is not None and last.digest == digest(name, None, value)


def count_writes(
    change: Change,
    counts: WriteCounts,
    digest: DigestDifference,
    *,
    is_partial: bool,
    unread: frozenset[str] = frozenset(),
) -> dict[str, WriteCount]:
    """Return the counts after the change was applied.

    A field that has its value is not counted any more. `is_partial`: fields that the change does not name keep their
    count, because their value was not compared. Fields in `unread` are not returned by the target: their last write is
    remembered, also that of a creation.
    """
    remembered = {
        field.name: WriteCount(digest(field.name, None, field.after), 1)
        for field in change.fields
        if field.name in unread
    }
    # After a creation there is nothing else that the target could have kept.
    if change.action is ChangeAction.CREATE:
        return remembered
    if change.action is ChangeAction.DELETE or change.record_id is None:
        return {}
    # What is not compared may never be readable: it says nothing about what the target keeps.
    written = [field for field in change.fields if field.is_compared]
    compared = {field.name for field in written} | {name for name, _ in change.unchanged_fields}
    left_out = {field.name for field in change.left_out_fields}
    kept = {
        name: count
        for name, count in counts.items()
        if name in left_out or name in unread or (is_partial and name not in compared)
    }
    return kept | {field.name: _count_write(field, counts, digest) for field in written} | remembered


def list_unkept(counts: WriteCounts) -> tuple[str, ...]:
    """Return the names of the fields that the target does not keep, sorted."""
    return tuple(sorted(name for name, count in counts.items() if count.number >= NOTICED_WRITES))


def _count_write(field: FieldChange, counts: WriteCounts, digest: DigestDifference) -> WriteCount:
    difference, known = digest(field.name, field.before, field.after), counts.get(field.name)
    if known is None or known.digest != difference:
        return WriteCount(difference, 1)
    return WriteCount(difference, min(known.number + 1, _MAX_COUNTED))
