"""What a replay will do, said before it is done."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sync.models import Delivery
from sync.opening import EVENT_TYPES, enabled_routes
from webhooks.models import Event, State


@dataclass(frozen=True, slots=True)
class Preview:
    """`events` have somewhere to go; `skipped` have no route. `systems`: deliveries by name of target."""

    events: tuple[Event, ...]
    skipped: tuple[Event, ...]
    systems: tuple[tuple[str, int], ...]
    relayed: int
    running: int


def preview(events: Sequence[Event]) -> Preview:
    """Two statements, however many events.

    An event with deliveries repeats those; one without any gets the routes of today.
    """
    known = Delivery.objects.filter(event__in=[event.pk for event in events])
    rows = list(known.values_list("event_id", "commercial__name", "is_relayed", "state"))
    reached = {event_id for event_id, *_ in rows}
    opened = _would_open([event for event in events if event.pk not in reached])
    names = Counter(
        [name for _, name, _, _ in rows] + [name for routes in opened.values() for name in routes]
    )
    sent = reached | opened.keys()
    return Preview(
        events=tuple(event for event in events if event.pk in sent),
        skipped=tuple(event for event in events if event.pk not in sent),
        systems=tuple(sorted(names.items())),
        relayed=sum(is_relayed for _, _, is_relayed, _ in rows),
        running=sum(state == State.RUNNING for *_, state in rows),
    )


def _would_open(events: Sequence[Event]) -> dict[int, list[str]]:
    """The systems that an event without a delivery would go to, by the rule of `sync.opening`."""
    names: dict[tuple[int, str], list[str]] = {}
    for source, entity_type, name in enabled_routes().values_list(
        "source_id", "entity_type", "commercial__name"
    ):
        names.setdefault((source, entity_type), []).append(name)
    found = {
        event.pk: names.get((event.source_id, event.entity_type), [])
        for event in events
        if event.event_type in EVENT_TYPES
    }
    return {pk: systems for pk, systems in found.items() if systems}
