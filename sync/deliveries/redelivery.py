"""Retry deliveries of an event whose webhook was sent again."""

from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from audit.entries.append import NewEntry, append_entries
from database.clock import database_now
from sync.deliveries.event_state import refresh_event_states
from sync.deliveries.predicates import SUBJECT_OF_OUTER_ROW
from sync.evidence.row_facts import reopened_entries
from sync.models import Delivery
from webhooks.catalogue.codes import RETRYABLE_CODES
from webhooks.models import Event, State, SubjectKey


def retry_event(event: Event) -> None:
    """Make retrying deliveries due now, and retry failed ones whose code is retryable.

    Skips deliveries that the remote system asked to delay (Retry-After), and relayed deliveries whose subject has a
    newer event.
    """
    now = database_now()
    deliveries = event.deliveries.exclude(not_before__gt=now)
    # Without a due time a delivery is on hold: only a person can resume it.
    retrying = deliveries.filter(state=State.RETRYING).exclude(due_at=None)
    if retrying.exists():
        with transaction.atomic():
            append_entries(*_make_pending(retrying, due_at=now))
    # Most repeats find no failed delivery and take no lock.
    if not _retryable_failures(deliveries).exists():
        return
    key = event.key.pk
    with transaction.atomic():
        # Each commit that stores a webhook of this entity locks its key: none comes between this check and the update.
        SubjectKey.objects.select_for_update().get(pk=key)
        newer = Delivery.objects.filter(**SUBJECT_OF_OUTER_ROW, event__gt=OuterRef("event"))
        failed = _retryable_failures(deliveries).filter(Q(is_relayed=False) | ~Exists(newer))
        reopened = _make_pending(failed, due_at=now, settled_at=None, covered_by=None)
        if reopened:
            refresh_event_states([event.pk])
            append_entries(*reopened)


def _make_pending(deliveries: QuerySet[Delivery], **values: Any) -> list[NewEntry]:
    """Make these deliveries pending. Returns their audit entries, which the caller appends."""
    locked = deliveries.select_related("event").select_for_update(of=("self",)).order_by("pk")
    pending = list(locked.only("event__uuid", "route_id"))
    Delivery.objects.filter(pk__in=[row.pk for row in pending]).update(state=State.PENDING, **values)
    return reopened_entries(pending, "repeat")


def _retryable_failures(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Select failed deliveries that have no replay pending and whose source and route are not paused."""
    failed = deliveries.filter(state=State.DEAD, code__in=RETRYABLE_CODES, replay=None)
    return failed.filter(route__paused_at=None, event__source__paused_at=None)
