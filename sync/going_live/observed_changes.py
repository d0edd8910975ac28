"""What a route that observes would have done: read from the newest events of its source, by three statements."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import F

from database.encryption.at_rest import CannotDecrypt
from sync.attempts.absence import ABSENCE_CODES, OWNER_HELD_CODE
from sync.attempts.scope import OUT_OF_SCOPE_CODE
from sync.models import OBSERVED_CODES, OBSERVED_FAILED_CODE, Attempt, Delivery, Route
from sync.models.attempt import Finding
from sync.planning.change import ChangeAction
from webhooks.models import Event

# Of the source: more would only be slower to read.
MAX_EVENTS = 500
_UNPROVEN_CODES = (*ABSENCE_CODES, OWNER_HELD_CODE)


@dataclass(slots=True)
class ObservedChanges:
    """What the newest observed delivery of each entity would do. `is_cut`: there may be older ones.

    `unproven`: nothing proved that the entity or its record was deleted, or whose the record is: a person would
    decide. `unknown`: what was found is no longer stored. `since_comparison`: observed events after a given time.
    """

    events: int = 0
    is_cut: bool = False
    created: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    to_decide: int = 0
    unproven: int = 0
    failed: int = 0
    out_of_scope: int = 0
    unknown: int = 0
    since_comparison: int = 0
    fields: Counter[str] = field(default_factory=Counter)


def read_observed_changes(
    route: Route, since: datetime | None, compared_at: datetime | None = None
) -> ObservedChanges:
    """Count what the events would change that the route has observed since a time, or ever.

    `compared_at`: when the newest comparison began; events after it are not covered by it.
    """
    events = Event.objects.filter(source=route.source_id)
    if since is not None:
        events = events.filter(received_at__gte=since)
    keys = list(events.order_by("-received_at", "-pk").values_list("pk", flat=True)[:MAX_EVENTS])
    codes = (*OBSERVED_CODES, OUT_OF_SCOPE_CODE)
    observed = Delivery.objects.filter(event__in=keys, route=route, code__in=codes)
    rows = list(observed.order_by("-event__received_at", "-event_id"))
    newest = {row.entity_id: row for row in reversed(rows)}
    changes = ObservedChanges(len(rows), is_cut=len(keys) == MAX_EVENTS)
    changes.since_comparison = sum(compared_at is not None and row.opened_at > compared_at for row in rows)
    attempts = _last_attempts(row.pk for row in newest.values())
    for row in newest.values():
        attempt = attempts.get(row.pk)
        if OUT_OF_SCOPE_CODE in (row.code, attempt and attempt.code):
            changes.out_of_scope += 1
        elif row.code == OBSERVED_FAILED_CODE:
            changes.failed += 1
        elif attempt is not None and attempt.code in _UNPROVEN_CODES:
            changes.unproven += 1
        else:
            _count_change(changes, route, _planned_document(attempt))
    return changes


def _last_attempts(deliveries: Iterable[int]) -> dict[int, Attempt]:
    attempts = Attempt.objects.filter(delivery__in=list(deliveries), number=F("delivery__last_number"))
    return {one.delivery_id: one for one in attempts.select_related("findings__subject")}


def _planned_document(attempt: Attempt | None) -> Mapping[str, Any] | None:
    """Return the change that an attempt has planned; None if it is not stored any more."""
    try:
        document = attempt.stored_finding(Finding.CHANGE) if attempt is not None else None
    except CannotDecrypt:
        return None
    return document if isinstance(document, dict) else None


def _count_change(changes: ObservedChanges, route: Route, document: Mapping[str, Any] | None) -> None:
    if document is None:
        changes.unknown += 1
        return
    action, fields = document.get("action"), document.get("fields", ())
    if document.get("candidates"):
        changes.to_decide += 1
    elif action == ChangeAction.CREATE:
        changes.created += 1
    elif action == ChangeAction.DELETE or _is_deactivation(route, fields):
        changes.removed += 1
    elif action == ChangeAction.UPDATE:
        changes.updated += 1
        changes.fields.update(str(one["name"]) for one in fields)
    else:
        changes.unchanged += 1


def _is_deactivation(route: Route, fields: Any) -> bool:
    """Return True if an update sets only fields that mark a record as inactive."""
    after = {one["name"]: one["after"] for one in fields}
    return bool(after) and all(
        name in route.deactivation and route.deactivation[name] == after[name] for name in after
    )
