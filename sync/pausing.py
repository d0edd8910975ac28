"""Paused sources: what they send is stored and answered 202, and its deliveries wait until somebody resumes.

What waits has no time at which it is due, so nobody takes it. A pause counts in every process within two seconds; an
attempt that runs then ends as it would, and a replay that a person asks for goes out all the same.
"""

from datetime import timedelta

from django.utils import timezone

from audit.statements import Statement
from webhooks.models import Source

AT_ONCE = 40  # released in a round of two seconds: 1,200 a minute
_BATCH = 500
_SETTLING = timedelta(seconds=30)  # until every process knows that a source goes on
_AHEAD = 10.0
_EVER = 10 * 365 * 86_400.0

_HOLD = Statement(
    """UPDATE sync_delivery SET due_at = NULL WHERE id IN (SELECT d.id FROM sync_delivery d
    JOIN webhooks_event e ON e.id = d.event_id JOIN webhooks_source s ON s.id = e.source_id
    WHERE d.state IN ('pending', 'retrying') AND d.due_at <= {clock} AND d.replay_id IS NULL
    AND s.paused_at IS NOT NULL ORDER BY d.due_at, d.id LIMIT %s)
    AND state IN ('pending', 'retrying')"""
)
_RELEASE = Statement(
    """UPDATE sync_delivery SET due_at = {now}, opened_at = {now} WHERE id IN (SELECT d.id FROM sync_delivery d
    JOIN webhooks_event e ON e.id = d.event_id JOIN webhooks_source s ON s.id = e.source_id
    WHERE d.state IN ('pending', 'retrying') AND d.due_at IS NULL AND s.resumed_at IS NOT NULL
    ORDER BY d.id LIMIT %s) AND state IN ('pending', 'retrying')"""
)
_HELD = Statement(
    """SELECT COUNT(*) FROM (SELECT d.id FROM sync_delivery d JOIN webhooks_event e ON e.id = d.event_id
    WHERE d.state IN ('pending', 'retrying') AND d.due_at IS NULL AND e.source_id = %s LIMIT %s) w"""
)


def pause(source: Source, reason: str) -> bool:
    """Hold what this source sends from now on, and what of it waits; whether it was not paused before."""
    told = {"paused_at": timezone.now(), "pause_reason": reason, "resumed_at": None}
    return bool(Source.objects.filter(pk=source.pk, paused_at=None).update(**told))


def resume(source: Source) -> bool:
    """Let it go on; whether it was paused. What waits is released bit by bit, by the worker."""
    told = {"paused_at": None, "pause_reason": "", "resumed_at": timezone.now()}
    return bool(Source.objects.filter(pk=source.pk, paused_at__isnull=False).update(**told))


def hold_waiting() -> int:
    """Hold what of paused sources waits at this moment, whenever it is due. How many were held."""
    return _hold(_EVER)


def look_at_pauses() -> None:
    """Hold what of paused sources comes due after all, and release some of what waits for sources that go on."""
    if Source.objects.filter(paused_at__isnull=False).exists():
        _hold(_AHEAD)
    resumed = list(Source.objects.filter(resumed_at__isnull=False).values_list("pk", flat=True))
    if resumed and not _RELEASE.run(AT_ONCE):
        over = Source.objects.filter(pk__in=resumed, resumed_at__lt=timezone.now() - _SETTLING)
        over.update(resumed_at=None)


def held_of(source: Source, most: int) -> int:
    """How many deliveries of a source wait for it to be resumed; counted up to `most`."""
    found = _HELD.row(source.pk, most)
    return int(found[0]) if found else 0


def _hold(seconds: float) -> int:
    total = 0
    while held := _HOLD.run(seconds, _BATCH):
        total += held
        if held < _BATCH:
            break
    return total
