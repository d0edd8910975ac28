"""Find out if a newer event of a subject was applied."""

from datetime import timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from sync.deliveries.predicates import SUBJECT_OF_OUTER_ROW, subject_filter
from sync.models import SUCCESS_STATES, SUCCESSFUL_OUTCOMES, Attempt, Delivery, Link, PayloadChoice

# Largest difference between the clocks of receiving hosts.
_MAX_CLOCK_SKEW = timedelta(days=1)


def annotate_newer(
    deliveries: QuerySet[Delivery], *, max_clock_skew: timedelta | None = _MAX_CLOCK_SKEW
) -> QuerySet[Any]:
    """Annotate deliveries with the newest later event of their subject that was applied, and with their link.

    Annotations: `newer` and `newer_type`, the later event and its type; `linked_record`, empty if the record was
    deleted; `applied_until`, the newest relayed timestamp.

    `max_clock_skew`: the largest difference between clocks of receiving hosts; None, for a single delivery, searches
    all events of the entity.
    """
    was_applied = Attempt.objects.filter(delivery=OuterRef("pk"), outcome__in=SUCCESSFUL_OUTCOMES)
    later = Delivery.objects.filter(
        # Attempts count too: a replay may have changed the delivery's state after it was applied.
        Q(state__in=SUCCESS_STATES) | Exists(was_applied),
        **SUBJECT_OF_OUTER_ROW,
        event__gt=OuterRef("event"),
        event__entity_id=OuterRef("entity_id"),
    ).order_by("-event")
    if max_clock_skew is not None:
        # Events are ordered by key. The bound on their time only lets the index narrow the search.
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
    """True if a row of `annotate_newer` must not be delivered: its data are old, or add nothing."""
    if row.is_relayed:
        return bool(row.applied_until and row.occurred_at and row.occurred_at < row.applied_until)
    return row.newer is not None


def was_superseded(delivery: Delivery) -> bool:
    """True if a later event of the delivery's subject was applied."""
    row = annotate_newer(Delivery.objects.filter(pk=delivery.pk), max_clock_skew=None).first()
    return row is not None and is_outdated(row)


def was_overtaken(delivery: Delivery, *, is_ordered_by_time: bool) -> bool:
    """True if data newer than the data of a relayed delivery was applied with the same mapping.

    Newer is the data of a fetch that began after the webhook of the delivery was received and, unless the times of
    events decide their order, the data of a later event.
    """
    newer = Q(
        delivery__is_relayed=False,
        payload_choice=PayloadChoice.AS_ROUTED,
        started_at__gt=delivery.event.received_at,
    )
    if not is_ordered_by_time:
        newer |= Q(delivery__is_relayed=True, delivery__event__gt=delivery.event_id)
    subject = {f"delivery__{name}": value for name, value in subject_filter(delivery).items()}
    attempts = Attempt.objects.filter(
        newer,
        **subject,
        # By the index of events.
        delivery__event__entity_id=delivery.entity_id,
        delivery__route__mapping=delivery.route.mapping_id,
        outcome__in=SUCCESSFUL_OUTCOMES,
    )
    return attempts.exists()
