"""A webhook that came again: which of its event's deliveries are tried once more, because somebody asks for it."""

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from database.clock import database_now
from sync.deliveries.event_state import refresh_event_states
from sync.deliveries.predicates import SUBJECT_OF_OUTER_ROW
from sync.models import Delivery
from webhooks.catalogue.codes import RETRYABLE_CODES
from webhooks.models import Event, State, SubjectKey


def retry_event(event: Event) -> None:
    """What waits for its next try is due now, and what failed for a reason that may have passed.

    But for what the other side asked to be left alone with (Retry-After), and what is relayed and has been followed by
    something newer, over which it would go.
    """
    now = database_now()
    free = event.deliveries.exclude(not_before__gt=now)
    free.filter(state=State.RETRYING).exclude(due_at=None).update(state=State.PENDING, due_at=now)
    if not _retryable_failures(free).exists():
        return
    key = event.key.pk
    with transaction.atomic():
        # Whoever stores a webhook of this entity holds its key: none comes between the look and what follows from it.
        SubjectKey.objects.select_for_update().get(pk=key)
        newer = Delivery.objects.filter(**SUBJECT_OF_OUTER_ROW, event__gt=OuterRef("event"))
        failed = _retryable_failures(free).filter(Q(is_relayed=False) | ~Exists(newer))
        if failed.update(state=State.PENDING, due_at=now, settled_at=None, covered_by=None):
            refresh_event_states([event.pk])


def _retryable_failures(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Those that nobody looks after just now, and whose way is open."""
    failed = deliveries.filter(state=State.DEAD, code__in=RETRYABLE_CODES, replay=None)
    return failed.filter(route__paused_at=None, event__source__paused_at=None)
