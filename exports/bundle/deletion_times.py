"""Read up to when retention has deleted rows, for `export.json`: also after the checkpoint of the export.

The entry of such a deletion may be missing in the export, so the hub states the time in its signed files. It states
only what a sealed entry says: the next export has that entry.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

from audit.entries.readable_rows import iterate_entries, parse_details
from audit.format.hashes import leaf_hash
from audit.models import Entry
from audit.sealing.segment_index import SegmentIndex, load_segment_leaves
from audit.sealing.signed_segments import last_segment
from exports.bundle.event_selection import NotSealed
from exports.bundle.shipped import check_rows
from sync.housekeeping.audit_upkeep import seal_audit
from sync.models import RetentionCategory

KINDS = (RetentionCategory.EVENTS, RetentionCategory.CALLS)
_PAUSE_SECONDS = 0.1
_MAX_TRIES = 100


class _DeletionEntry(NamedTuple):
    """The stored entry of a deletion. `up_to`: what is older may have been deleted."""

    up_to: str
    key: int
    body: str


def load_deletion_times() -> dict[str, str]:
    """Return by kind the time before which rows were deleted for their age, as the audit log says now; empty if none
    were.

    An entry that differs from the sealed one counts as none. Raises NotSealed if the newest entries do not get sealed.
    """
    return {str(kind): _sealed_time(entries) for kind, entries in _read_entries().items()}


def _read_entries() -> dict[RetentionCategory, list[_DeletionEntry]]:
    """Return the entries of the deletions of each kind, those with the latest time first."""
    entries: dict[RetentionCategory, list[_DeletionEntry]] = {kind: [] for kind in KINDS}
    for entry in iterate_entries(Entry.objects.filter(action__in=check_rows.DELETED), 1_000):
        details = parse_details(entry.details)
        kind, up_to = details.get("kind"), details.get("up_to")
        # What a damaged entry says is not sealed.
        if not entry.damaged and kind in list(entries) and up_to is not None:
            entries[RetentionCategory(kind)].append(_DeletionEntry(str(up_to), entry.pk, entry.body))
    return {kind: sorted(some, reverse=True) for kind, some in entries.items()}


def _sealed_time(entries: Sequence[_DeletionEntry]) -> str:
    for entry in entries:
        if leaf_hash(entry.body) in load_segment_leaves(_wait_for_segment(entry.key))[1]:
            return entry.up_to
    return ""


def _wait_for_segment(key: int) -> int:
    """Return the number of the segment that contains an entry, after sealing it if none does. Raises NotSealed."""
    for _ in range(_MAX_TRIES):
        number = SegmentIndex(last_segment().number).segment_of(key)
        if number is not None:
            return number
        # Seals nothing while another process is sealing: that one may have begun before the entry was committed.
        seal_audit()
        time.sleep(_PAUSE_SECONDS)
    raise NotSealed("New audit entries are not being sealed. Check that a worker is running.")
