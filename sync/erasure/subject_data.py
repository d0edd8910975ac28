"""Where the rows of one entity stand: everything that erasing has to find, and the preview has to count."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.db.models import QuerySet

from audit.models import Entry
from sync.models import OPEN_STATES, Attempt, Call, Delivery, Link, Member, Replay, Route
from webhooks.models import Event, Payload, Receipt, Source, SubjectKey, pseudonym

_STREAM_BATCH_SIZE = 500
_REQUEST_ACTIONS = ("event.replayed", "delivery.approved", "delivery.closed", "delivery.done-by-hand")


@dataclass(frozen=True, slots=True)
class ErasureSubject:
    """An entity as these sources know it. `last_event_id`: include no event with a higher id; None includes
    all.
    """

    entity_type: str
    entity_id: str
    sources: tuple[int, ...]
    last_event_id: int | None = None

    @property
    def events(self) -> QuerySet[Event]:
        found = Event.objects.filter(
            entity_id=self.entity_id, entity_type=self.entity_type, source__in=self.sources
        )
        return found if self.last_event_id is None else found.filter(pk__lte=self.last_event_id)

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


def find_subject(entity_type: str, entity_id: str, source: int | None = None) -> ErasureSubject:
    """The entity behind a type and an id, as `source` knows it, and every source that leads to the same identity
    service; without one, as any source does.
    """
    known = Source.objects.values_list("pk", flat=True)
    everywhere = ErasureSubject(entity_type.upper(), entity_id, tuple(sorted(known)))
    if source is None:
        return everywhere
    own = ErasureSubject(everywhere.entity_type, entity_id, (source,)).identities
    same = Route.objects.filter(entity_type=everywhere.entity_type, identity__in=own).values_list(
        "source", flat=True
    )
    went = everywhere.deliveries.filter(identity__in=own).values_list("event__source", flat=True)
    return ErasureSubject(everywhere.entity_type, entity_id, tuple(sorted({source, *same, *went})))


def count_rows(whose: ErasureSubject) -> Mapping[str, int]:
    """How many rows of each table are the entity's."""
    events, deliveries = whose.events.values("pk"), whose.deliveries.values("pk")
    attempts = Attempt.objects.filter(delivery__in=deliveries)
    return {
        "events": whose.events.count(),
        "receipts": Receipt.objects.filter(event__in=events).count(),
        "deliveries": whose.deliveries.count(),
        "attempts": attempts.count(),
        "calls": Call.objects.filter(attempt__in=attempts.values("pk")).count(),
        "payloads": len(_payload_ids(whose)),
        "links": whose.links.count(),
        "keys": whose.keys.count(),
        "reasons": len(replays_by_event(whose)),
    }


def replays_by_event(whose: ErasureSubject) -> dict[int, set[int]]:
    """What people asked for about this entity, alone or among others: by the key of a replay, an approval or a closing,
    which of the entity's events are in it. A delivery names only the last one, so its audit entries are asked too.
    """
    found: dict[int, set[int]] = defaultdict(set)
    deliveries = whose.deliveries
    tried = Attempt.objects.filter(delivery__in=deliveries.values("pk"), replay__isnull=False)
    every: tuple[Iterable[tuple[Any, Any]], ...] = (
        tried.values_list("replay", "delivery__event"),
        deliveries.filter(replay__isnull=False).values_list("replay", "event"),
        Member.objects.filter(event__in=whose.events.values("pk")).values_list("replay", "event"),
        _replays_in_audit_log(whose),
    )
    for request, event in chain.from_iterable(every):
        found[request].add(event)
    return found


def _replays_in_audit_log(whose: ErasureSubject) -> Iterator[tuple[int, int]]:
    """The requests that audit entries of the entity's events and deliveries name, each with the event."""
    streams = {each.stream: each.pk for each in whose.events.only("pk", "uuid")}
    streams |= {
        each.stream: each.event_id
        for each in whose.deliveries.select_related("event").only("event__uuid", "route_id")
    }
    names, named = list(streams), []
    for start in range(0, len(names), _STREAM_BATCH_SIZE):
        asked = Entry.objects.filter(
            stream__in=names[start : start + _STREAM_BATCH_SIZE], action__in=_REQUEST_ACTIONS
        )
        for stream, body in asked.values_list("stream", "body"):
            details = json.loads(body)["details"]
            named.append((details.get("replay") or details.get("request"), streams[stream]))
    known = Replay.objects.filter(uuid__in={uuid for uuid, _ in named if uuid})
    keys = {str(uuid): key for uuid, key in known.values_list("uuid", "pk")}
    return ((keys[uuid], event) for uuid, event in named if uuid in keys)


def _payload_ids(whose: ErasureSubject) -> set[int]:
    keys = set(Payload.objects.filter(subject__in=whose.keys.values("pk")).values_list("pk", flat=True))
    return keys | payload_ids_of_events(list(whose.events.values_list("pk", flat=True)))


def payload_ids_of_events(events: list[int]) -> set[int]:
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
