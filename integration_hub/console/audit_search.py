"""What a term pasted into the audit log's search can mean: streams, by equality only."""

from sync.models import Delivery
from webhooks.catalogue.reference import from_reference, to_reference
from webhooks.models import Event

MOST_EVENTS = 200


def streams_of(term: str) -> list[str]:
    """The streams that a pasted term can mean; `entity:<type>:<id>` means those of its newest events."""
    kind, _colon, rest = term.partition(":")
    if kind == "entity":
        return _streams_of_entity(*rest.partition(":")[::2])
    try:
        uuid = from_reference(term.removeprefix("event:"))
    except ValueError:
        return [term]
    deliveries = Delivery.objects.filter(event__uuid=uuid).values_list("pk", flat=True)
    return [f"event:{to_reference(uuid)}", *(f"delivery:{pk}" for pk in deliveries)]


def _streams_of_entity(entity_type: str, entity_id: str) -> list[str]:
    known = Event.objects.filter(entity_id=entity_id, entity_type=entity_type).order_by("-received_at", "-id")
    events = dict(known.values_list("pk", "uuid")[:MOST_EVENTS])
    deliveries = Delivery.objects.filter(event__in=events).values_list("pk", flat=True)
    return [
        *(f"event:{to_reference(uuid)}" for uuid in events.values()),
        *(f"delivery:{pk}" for pk in deliveries),
    ]
