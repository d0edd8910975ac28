"""Members of a request that makes differences equal: entities, whose event is made when it is sent.

They are selected from the differences of a comparison in bounded batches, and sent as the events of a bulk replay are.
The event, its delivery and the state of the member are one commit, so none is made twice.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import F, QuerySet
from django.utils import timezone

from audit.entries.append import NewEntry
from audit.format.canonical_json import JSONValue
from sync.deliveries.routes import ResolvedRoute, get_resolved_route
from sync.models import (
    Comparison,
    Delivery,
    Difference,
    DifferenceKind,
    Erasure,
    ErasureState,
    MemberState,
    PersonRequest,
    PersonRequestMember,
    PersonRequestState,
    Route,
    SkipReason,
)
from sync.replays.made_events import MadeEvents, make_events
from webhooks.made_events import EventMaker, lock_subjects
from webhooks.models import EventOrigin, State, is_erased

_STARTED = (PersonRequestState.AWAITING, PersonRequestState.RUNNING, PersonRequestState.PAUSED)
EQUALISED_ACTION = "comparison.equalised"
EVENT_TYPES: Mapping[str, str] = {
    DifferenceKind.DIFFERS: "UPDATE",
    DifferenceKind.MISSING_RECORD: "UPDATE",
    DifferenceKind.ENTITY_GONE: "DELETE",
}


def add_entity_members(replay: PersonRequest, differences: Sequence[Difference]) -> None:
    """Add the entities of these differences to a selection, each once, in the transaction of the caller."""
    assert replay.route is not None, "only a request for a route has entities"
    now, by_entity = timezone.now(), {difference.entity_id: difference for difference in differences}
    members = PersonRequestMember.objects.filter(person_request=replay, entity_id__in=by_entity)
    for entity_id in members.values_list("entity_id", flat=True):
        del by_entity[entity_id]
    # No new row names an entity that is being erased.
    for entity_id in erased_entities(replay.route, by_entity):
        del by_entity[entity_id]
    skipped = find_skipped_entities(by_entity, replay.route, replay)
    PersonRequestMember.objects.bulk_create(
        PersonRequestMember(
            person_request=replay,
            entity_id=entity_id,
            event_type=EVENT_TYPES[difference.kind],
            state=MemberState.SKIPPED if entity_id in skipped else MemberState.WAITING,
            why=skipped.get(entity_id, ""),
            at=now,
        )
        for entity_id, difference in by_entity.items()
    )
    PersonRequest.objects.filter(pk=replay.pk).update(
        total=F("total") + len(by_entity), skipped=F("skipped") + len(skipped)
    )
    replay.total += len(by_entity)
    replay.skipped += len(skipped)


def find_skipped_entities(
    entity_ids: Collection[str], route: Route, request: PersonRequest | None = None
) -> dict[str, SkipReason]:
    """Return the reason for each entity that is not sent for a route now, by its id: a few statements for any number.

    `request`: the one that they are members of.
    """
    if not route.is_enabled:
        return dict.fromkeys(entity_ids, SkipReason.UNROUTED)
    if route.mode == Route.Mode.OBSERVE:
        return dict.fromkeys(entity_ids, SkipReason.OBSERVES)
    found = (
        (SkipReason.IN_DELIVERY, _entities_in_delivery(route, entity_ids)),
        (SkipReason.OTHER_REPLAY, _entities_of_other_requests(route, entity_ids, request)),
        (SkipReason.ERASED, erased_entities(route, entity_ids)),
    )
    return {entity_id: reason for reason, entities in found for entity_id in entities}


def _entities_in_delivery(route: Route, entity_ids: Collection[str]) -> set[str]:
    """Return the entities that a delivery of the route's pair waits, is retried or runs for."""
    # `open()`: the index of open deliveries begins with the entity.
    deliveries = Delivery.objects.open().filter(
        identity=route.identity_id,
        target=route.target_id,
        entity_type=route.entity_type,
        entity_id__in=entity_ids,
    )
    # A held delivery lets others pass: a person decides about it, and a later success supersedes it.
    return set(deliveries.exclude(state=State.HELD).values_list("entity_id", flat=True))


def erased_entities(route: Route, entity_ids: Collection[str]) -> set[str]:
    """Return the entities that were erased, or whose erasure was confirmed."""
    confirmed = Erasure.objects.filter(
        state=ErasureState.CONFIRMED, entity_type=route.entity_type, entity_id__in=entity_ids
    )
    erased = {
        entity_id
        for entity_id, sources in confirmed.values_list("entity_id", "sources")
        if route.source_id in sources
    }
    return erased | {entity_id for entity_id in entity_ids if is_erased(entity_id)}


