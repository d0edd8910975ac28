"""The sealer: every second or two, what is not sealed becomes a segment; silence becomes an empty one each minute."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection

from audit.format.segment_record import MOST, Last, Sealed, segment_fields, segment_statement
from audit.models import Checkpoint, Segment
from audit.sealing.seal_lock import turn
from audit.sealing.signing_keys import Box, begin_key, current_signing, is_worn
from audit.sealing.stored_tree import nodes_of
from audit.sealing.unsealed_entries import last_segment, low_water, missed, not_sealed_since, unsealed
from database.statement import Statement

logger = logging.getLogger("hub.audit")

SILENCE = timedelta(seconds=60)
_ANY = Statement("SELECT 1 FROM audit_entry WHERE id > %s LIMIT 1")


def seal(box: Box, at: datetime, key_days: float = 0) -> int:
    """Seal all that is not, 5,000 entries a segment, and begin a key where the last one is `key_days` old; how many
    segments. `at` is the database's clock. Harmless at any time and from any number of processes.
    """
    segments = 0
    while _is_due(at):
        entries = _seal_next(box, at, key_days)
        if entries is None:
            break
        segments += 1
        if entries < MOST:
            break
    return segments


def seal_stragglers(box: Box, at: datetime) -> int:
    """Find what the sealer missed, by the difference of everything: sealed in segments marked late; how many entries.

    It should find nothing. Each late segment raises an alarm. Looking holds nobody up; only sealing takes a turn.
    """
    newest = last_segment().number
    late = missed(low_water()[0])
    return sum(_seal_late(box, at, late[start : start + MOST], newest) for start in range(0, len(late), MOST))


def rotate_key(box: Box, at: datetime) -> None:
    """Begin a new key now."""
    with turn(waits=True):
        begin_key(box, _not_before(last_segment(), at))


def _seal_late(box: Box, at: datetime, ids: Sequence[int], newest: int) -> int:
    """Seal those that stood in no segment up to the `newest` when they were looked for, and stand in none since."""
    with turn(waits=True):
        rows = not_sealed_since(newest, ids)
        if rows:
            logger.error("%s audit entries were not sealed in time; segment marked late", len(rows))
            _seal(box, last_segment(), rows, at, is_late=True)
    return len(rows)


def _is_due(at: datetime) -> bool:
    """Whether there may be something to seal. On SQLite a turn holds up every writer, and ids have no gaps."""
    if connection.vendor != "sqlite":
        return True
    last = last_segment()
    return _is_silence(last, at) or _ANY.row(last.highest_id) is not None


def _is_silence(last: Last, at: datetime) -> bool:
    return last.sealed_at is None or at - last.sealed_at >= SILENCE


def _seal_next(box: Box, at: datetime, key_days: float) -> int | None:
    """One segment, of how many entries; None where it is not our turn or there is nothing to seal."""
    with turn() as is_ours:
        if not is_ours:
            return None
        last = last_segment()
        entries = unsealed(last)
        if not entries and not _is_silence(last, at):
            return None
        if is_worn(at, key_days):
            begin_key(box, _not_before(last, at))
        _seal(box, last, entries, at)
    return len(entries)


def _not_before(last: Last, at: datetime) -> datetime:
    """A time later than what the key so far has signed."""
    checked_at = Checkpoint.objects.order_by("-count").values_list("at", flat=True).first()
    signed = [each + timedelta(microseconds=1) for each in (last.sealed_at, checked_at) if each is not None]
    return max([at, *signed])


def _seal(box: Box, last: Last, entries: Sealed, at: datetime, *, is_late: bool = False) -> None:
    signing = current_signing(box, at)
    moment = max(at, signing.begun_at)
    unsigned = segment_statement(last, entries, moment, signing.key, is_late=is_late)
    record = signing.record("segment", unsigned)
    fields = segment_fields(last, entries, record)
    Segment.objects.create(**fields, nodes=nodes_of(fields["number"], fields["hash"]))
