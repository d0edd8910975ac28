"""Retry deliveries of events whose webhooks were sent again."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from audit.entries.append import NewEntry, append_entries
from config_schema.codes.codes import RETRYABLE_CODES
from database.clock import database_now
from sync.deliveries.event_state import refresh_event_states
from sync.deliveries.predicates import SUBJECT_OF_OUTER_ROW
from sync.evidence.row_facts import reopened_entries
from sync.models import Delivery
from webhooks.models import Event, State, SubjectKey, lock_or_create_keys

# What one transaction locks.
MAX_EVENTS_AT_ONCE = 50


def retry_events(events: Sequence[Event]) -> None:
    """Make retrying deliveries of these events due now, and retry failed ones whose code is retryable.

    Skips deliveries that the remote system asked to delay (Retry-After), and relayed deliveries whose subject has a
    newer event. Takes a few statements for each MAX_EVENTS_AT_ONCE events.
    """
    for start in range(0, len(events), MAX_EVENTS_AT_ONCE):
        _retry_at_once(events[start : start + MAX_EVENTS_AT_ONCE])


def _retry_at_once(events: Sequence[Event]) -> None:
    now = database_now()
    deliveries = Delivery.objects.filter(event__in=[event.pk for event in events]).exclude(not_before__gt=now)
    # Without a due time a delivery is on hold: only a person can resume it.
    retrying = deliveries.filter(state=State.RETRYING).exclude(due_at=None)
    if retrying.exists():
        with transaction.atomic():
            append_entries(*_make_pending(retrying, due_at=now))
    # Most repeats find no failed delivery and take no lock.
    failed_events = set(_retryable_failures(deliveries).values_list("event_id", flat=True))
    if not failed_events:
        return
    subjects = {
        (event.source_id, event.entity_type, event.entity_id) for event in events if event.pk in failed_events
    }
    keys = [key.pk for key in lock_or_create_keys(subjects).values()]
    with transaction.atomic():
        # Each commit that stores a webhook of an entity locks its key: none comes between this check and the update.
        # In their order, as everywhere: otherwise two transactions could wait for each other.
        list(SubjectKey.objects.select_for_update().filter(pk__in=keys).order_by("pk").values_list("pk"))
        newer = Delivery.objects.filter(**SUBJECT_OF_OUTER_ROW, event__gt=OuterRef("event"))
        failed = _retryable_failures(deliveries).filter(Q(is_relayed=False) | ~Exists(newer))
        reopened = _make_pending(
            failed.filter(event__in=failed_events), due_at=now, settled_at=None, covered_by=None
        )
        if reopened:
            refresh_event_states(failed_events)
            append_entries(*reopened)


def _make_pending(deliveries: QuerySet[Delivery], **values: Any) -> list[NewEntry]:
    """Make these deliveries pending. Returns their audit entries, which the caller appends."""
    locked = deliveries.select_related("event").select_for_update(of=("self",)).order_by("pk")
    pending = list(locked.only("event__uuid", "route_id"))
    Delivery.objects.filter(pk__in=[row.pk for row in pending]).update(state=State.PENDING, **values)
    return reopened_entries(pending, "repeat")


def _retryable_failures(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Select failed deliveries that have no replay pending and of which nothing is paused."""
    failed = deliveries.filter(state=State.DEAD, code__in=RETRYABLE_CODES, person_request=None)
    return failed.filter(
        route__paused_at=None,
        event__source__paused_at=None,
        identity__paused_at=None,
        target__paused_at=None,
    )
