"""Whether something newer of a subject was applied than what an event tells."""

from datetime import timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from sync.deliveries.predicates import SUBJECT_OF_OUTER_ROW
from sync.models import Attempt, AttemptOutcome, Delivery, Link
from webhooks.models import State

APPLIED_STATES = (State.SUCCEEDED, State.UNCHANGED)
_MAX_CLOCK_SKEW = timedelta(days=1)


def annotate_newer(
    deliveries: QuerySet[Delivery], *, max_clock_skew: timedelta | None = _MAX_CLOCK_SKEW
) -> QuerySet[Any]:
    """Each with the newest later event of its subject that was applied (`newer`, and what it was, `newer_type`),
    whatever its replay came to since; and what its link says: `linked_record`, which is empty where the record was
    deleted, and `applied_until`, how new what was relayed is.

    The keys have the order. `clocks_apart`: how much the clocks of the hosts may differ that received the events, so
    that the index leads to few of an entity's events; None, for a single delivery, looks at all of them.
    """
    was_applied = Attempt.objects.filter(
        delivery=OuterRef("pk"), outcome__in=[AttemptOutcome.SUCCEEDED, AttemptOutcome.UNCHANGED]
    )
    later = Delivery.objects.filter(
        Q(state__in=APPLIED_STATES) | Exists(was_applied),
        **SUBJECT_OF_OUTER_ROW,
        event__gt=OuterRef("event"),
        event__entity_id=OuterRef("entity_id"),
    ).order_by("-event")
    if max_clock_skew is not None:
        later = later.filter(event__received_at__gte=OuterRef("event__received_at") - max_clock_skew)
    links = Link.objects.filter(**SUBJECT_OF_OUTER_ROW)
    return deliveries.annotate(
        newer=Subquery(later.values("event")[:1]),
        newer_type=Subquery(later.values("event__event_type")[:1]),
        linked_record=Subquery(links.values("record_id")[:1]),
        applied_until=Subquery(links.values("occurred_at")[:1]),
        occurred_at=F("event__occurred_at"),
    )


def is_outdated(row: Any) -> bool:
    """Of a row of `annotate_newer`: whether delivering what its event carried would undo newer data, and delivering it
    afresh would change nothing more.
    """
    if row.is_relayed:
        return bool(row.applied_until and row.occurred_at and row.occurred_at < row.applied_until)
    return row.newer is not None


def was_superseded(delivery: Delivery) -> bool:
    """Whether a later event of its subject was applied by now."""
    row = annotate_newer(Delivery.objects.filter(pk=delivery.pk), max_clock_skew=None).first()
    return row is not None and is_outdated(row)
