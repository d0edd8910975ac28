"""What a route that observes would have done: read from the newest events of its source, by two statements."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import F

from database.encryption.at_rest import CannotDecrypt
from sync.models import Attempt, Delivery, Route
from sync.models.attempt import Finding
from sync.planning.change import ChangeAction
from webhooks.models import Event

# Of the source: more would only be slower to read.
MAX_EVENTS = 500
_PLANNED, _NOT_PLANNED = "observed", "observed-failed"


@dataclass(slots=True)
class ObservedChanges:
    """What the newest observed delivery of each entity would do. `is_cut`: there may be older ones.

    `unknown`: what was found is no longer stored. `since_comparison`: observed events after a given time.
    """

    events: int = 0
    is_cut: bool = False
    created: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    to_decide: int = 0
    failed: int = 0
    unknown: int = 0
    since_comparison: int = 0
    fields: Counter[str] = field(default_factory=Counter)


def read_observed_changes(route: Route, compared_at: datetime | None = None) -> ObservedChanges:
    """Count what the events would change that the route has observed since it observes.

    `compared_at`: when the newest comparison began; events after it are not covered by it.
    """
    events = Event.objects.filter(source=route.source_id)
    if route.mode_since is not None:
        events = events.filter(received_at__gte=route.mode_since)
    keys = list(events.order_by("-received_at", "-pk").values_list("pk", flat=True)[:MAX_EVENTS])
    observed = Delivery.objects.filter(event__in=keys, route=route, code__in=(_PLANNED, _NOT_PLANNED))
    rows = list(observed.order_by("-event__received_at", "-event_id"))
    newest = {row.entity_id: row for row in reversed(rows)}
    changes = ObservedChanges(len(rows), is_cut=len(keys) == MAX_EVENTS)
    changes.since_comparison = sum(compared_at is not None and row.opened_at > compared_at for row in rows)
    documents = _planned_documents(row.pk for row in newest.values() if row.code == _PLANNED)
    for row in newest.values():
        if row.code == _NOT_PLANNED:
            changes.failed += 1
        else:
            _count_change(changes, route, documents.get(row.pk))
    return changes


def _planned_documents(deliveries: Any) -> dict[int, Mapping[str, Any]]:
    """Return the change that the last attempt of each delivery has planned, as far as it is stored."""
    attempts = Attempt.objects.filter(delivery__in=list(deliveries), number=F("delivery__last_number"))
    found: dict[int, Mapping[str, Any]] = {}
    for attempt in attempts.select_related("findings__subject"):
        try:
            document = attempt.stored_finding(Finding.CHANGE)
        except CannotDecrypt:
            continue
        if isinstance(document, dict):
            found[attempt.delivery_id] = document
    return found


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
