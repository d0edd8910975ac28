"""Pause and resume sources, routes and connections: new events are stored and answered 202, and wait until they are
resumed.

A delivery on hold has no due time, so no worker claims it. A pause takes effect in every process within two seconds; an
attempt that runs then ends normally. A replay that a person requests is still sent, unless a connection is paused. A
delivery of which several parts are paused waits for all of them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from database.clock import database_now
from database.statement import Statement
from sync.deliveries.predicates import is_due, waits_for_resume
from sync.models import Connection, Route
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

Flow = Source | Route | Connection
MODELS: tuple[type[Flow], ...] = (Source, Route, Connection)
# The actions of the entries: `connection.paused` is that of the circuit breaker.
ACTIONS: Mapping[type[Flow], tuple[str, str]] = {
    Source: ("source.paused", "source.resumed"),
    Route: ("route.paused", "route.resumed"),
    Connection: ("connection.deliveries-paused", "connection.deliveries-resumed"),
}

_JOINED = """sync_delivery d JOIN sync_route r ON r.id = d.route_id
    JOIN webhooks_event e ON e.id = d.event_id JOIN webhooks_source s ON s.id = e.source_id
    JOIN sync_connection i ON i.id = d.identity_id JOIN sync_connection c ON c.id = d.target_id"""
_NONE_PAUSED = "(s.paused_at IS NULL AND r.paused_at IS NULL AND i.paused_at IS NULL AND c.paused_at IS NULL)"
_IS_PAUSED, _IS_RELEASING, _ENDS = (
    " OR ".join(
        f"EXISTS (SELECT 1 FROM {model._meta.db_table} WHERE {column} IS NOT NULL)"  # noqa: S608
        for model in MODELS
    )
    for column in ("paused_at", "resumed_at", "pause_until")
)
_READ_PAUSES = Statement(f"SELECT {_IS_PAUSED}, {_IS_RELEASING}, {_ENDS}")


def _may_hold(prefix: str = "") -> str:
    """Match deliveries that no person replays, and all of a paused connection."""
    return f"""({prefix}person_request_id IS NULL OR EXISTS (SELECT 1 FROM sync_connection p
    WHERE p.paused_at IS NOT NULL AND p.id IN ({prefix}identity_id, {prefix}target_id)))"""  # noqa: S608


# Both state their conditions twice: a statement that waited for the lock of a row checks only the outer conditions
# again.
_HOLD = Statement(
    f"""UPDATE sync_delivery SET due_at = NULL WHERE id IN (SELECT d.id FROM {_JOINED}
    WHERE {is_due("d", at="{clock}")} AND NOT {_NONE_PAUSED} AND {_may_hold("d.")} ORDER BY d.due_at, d.id LIMIT %s)
    AND {is_due(at="{clock}")} AND {_may_hold()}"""  # noqa: S608
)
_RELEASE = Statement(
    f"""UPDATE sync_delivery SET due_at = {{now}}, opened_at = {{now}} WHERE id IN (SELECT d.id FROM {_JOINED}
    WHERE {waits_for_resume("d")} AND {_NONE_PAUSED} AND (s.resumed_at IS NOT NULL OR r.resumed_at IS NOT NULL
    OR i.resumed_at IS NOT NULL OR c.resumed_at IS NOT NULL)
    ORDER BY d.id LIMIT %s) AND {waits_for_resume()}"""  # noqa: S608
)
# A process may store a delivery as on hold after the release has ended: its source is resumed once more.
_RELEASE_STRANDED = Statement(
    f"""UPDATE webhooks_source SET resumed_at = {{now}} WHERE resumed_at IS NULL AND id IN (SELECT s.id FROM {_JOINED}
    WHERE {waits_for_resume("d")} AND {_NONE_PAUSED})"""  # noqa: S608
)
_COUNT_ON_HOLD = {
    model: Statement(
        f"""SELECT COUNT(*) FROM (SELECT d.id FROM sync_delivery d JOIN webhooks_event e ON e.id = d.event_id
        WHERE {waits_for_resume("d")} AND %s IN ({columns}) LIMIT %s) w"""  # noqa: S608
    )
    for model, columns in (
        (Source, "e.source_id"),
        (Route, "d.route_id"),
        (Connection, "d.identity_id, d.target_id"),
    )
}


def pause_flow(flow: Flow, reason: str, by: Any, until: datetime | None = None) -> bool:
    """Pause a source, route or connection: hold new and waiting deliveries. Returns False if it was paused already.

    `until`: when it resumes by itself, within seconds; None if a person has to resume it.
    """
    values = {
        "paused_at": timezone.now(),
        "paused_by": by,
        "pause_reason": reason,
        "pause_until": until,
        "resumed_at": None,
    }
    return bool(type(flow).objects.filter(pk=flow.pk, paused_at=None).update(**values))


def resume_flow(flow: Flow) -> bool:
    """Resume a source, route or connection. Returns False if it was not paused. Workers release its deliveries in
    batches.
    """
    values = {
        "paused_at": None,
        "paused_by": None,
        "pause_reason": "",
        "pause_until": None,
        "resumed_at": database_now(),
    }
    return bool(type(flow).objects.filter(pk=flow.pk, paused_at__isnull=False).update(**values))


def hold_waiting() -> int:
    """Hold deliveries that wait now and are paused, whenever they are due. Returns how many."""
    return _hold_due(_ANY_TIME_SECONDS)


def enforce_pauses() -> None:
    """Hold paused deliveries that become due, release a batch of those of which nothing is paused any more, and resume
    what was paused until now.
    """
    is_paused, is_releasing, ends = _READ_PAUSES.fetch_all()[0]
    has_ended = bool(ends) and _end_pauses()
    if is_paused:
        _hold_due(_HOLD_AHEAD_SECONDS)
    if is_releasing or has_ended:
        # The cached settings of every process must have expired.
        released_before = database_now(
            plus_seconds=-max(_RELEASE_SECONDS, 2 * settings.CONFIGURATION_SECONDS)
        )
        if not _RELEASE.execute(RELEASED_AT_ONCE):
            for model in MODELS:
                model.objects.filter(resumed_at__lt=released_before).update(resumed_at=None)


def _end_pauses() -> bool:
    """Resume what was paused until a time that has come, each with an entry of the hub. Returns True if any was."""
    ended = [flow for model in MODELS for flow in model.objects.filter(pause_until__lte=database_now())]
    for flow in ended:
        with transaction.atomic():
            if resume_flow(flow):
                stream = f"setting:{flow._meta.model_name}:{flow.pk}"
                append_entries(NewEntry(stream, ACTIONS[type(flow)][1]))
    return bool(ended)


def release_stranded() -> int:
    """Release deliveries that are still on hold although nothing of theirs is paused.

    Returns the number of sources affected.
    """
    return _RELEASE_STRANDED.execute()


def count_on_hold(flow: Flow, limit: int) -> int:
    """Return how many deliveries wait for a source, route or connection to be resumed, counted up to `limit`."""
    row = _COUNT_ON_HOLD[type(flow)].fetch_one(flow.pk, limit)
    return int(row[0]) if row else 0


def _hold_due(seconds: float) -> int:
    total = 0
    while held := _HOLD.execute(seconds, _BATCH, seconds):
        total += held
        if held < _BATCH:
            break
    return total
