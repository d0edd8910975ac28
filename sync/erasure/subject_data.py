"""Find all rows of one entity, for the preview and for the erasure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from audit.entries.readable_rows import parse_details
from audit.models import Entry
from sync.models import (
    OPEN_STATES,
    Attempt,
    AwaitedRecord,
    Call,
    CatchUp,
    ChangedEntity,
    ComparisonRecord,
    Delivery,
    Difference,
    Link,
    MatchChoice,
    MatchLinkingMember,
    PersonRequest,
    PersonRequestMember,
    RecordReference,
    Route,
    TriedEntity,
)
from webhooks.models import Event, Payload, Receipt, Source, SubjectKey, pseudonym

_STREAM_BATCH_SIZE = 500
_REQUEST_ACTIONS = (
    "event.made",
    *("event.replayed", "delivery.approved", "delivery.closed", "delivery.done-by-hand"),
    *("delivery.record-linked", "delivery.record-approved"),
)


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
        events = Event.objects.filter(
            entity_id=self.entity_id, entity_type=self.entity_type, source__in=self.sources
        )
        return events if self.last_event_id is None else events.filter(pk__lte=self.last_event_id)

    @property
    def deliveries(self) -> QuerySet[Delivery]:
        return Delivery.objects.filter(event__in=self.events.values("pk"))

    @property
    def open_deliveries(self) -> QuerySet[Delivery]:
        return self.deliveries.filter(state__in=OPEN_STATES)

    @property
    def awaited_records(self) -> QuerySet[AwaitedRecord]:
        """Return what deliveries of other entities and deliveries of this entity wait for."""
        own = {"entity_type": self.entity_type, "entity_id": self.entity_id, "identity__in": self.identities}
        waits = AwaitedRecord.objects.all()
        return waits.filter(**own) | waits.filter(delivery__in=self.deliveries)

    @property
    def record_references(self) -> QuerySet[RecordReference]:
        """Return the references of other records to the record of this entity, and the references of its own record."""
        own = {"entity_type": self.entity_type, "entity_id": self.entity_id}
        references = RecordReference.objects.all()
        to_entity = references.filter(**own, link__identity__in=self.identities)
        return to_entity | references.filter(link__in=self.links)

    @property
    def links(self) -> QuerySet[Link]:
        """Links at every identity connection that these sources use or used."""
        return Link.objects.filter(
            entity_id=self.entity_id, entity_type=self.entity_type, identity__in=self.identities
        )

    @property
    def differences(self) -> QuerySet[Difference]:
        """What comparisons found of this entity."""
        return Difference.objects.filter(
            entity_id=self.entity_id,
            comparison__entity_type=self.entity_type,
            comparison__identity__in=self.identities,
        )

    @property
    def match_choices(self) -> QuerySet[MatchChoice]:
        """What people chose at the matching desk of a comparison for this entity."""
        own = {"entity_type": self.entity_type, "entity_id": self.entity_id}
        return MatchChoice.objects.filter(**own, identity__in=self.identities)

    @property
    def match_members(self) -> QuerySet[MatchLinkingMember]:
        """Runs that are to link a record to this entity."""
        return MatchLinkingMember.objects.filter(
            entity_id=self.entity_id,
            linking__comparison__entity_type=self.entity_type,
            linking__comparison__identity__in=self.identities,
        )

    @property
    def tried_entities(self) -> QuerySet[TriedEntity]:
        """The examples of tries of a condition that name this entity."""
        return TriedEntity.objects.filter(
            entity_id=self.entity_id,
            condition_try__entity_type=self.entity_type,
            condition_try__identity__in=self.identities,
        )

    @property
    def changed_entities(self) -> QuerySet[ChangedEntity]:
        """What catch-ups have listed of this entity, and made no event of yet."""
        return ChangedEntity.objects.filter(
            entity_id=self.entity_id,
            catch_up__in=CatchUp.objects.filter(entity_type=self.entity_type, identity__in=self.identities),
        )

    @property
    def compared_records(self) -> QuerySet[ComparisonRecord]:
        """The digests that comparisons, which run, have of the records of this entity."""
        records = set(self.links.exclude(record_id="").values_list("target", "record_id"))
        records |= set(self.differences.exclude(record_id="").values_list("comparison__target", "record_id"))
        found = ComparisonRecord.objects.none()
        for target, record_id in sorted(records):
            found |= ComparisonRecord.objects.filter(comparison__target=target, record_id=record_id)
        return found

    @property
    def identities(self) -> set[int]:
        # Routes may have changed: past deliveries name the identity services of their time.
        routes = Route.objects.filter(source__in=self.sources, entity_type=self.entity_type)
        past = self.deliveries.values_list("identity", flat=True).distinct()
        return set(routes.values_list("identity", flat=True)) | set(past)

    @property
    def pseudonyms(self) -> dict[int, str]:
        """Pseudonyms by source."""
        return {source: pseudonym(source, self.entity_type, self.entity_id) for source in self.sources}

    def lock_unsent_members(self) -> list[PersonRequestMember]:
        """Return the members of requests that make differences equal which name the entity, because they have no event,
        with their requests locked: no event of them is made until the transaction ends.
        """
        # Few requests have a route: through them the constraint `entity_once_a_request` finds the member.
        requests = PersonRequest.objects.filter(
            route__source__in=self.sources, route__entity_type=self.entity_type
        )
        members = PersonRequestMember.objects.filter(
            person_request__in=list(requests.values_list("pk", flat=True)), entity_id=self.entity_id
        )
        keys = list(members.values_list("person_request", flat=True))
        list(PersonRequest.objects.select_for_update(no_key=True).filter(pk__in=keys).order_by("pk"))
        return list(members.filter(person_request__in=keys).select_related("person_request__route"))

    @property
    def keys(self) -> QuerySet[SubjectKey]:
        """Keys that are not destroyed."""
        return SubjectKey.objects.filter(pseudonym__in=self.pseudonyms.values(), destroyed_at=None)


def find_subject(entity_type: str, entity_id: str, source: int | None = None) -> ErasureSubject:
    """Return the subject of a type and an id, as `source` knows it, with every source that leads to the same
    identity service.

    Without a source, the subject spans all sources.
    """
    known = Source.objects.values_list("pk", flat=True)
    everywhere = ErasureSubject(entity_type.upper(), entity_id, tuple(sorted(known)))
    if source is None:
        return everywhere
    own = ErasureSubject(everywhere.entity_type, entity_id, (source,)).identities
    same = Route.objects.filter(entity_type=everywhere.entity_type, identity__in=own).values_list(
        "source", flat=True
    )
    sources = everywhere.deliveries.filter(identity__in=own).values_list("event__source", flat=True)
    return ErasureSubject(everywhere.entity_type, entity_id, tuple(sorted({source, *same, *sources})))


def count_rows(subject: ErasureSubject) -> Mapping[str, int]:
    """Count the rows of the subject in each table."""
    events, deliveries = subject.events.values("pk"), subject.deliveries.values("pk")
    attempts = Attempt.objects.filter(delivery__in=deliveries)
    return {
        "events": subject.events.count(),
        "receipts": Receipt.objects.filter(event__in=events).count(),
        "deliveries": subject.deliveries.count(),
        "attempts": attempts.count(),
        "calls": Call.objects.filter(attempt__in=attempts.values("pk")).count(),
        "payloads": len(_payload_ids(subject)),
        "links": subject.links.count(),
        "differences": subject.differences.count(),
        "changes": subject.changed_entities.count(),
        "keys": subject.keys.count(),
        "reasons": len(replays_by_event(subject)),
    }


def replays_by_event(subject: ErasureSubject) -> dict[int, set[int]]:
    """Return the subject's events in each replay, approval or closing, by the key of the request.

    A delivery names only its last request, so the audit entries are read too.
    """
    replays: dict[int, set[int]] = defaultdict(set)
    deliveries = subject.deliveries
    attempts = Attempt.objects.filter(delivery__in=deliveries.values("pk"), person_request__isnull=False)
    every: tuple[Iterable[tuple[Any, Any]], ...] = (
        attempts.values_list("person_request", "delivery__event"),
        deliveries.filter(person_request__isnull=False).values_list("person_request", "event"),
        PersonRequestMember.objects.filter(event__in=subject.events.values("pk")).values_list(
            "person_request", "event"
        ),
        _replays_in_audit_log(subject),
    )
    for request, event in chain.from_iterable(every):
        replays[request].add(event)
    return replays


def _replays_in_audit_log(subject: ErasureSubject) -> Iterator[tuple[int, int]]:
    """Return (request, event) for each request that an audit entry of the subject's events and deliveries
    names.
    """
    streams = {event.stream: event.pk for event in subject.events.only("pk", "uuid")}
    streams |= {
        delivery.stream: delivery.event_id
        for delivery in subject.deliveries.select_related("event").only("event__uuid", "route_id")
    }
    names, named = list(streams), []
    for start in range(0, len(names), _STREAM_BATCH_SIZE):
        entries = Entry.objects.filter(
            stream__in=names[start : start + _STREAM_BATCH_SIZE], action__in=_REQUEST_ACTIONS
        )
        for stream, text in entries.values_list("stream", "details"):
            details = parse_details(text)
            uuid = details.get("person_request")
            # Someone may have changed the entry.
            if _is_uuid(uuid):
                named.append((uuid, streams[stream]))
    known = PersonRequest.objects.filter(uuid__in={uuid for uuid, _ in named})
    keys = {str(uuid): key for uuid, key in known.values_list("uuid", "pk")}
    return ((keys[uuid], event) for uuid, event in named if uuid in keys)


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(UUID(value))
    except ValueError:
        return False


def _payload_ids(subject: ErasureSubject) -> set[int]:
    keys = set(Payload.objects.filter(subject__in=subject.keys.values("pk")).values_list("pk", flat=True))
    return keys | payload_ids_of_events(list(subject.events.values_list("pk", flat=True)))


def payload_ids_of_events(events: list[int]) -> set[int]:
    """Return the ids of the payloads of events and of their receipts, attempts and calls."""
    attempts = Attempt.objects.filter(delivery__event__in=events)
    rows: tuple[tuple[QuerySet[Any], tuple[str, ...]], ...] = (
        (Event.objects.filter(pk__in=events), ("payload",)),
        (Receipt.objects.filter(event__in=events), ("payload", "answer")),
        (attempts, ("findings",)),
        (Call.objects.filter(attempt__in=attempts.values("pk")), ("request", "response")),
    )
    return {
        key
        for queryset, names in rows
        for row in queryset.values_list(*names)
        for key in row
        if key is not None
    }
