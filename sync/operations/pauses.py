"""Pause and resume sources and routes: new events are stored and answered 202, and wait until a person resumes them.

A delivery on hold has no due time, so no worker claims it. A pause takes effect in every process within two seconds; an
attempt that runs then ends normally, and a replay that a person requests is still sent. A delivery whose source and
route are both paused waits for both.
"""

from typing import Any

from django.conf import settings
from django.utils import timezone

from database.clock import database_now
from database.statement import Statement
from sync.deliveries.predicates import is_due, waits_for_resume
from sync.models import Route
from webhooks.models import Source

# Released in a round of two seconds: 1,200 a minute.
RELEASED_AT_ONCE = 40
_BATCH = 500
# Minimum seconds until every process has read that the source or route was resumed.
_RELEASE_SECONDS = 30.0
# Deliveries are put on hold before they are due, because this runs only every two seconds.
_HOLD_AHEAD_SECONDS = 10.0
# Ten years: later than any due time.
_ANY_TIME_SECONDS = 10 * 365 * 86_400.0

_JOINED = """sync_delivery d JOIN sync_route r ON r.id = d.route_id
    JOIN webhooks_event e ON e.id = d.event_id JOIN webhooks_source s ON s.id = e.source_id"""
_IS_PAUSED, _IS_RELEASING = (
    f"EXISTS (SELECT 1 FROM webhooks_source WHERE {column} IS NOT NULL)"  # noqa: S608
    f" OR EXISTS (SELECT 1 FROM sync_route WHERE {column} IS NOT NULL)"
    for column in ("paused_at", "resumed_at")
)
_READ_PAUSES = Statement(f"SELECT {_IS_PAUSED}, {_IS_RELEASING}")
# Both state their conditions twice: a statement that waited for the lock of a row checks only the outer conditions
# again.
_HOLD = Statement(
    f"""UPDATE sync_delivery SET due_at = NULL WHERE id IN (SELECT d.id FROM {_JOINED}
    WHERE {is_due("d", at="{clock}")} AND d.replay_id IS NULL
    AND (s.paused_at IS NOT NULL OR r.paused_at IS NOT NULL) ORDER BY d.due_at, d.id LIMIT %s)
    AND {is_due(at="{clock}")} AND replay_id IS NULL"""  # noqa: S608
)
_RELEASE = Statement(
    f"""UPDATE sync_delivery SET due_at = {{now}}, opened_at = {{now}} WHERE id IN (SELECT d.id FROM {_JOINED}
    WHERE {waits_for_resume("d")} AND s.paused_at IS NULL AND r.paused_at IS NULL
    AND (s.resumed_at IS NOT NULL OR r.resumed_at IS NOT NULL)
    ORDER BY d.id LIMIT %s) AND {waits_for_resume()}"""  # noqa: S608
)
# A process may store a delivery as on hold after the release has ended: its source is resumed once more.
_RELEASE_STRANDED = Statement(
    f"""UPDATE webhooks_source SET resumed_at = {{now}} WHERE resumed_at IS NULL AND id IN (SELECT s.id FROM {_JOINED}
    WHERE {waits_for_resume("d")} AND s.paused_at IS NULL AND r.paused_at IS NULL)"""  # noqa: S608
)
_COUNT_ON_HOLD = {
    model: Statement(
        f"""SELECT COUNT(*) FROM (SELECT d.id FROM sync_delivery d JOIN webhooks_event e ON e.id = d.event_id
        WHERE {waits_for_resume("d")} AND {column} = %s LIMIT %s) w"""  # noqa: S608
    )
    for model, column in ((Source, "e.source_id"), (Route, "d.route_id"))
}


def pause_flow(flow: Source | Route, reason: str, by: Any) -> bool:
    """Pause a source or route: hold new and waiting deliveries. Returns False if it was paused already."""
    values = {"paused_at": timezone.now(), "paused_by": by, "pause_reason": reason, "resumed_at": None}
    return bool(type(flow).objects.filter(pk=flow.pk, paused_at=None).update(**values))


def resume_flow(flow: Source | Route) -> bool:
    """Resume a source or route. Returns False if it was not paused. Workers release its deliveries in batches."""
    values = {"paused_at": None, "paused_by": None, "pause_reason": "", "resumed_at": database_now()}
    return bool(type(flow).objects.filter(pk=flow.pk, paused_at__isnull=False).update(**values))


def hold_waiting() -> int:
    """Hold deliveries that wait now and are paused, whenever they are due. Returns how many."""
    return _hold_due(_ANY_TIME_SECONDS)


def enforce_pauses() -> None:
    """Hold paused deliveries that become due, and release a batch of those whose source and route are resumed."""
    is_paused, is_releasing = _READ_PAUSES.fetch_all()[0]
    if is_paused:
        _hold_due(_HOLD_AHEAD_SECONDS)
    if is_releasing:
        # The cached settings of every process must have expired.
        released_before = database_now(
            plus_seconds=-max(_RELEASE_SECONDS, 2 * settings.CONFIGURATION_SECONDS)
        )
        if not _RELEASE.execute(RELEASED_AT_ONCE):
            for model in (Source, Route):
                model.objects.filter(resumed_at__lt=released_before).update(resumed_at=None)


def release_stranded() -> int:
    """Release deliveries that are still on hold although neither their source nor their route is paused.

    Returns the number of sources affected.
    """
    return _RELEASE_STRANDED.execute()


def count_on_hold(flow: Source | Route, limit: int) -> int:
    """Return how many deliveries wait for a source or route to be resumed, counted up to `limit`."""
    row = _COUNT_ON_HOLD[type(flow)].fetch_one(flow.pk, limit)
    return int(row[0]) if row else 0


def _hold_due(seconds: float) -> int:
    total = 0
    while held := _HOLD.execute(seconds, _BATCH, seconds):
        total += held
        if held < _BATCH:
            break
    return total
