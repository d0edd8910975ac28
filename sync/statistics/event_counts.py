"""Count the events of one hour: bounded reads through the indexes on time, and on state and time."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet, Sum

from sync.deliveries.creation import EVENT_TYPES
from sync.models import OPEN_STATES, Delivery, Route
from sync.models.counts import HOUR
from sync.models.failure import split_by_responsible_side
from webhooks.models import HANDSHAKE_CODE, Event, Refusal, State

OTHER_TYPE = "other"
CountsByKey = Mapping[tuple[Any, ...], int]


@dataclass(frozen=True, slots=True)
class HourlyEvents:
    """Counts of one hour: `events` by source, entity type, event type, state and origin; `failures` by connection and
    code; `refusals` by source and code.

    `open_count`: events that can still change without a person.
    """

    events: CountsByKey
    failures: CountsByKey
    refusals: CountsByKey
    open_count: int


def count_events(hour: datetime) -> HourlyEvents:
    """Count the events of an hour: five statements, and one for the known entity types."""
    matching = _within_hour(Event.objects.all(), hour, "received_at").order_by()
    columns = ("source_id", "entity_type", "event_type", "state", "origin")
    counted = matching.values_list(*columns).annotate(Count("pk"))
    # Types come from the senders: unknown ones are counted together, which bounds the number of rows.
    known = set(Route.objects.values_list("entity_type", flat=True).distinct())
    events: Counter[tuple[Any, ...]] = Counter()
    for source, entity_type, event_type, state, origin, number in counted:
        entity = entity_type if entity_type in known else OTHER_TYPE
        event = event_type if event_type in EVENT_TYPES else OTHER_TYPE
        events[source, entity, event, state, origin] += number
    # An event shows the worst of its deliveries: behind a failed one, another may still be open.
    dead = _within_hour(Delivery.objects.filter(event__state=State.DEAD), hour, "event__received_at")
    hidden = dead.filter(state__in=OPEN_STATES).count()
    failures: Counter[tuple[Any, ...]] = Counter()
    for part in split_by_responsible_side(dead.filter(state=State.DEAD)):
        for connection, code, number in (
            part.order_by().values_list("responsible_id", "code").annotate(Count("pk"))
        ):
            failures[connection, code] = number
    refusals = Refusal.objects.exclude(code=HANDSHAKE_CODE)
    refused = _within_hour(refusals, hour, "last_at").order_by().values_list("source_id", "code")
    return HourlyEvents(
        events,
        failures,
        {(source, code): number for source, code, number in refused.annotate(Sum("times"))},
        sum(number for (*_, state, _origin), number in events.items() if state in OPEN_STATES) + hidden,
    )


def _within_hour(rows: QuerySet[Any], hour: datetime, moment: str) -> QuerySet[Any]:
    return rows.filter(**{f"{moment}__gte": hour, f"{moment}__lt": hour + HOUR})