def _entities_of_other_requests(
    route: Route, entity_ids: Collection[str], request: PersonRequest | None
) -> set[str]:
    """Return the entities that another request for the same pair will send. Of two started ones, the older one does."""
    others = PersonRequest.objects.filter(
        state__in=_STARTED,
        route__identity=route.identity_id,
        route__target=route.target_id,
        route__entity_type=route.entity_type,
    )
    if request is not None and request.started_at is not None:
        others = others.filter(pk__lt=request.pk)
    elif request is not None:
        others = others.exclude(pk=request.pk)
    members = PersonRequestMember.objects.filter(
        person_request__in=list(others.values_list("pk", flat=True)),
        entity_id__in=entity_ids,
        state=MemberState.WAITING,
    )
    return set(members.values_list("entity_id", flat=True))


def waiting_entities(replay: PersonRequest) -> QuerySet[PersonRequestMember]:
    """Select the members of a request that wait, oldest first, through the index `member_at`."""
    members = PersonRequestMember.objects.filter(person_request=replay, state=MemberState.WAITING)
    return members.order_by("at", "pk")


@dataclass(frozen=True, slots=True)
class SentMembers:
    """How many members were sent and skipped, the deliveries, and the audit entries, which the caller appends."""

    sent: int
    skipped: int
    deliveries: Sequence[int]
    entries: Sequence[NewEntry]


def send_entities(replay: PersonRequest, members: Sequence[PersonRequestMember], limit: int) -> SentMembers:
    """Make the events of at most `limit` of these members, and mark the members.

    Call it in the transaction that has locked the request.
    """
    assert replay.route is not None, "only a request for a route has entities"
    resolved = get_resolved_route(replay.route.pk)
    # Checked again: since the selection an entity may have been erased, or a webhook may have come.
    skipped = find_skipped_entities([member.entity_id for member in members], replay.route, replay)
    chosen, passed = _choose_members(members, skipped, limit)
    chosen = _lock_subjects(resolved, chosen)
    types = {member.entity_id: member.event_type for member in chosen}
    made = make_events(resolved, types, maker_for(replay, {"of": replay.total}), replay)
    _mark_sent(chosen, made)
    for member in passed:
        member.state, member.why, member.at = MemberState.SKIPPED, skipped[member.entity_id], timezone.now()
    PersonRequestMember.objects.bulk_update(passed, ["state", "why", "at"])
    return SentMembers(len(chosen), len(passed), made.deliveries, made.entries)


def _choose_members(
    members: Sequence[PersonRequestMember], skipped: Collection[str], limit: int
) -> tuple[list[PersonRequestMember], list[PersonRequestMember]]:
    """Return the first `limit` members that are sent, and the skipped ones before the next."""
    chosen: list[PersonRequestMember] = []
    passed: list[PersonRequestMember] = []
    for member in members:
        if member.entity_id in skipped:
            passed.append(member)
        elif len(chosen) == limit:
            break
        else:
            chosen.append(member)
    return chosen, passed


def _lock_subjects(
    resolved: ResolvedRoute, members: Sequence[PersonRequestMember]
) -> list[PersonRequestMember]:
    """Lock the keys of entities against an erasure. Returns the members without those whose erasure was confirmed
    meanwhile: it replaces their ids once the request, which the caller has locked, is free.
    """
    route, entity_ids = resolved.route, [member.entity_id for member in members]
    lock_subjects(route.source, route.entity_type, entity_ids)
    erased = erased_entities(route, entity_ids)
    return [member for member in members if member.entity_id not in erased]


def _mark_sent(members: Sequence[PersonRequestMember], made: MadeEvents) -> None:
    now = timezone.now()
    for member in members:
        # From now on the event says which entity it is.
        member.event, member.entity_id = made.events[member.entity_id], ""
        member.state, member.at = MemberState.SENT, now
    PersonRequestMember.objects.bulk_update(members, ["event", "entity_id", "state", "at"])


def maker_for(request: PersonRequest, details: Mapping[str, JSONValue]) -> EventMaker:
    """Return what makes the events of a person's request. `details` are added to their audit entries."""
    return EventMaker(
        EventOrigin.COMPARISON,
        request.pk,
        f"person:{request.requested_by_id}",
        {"person_request": str(request.uuid), **details},
    )


def equalised_entries(
    comparison: Comparison | None, actor: str, details: Mapping[str, JSONValue]
) -> list[NewEntry]:
    """Return the entry that differences of a comparison are made equal; none without a comparison."""
    return [] if comparison is None else [NewEntry(comparison.stream, EQUALISED_ACTION, actor, details)]
