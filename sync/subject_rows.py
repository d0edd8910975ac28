"""Where the rows of one entity stand: everything that erasing has to find, and the preview has to count."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from sync.models import OPEN_STATES, Attempt, Call, Delivery, Link, Replay, Route
from webhooks.models import Event, Payload, Receipt, Source, SubjectKey, pseudonym


@dataclass(frozen=True, slots=True)
class Person:
    """An entity as these sources know it. `upto`: of its events only those, where others may have come since."""

    entity_type: str
    entity_id: str
    sources: tuple[int, ...]
    upto: int | None = None

    @property
    def events(self) -> QuerySet[Event]:
        found = Event.objects.filter(
            entity_id=self.entity_id, entity_type=self.entity_type, source__in=self.sources
        )
        return found if self.upto is None else found.filter(pk__lte=self.upto)

    @property
    def deliveries(self) -> QuerySet[Delivery]:
        return Delivery.objects.filter(event__in=self.events.values("pk"))

    @property
    def open_deliveries(self) -> QuerySet[Delivery]:
        return self.deliveries.filter(state__in=OPEN_STATES)

    @property
    def links(self) -> QuerySet[Link]:
        """Of every identity connection that these sources lead to or led to."""
        return Link.objects.filter(
            entity_id=self.entity_id, entity_type=self.entity_type, identity__in=self.identities
        )

    @property
    def identities(self) -> set[int]:
        routes = Route.objects.filter(source__in=self.sources, entity_type=self.entity_type)
        tried = self.deliveries.values_list("identity", flat=True).distinct()
        return set(routes.values_list("identity", flat=True)) | set(tried)

    @property
    def pseudonyms(self) -> dict[int, str]:
        """By source."""
        return {each: pseudonym(each, self.entity_type, self.entity_id) for each in self.sources}

    @property
    def keys(self) -> QuerySet[SubjectKey]:
        """Those that are not destroyed."""
        return SubjectKey.objects.filter(pseudonym__in=self.pseudonyms.values(), destroyed_at=None)

    @property
    def replays(self) -> QuerySet[Replay]:
        """What people asked for about this entity, alone or among others."""
        tried = Attempt.objects.filter(delivery__in=self.deliveries.values("pk"), replay__isnull=False)
        asked = self.deliveries.filter(replay__isnull=False)
        return Replay.objects.filter(Q(pk__in=tried.values("replay")) | Q(pk__in=asked.values("replay")))


def person(entity_type: str, entity_id: str, source: int | None = None) -> Person:
    """The entity behind a type and an id, as `source` knows it, and every source that leads to the same identity
    service; without one, as any source does.
    """
    known = Source.objects.values_list("pk", flat=True)
    everywhere = Person(entity_type.upper(), entity_id, tuple(sorted(known)))
    if source is None:
        return everywhere
    own = Person(everywhere.entity_type, entity_id, (source,)).identities
    same = Route.objects.filter(entity_type=everywhere.entity_type, identity__in=own).values_list(
        "source", flat=True
    )
    went = everywhere.deliveries.filter(identity__in=own).values_list("event__source", flat=True)
    return Person(everywhere.entity_type, entity_id, tuple(sorted({source, *same, *went})))


def count(whose: Person) -> Mapping[str, int]:
    """How many rows of each table are the entity's."""
    events, deliveries = whose.events.values("pk"), whose.deliveries.values("pk")
    attempts = Attempt.objects.filter(delivery__in=deliveries)
    return {
        "events": whose.events.count(),
        "receipts": Receipt.objects.filter(event__in=events).count(),
        "deliveries": whose.deliveries.count(),
        "attempts": attempts.count(),
        "calls": Call.objects.filter(attempt__in=attempts.values("pk")).count(),
        "payloads": len(_payloads(whose)),
        "links": whose.links.count(),
        "keys": whose.keys.count(),
        "reasons": whose.replays.count(),
    }


def _payloads(whose: Person) -> set[int]:
    keys = set(Payload.objects.filter(subject__in=whose.keys.values("pk")).values_list("pk", flat=True))
    return keys | payloads_of(list(whose.events.values_list("pk", flat=True)))


def payloads_of(events: list[int]) -> set[int]:
    """The payloads that events and all that hangs on them name, an event's and its receipts' one once."""
    tried = Attempt.objects.filter(delivery__event__in=events)
    rows: tuple[tuple[QuerySet[Any], tuple[str, ...]], ...] = (
        (Event.objects.filter(pk__in=events), ("payload",)),
        (Receipt.objects.filter(event__in=events), ("payload", "answer")),
        (tried, ("change", "entity", "answer")),
        (Call.objects.filter(attempt__in=tried.values("pk")), ("request", "response")),
    )
    return {
        key for found, names in rows for row in found.values_list(*names) for key in row if key is not None
    }
