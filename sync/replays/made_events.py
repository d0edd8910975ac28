"""Make events that are no webhooks, each with its delivery for one route, in the transaction of the caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils import timezone

from audit.entries.append import NewEntry
from database.write_batch import WriteBatch
from sync.deliveries.creation import OpenedDeliveries, open_deliveries
from sync.deliveries.routes import ResolvedRoute
from sync.models import Delivery, PersonRequest
from webhooks.made_events import EventMaker, lock_subjects, made_entries, make_event
from webhooks.models import Event


@dataclass(frozen=True, slots=True)
class MadeEvents:
    """New events by entity id, the keys of their deliveries, and the audit entries, which the caller appends."""

    events: Mapping[str, Event]
    deliveries: Sequence[int]
    entries: Sequence[NewEntry]


def make_events(
    resolved: ResolvedRoute,
    event_types: Mapping[str, str],
    maker: EventMaker,
    request: PersonRequest | None = None,
) -> MadeEvents:
    """Store an event of the given type for each entity id, with a delivery for this route only.

    Locks the keys of the entities first: until the commit none of them can be erased. `request`: the person's request
    that the deliveries belong to.
    """
    route, now = resolved.route, timezone.now()
    lock_subjects(route.source, route.entity_type, event_types.keys())
    events = {
        entity_id: make_event(route.source, route.entity_type, entity_id, event_type, maker, now)
        for entity_id, event_type in event_types.items()
    }
    batch = WriteBatch()
    batch.insert(*events.values())
    opened: list[OpenedDeliveries] = [
        open_deliveries(event, [resolved], batch, request=request) for event in events.values()
    ]
    batch.run()
    deliveries = Delivery.objects.filter(event__in=[event.pk for event in events.values()])
    rows = [deliveries.opened_rows for deliveries in opened]
    entries = made_entries(zip(events.values(), rows, strict=True), maker)
    return MadeEvents(events, list(deliveries.order_by("pk").values_list("pk", flat=True)), entries)
