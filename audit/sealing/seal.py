"""The sealer: every second or two, what is not sealed becomes a segment; silence becomes an empty one each minute."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection

from audit.format.segment_record import (
    MAX_SEGMENT_ENTRIES,
    EntryLeaves,
    SegmentHead,
    segment_columns,
    unsigned_segment,
)
from audit.models import Checkpoint, Segment
from audit.sealing.seal_lock import sealing_lock
from audit.sealing.signing_keys import SecretBox, create_next_key, is_due_for_rotation, load_current_key
from audit.sealing.stored_tree import segment_nodes
from audit.sealing.unsealed_entries import (
    find_low_water,
    find_unsealed_below,
    last_segment,
    load_unsealed,
    still_unsealed,
)
from database.statement import Statement

logger = logging.getLogger("hub.audit")

MAX_SILENCE = timedelta(seconds=60)
_ENTRY_ABOVE = Statement("SELECT 1 FROM audit_entry WHERE id > %s LIMIT 1")


def seal_entries(box: SecretBox, at: datetime, key_days: float = 0) -> int:
    """Seal all that is not, 5,000 entries a segment, and begin a key where the last one is `key_days` old; how many
    segments. `at` is the database's clock. Harmless at any time and from any number of processes.
    """
    segments = 0
    while _is_due(at):
        entries = _seal_next_segment(box, at, key_days)
        if entries is None:
            break
        segments += 1
        if entries < MAX_SEGMENT_ENTRIES:
            break
    return segments


def seal_missed_entries(box: SecretBox, at: datetime) -> int:
    """Find what the sealer missed, by the difference of everything: sealed in segments marked late; how many entries.

    It should find nothing. Each late segment raises an alarm. Looking holds nobody up; only sealing takes a turn.
    """
    newest = last_segment().number
    late = find_unsealed_below(find_low_water()[0])
    return sum(
        _seal_missed(box, at, late[start : start + MAX_SEGMENT_ENTRIES], newest)
        for start in range(0, len(late), MAX_SEGMENT_ENTRIES)
    )


def rotate_signing_key(box: SecretBox, at: datetime) -> None:
    """Begin a new key now."""
    with sealing_lock(waits=True):
        create_next_key(box, _time_after_last_signature(last_segment(), at))


def _seal_missed(box: SecretBox, at: datetime, ids: Sequence[int], newest: int) -> int:
    """Seal those that stood in no segment up to the `newest` when they were looked for, and stand in none since."""
    with sealing_lock(waits=True):
        rows = still_unsealed(newest, ids)
        if rows:
            logger.error("%s audit entries were not sealed in time; segment marked late", len(rows))
            _store_segment(box, last_segment(), rows, at, is_late=True)
    return len(rows)


def _is_due(at: datetime) -> bool:
    """Whether there may be something to seal. On SQLite a turn holds up every writer, and ids have no gaps."""
    if connection.vendor != "sqlite":
        return True
    last = last_segment()
    return _has_been_silent(last, at) or _ENTRY_ABOVE.fetch_one(last.highest_id) is not None


def _has_been_silent(last: SegmentHead, at: datetime) -> bool:
    return last.sealed_at is None or at - last.sealed_at >= MAX_SILENCE


def _seal_next_segment(box: SecretBox, at: datetime, key_days: float) -> int | None:
    """One segment, of how many entries; None where it is not our turn or there is nothing to seal."""
    with sealing_lock() as is_ours:
        if not is_ours:
            return None
        last = last_segment()
        entries = load_unsealed(last)
        if not entries and not _has_been_silent(last, at):
            return None
        if is_due_for_rotation(at, key_days):
            create_next_key(box, _time_after_last_signature(last, at))
        _store_segment(box, last, entries, at)
    return len(entries)


def _time_after_last_signature(last: SegmentHead, at: datetime) -> datetime:
    """A time later than what the key so far has signed."""
    checked_at = Checkpoint.objects.order_by("-count").values_list("at", flat=True).first()
    signed = [each + timedelta(microseconds=1) for each in (last.sealed_at, checked_at) if each is not None]
    return max([at, *signed])


def _store_segment(
    box: SecretBox, last: SegmentHead, entries: EntryLeaves, at: datetime, *, is_late: bool = False
) -> None:
    signing = load_current_key(box, at)
    moment = max(at, signing.valid_from)
    unsigned = unsigned_segment(last, entries, moment, signing.key, is_late=is_late)
    record = signing.sign_record("segment", unsigned)
    fields = segment_columns(last, entries, record)
    Segment.objects.create(**fields, nodes=segment_nodes(fields["number"], fields["hash"]))
