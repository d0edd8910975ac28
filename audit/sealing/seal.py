"""The sealer: every second or two it puts unsealed entries into a segment; after a minute of silence an empty one."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection

from audit.entries.append import NewEntry, append_entries
from audit.format.segment_record import (
    MAX_SEGMENT_ENTRIES,
    EntryLeaves,
    SegmentHead,
    segment_columns,
    unsigned_segment,
)
from audit.models import Checkpoint, Segment
from audit.sealing.seal_lock import sealing_lock
from audit.sealing.signed_segments import FOREIGN_ACTION, last_segment
from audit.sealing.signing_keys import SecretCipher, create_next_key, is_due_for_rotation, load_current_key
from audit.sealing.stored_tree import segment_nodes
from audit.sealing.unsealed_entries import (
    find_low_water,
    find_unsealed_below,
    load_unsealed,
    still_unsealed,
)
from database.statement import Statement

_FOREIGN_STREAM = "setting:audit-log"

logger = logging.getLogger("hub.audit")

MAX_SILENCE = timedelta(seconds=60)
_ENTRY_ABOVE = Statement("SELECT 1 FROM audit_entry WHERE id > %s LIMIT 1")


def seal_entries(cipher: SecretCipher, at: datetime, key_days: float = 0) -> int:
    """Seal all unsealed entries, 5,000 a segment. Returns the number of new segments.

    Begins a new key first if the last one is `key_days` old. `at` is the database's clock. Safe to call at any time and
    from any number of processes.
    """
    segments = 0
    while _is_due(at):
        entries = _seal_next_segment(cipher, at, key_days)
        if entries is None:
            break
        segments += 1
        # A segment that is not full took everything there was.
        if entries < MAX_SEGMENT_ENTRIES:
            break
    return segments


def seal_missed_entries(cipher: SecretCipher, at: datetime) -> int:
    """Find entries that the sealer missed by comparing everything, and seal them in segments marked late.

    Returns their number, which should be 0: each late segment raises an alarm. Only the sealing itself takes the lock.
    """
    # Read before the comparison, which holds no lock: whatever is sealed meanwhile is excluded under the lock.
    newest = last_segment()
    late = find_unsealed_below(find_low_water(newest)[0])
    return sum(
        _seal_missed(cipher, at, late[start : start + MAX_SEGMENT_ENTRIES], newest.number)
        for start in range(0, len(late), MAX_SEGMENT_ENTRIES)
    )


def rotate_signing_key(cipher: SecretCipher, at: datetime) -> None:
    with sealing_lock(waits=True):
        create_next_key(cipher, _time_after_last_signature(last_segment(), at))


def _seal_missed(cipher: SecretCipher, at: datetime, ids: Sequence[int], newest: int) -> int:
    """Seal the entries that are in no segment, neither up to `newest` nor since."""
    with sealing_lock(waits=True):
        rows = still_unsealed(newest, ids)
        if rows:
            logger.error("%s audit entries were not sealed in time; segment marked late", len(rows))
            _store_segment(cipher, last_segment(), rows, at, is_late=True)
    return len(rows)


def _is_due(at: datetime) -> bool:
    """True if there may be something to seal. Asked before taking the lock, which on SQLite blocks every writer."""
    if connection.vendor != "sqlite":
        return True
    last = last_segment()
    return _has_been_silent(last, at) or _ENTRY_ABOVE.fetch_one(last.highest_id) is not None


def _has_been_silent(last: SegmentHead, at: datetime) -> bool:
    return last.sealed_at is None or at - last.sealed_at >= MAX_SILENCE


def _seal_next_segment(cipher: SecretCipher, at: datetime, key_days: float) -> int | None:
    """Seal one segment and return its number of entries. None if another process seals or nothing is unsealed."""
    # Does not wait: whoever holds the lock seals these entries.
    with sealing_lock() as is_ours:
        if not is_ours:
            return None
        last = last_segment()
        if last.foreign:
            _record_foreign_segments(last, at)
        entries = load_unsealed(last)
        # Empty segments after a minute prove that nothing was removed from a quiet time.
        if not entries and not _has_been_silent(last, at):
            return None
        if is_due_for_rotation(at, key_days):
            create_next_key(cipher, _time_after_last_signature(last, at))
        _store_segment(cipher, last, entries, at)
    return len(entries)


def _record_foreign_segments(last: SegmentHead, at: datetime) -> None:
    """Record on the log that its next segment continues rows that the hub did not write. An alarm reads it."""
    logger.error(
        "%s rows that the hub did not sign took the numbers up to segment %s", last.foreign, last.number
    )
    details = {"segment": last.number, "rows": last.foreign}
    append_entries(NewEntry(_FOREIGN_STREAM, FOREIGN_ACTION, details=details), at=at)


def _time_after_last_signature(last: SegmentHead, at: datetime) -> datetime:
    """Return `at`, or a time later than everything that the present key has signed."""
    checkpoints = Checkpoint.objects.filter(count__lte=last.number).order_by("-count")
    checked_at = checkpoints.values_list("at", flat=True).first()
    signed = [time + timedelta(microseconds=1) for time in (last.sealed_at, checked_at) if time is not None]
    return max([at, *signed])


def _store_segment(
    cipher: SecretCipher, last: SegmentHead, entries: EntryLeaves, at: datetime, *, is_late: bool = False
) -> None:
    signing = load_current_key(cipher, at)
    # The clock may have been set back since the key began: a segment must not be older than its key.
    moment = max(at, signing.valid_from)
    unsigned = unsigned_segment(last, entries, moment, signing.key, is_late=is_late)
    record = signing.sign_record("segment", unsigned)
    fields = segment_columns(last, entries, record)
    Segment.objects.create(**fields, nodes=segment_nodes(fields["number"], fields["hash"]))
