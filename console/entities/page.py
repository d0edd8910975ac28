"""Gather everything that happened to one user, group or file, in a bounded number of statements."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet

from config_schema.codes.codes import CodeTexts
from console.base.damaged_rows import load_rows
from console.deliveries.delivery_status import DeliveryStatus, describe_status, expired_claim_words
from console.entities.evidence import NOT_COMPARED, EntityEvidence, find_evidence
from console.entities.related import RelatedReplay, RelatedRequest, newest_replays, newest_requests
from console.entities.timeline import NEEDS_ATTENTION, TimelineRow, build_timeline, find_name
from console.ui.keyset import BY_RECEIVED_TIME, Cursor
from console.ui.outcome_texts import explain_outcome, explain_pause, is_replayable
from sync.deliveries.blockers import is_paused_by_person, load_contention_with
from sync.models import Connection, Delivery, Erasure, Link, Route
from webhooks.models import Event, Source, State, erased_entity_id, is_erased, pseudonym

PAGE_SIZE = 50
MAX_OPEN = 50
MAX_LINKS = 50
MAX_ROUTES = 500
MAX_JUDGED = 1_000
MAX_PROBLEMS = 5
_RELATED = ("route__paused_by", "event__source__paused_by", "identity__breaker", "target__breaker")


@dataclass(frozen=True, slots=True)
class EntityQuery:
    """The entity and the first event to show. `identity`: key of one identity service, or 0 for all that know the
    entity.
    """

    entity_type: str
    entity_id: str
    identity: int = 0
    before: str = ""


@dataclass(frozen=True, slots=True)
class IdentityServiceRow:
    """One identity service that knows the entity: the sources of its events, and the records that the entity is
    linked to. `unlinked_targets`: the targets of its routes that have no link yet.
    """

    identity: Connection
    sources: tuple[Source, ...]
    links: tuple[Link, ...]
    unlinked_targets: tuple[Connection, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenDeliveryRow:
    row: Delivery
    words: CodeTexts
    status: DeliveryStatus


@dataclass(frozen=True, slots=True)
class EntityPage:
    """The content of the page. `may` names the parts that this person may see; other parts are not read.

    `name`: of the person, group or file, for those who may see it. `attention_count`: the number of failed or held
    events among the newest thousand.
    """

    query: EntityQuery
    may: Mapping[str, bool]
    is_erased: bool
    name: str
    identity_services: tuple[IdentityServiceRow, ...]
    timeline: tuple[TimelineRow, ...]
    older: str
    newest: Event | None
    attention_count: int
    deliveries_in_progress: tuple[OpenDeliveryRow, ...]
    erasures: tuple[Erasure, ...]
    pseudonyms: tuple[str, ...]
    evidence: EntityEvidence = NOT_COMPARED
    requests: tuple[RelatedRequest, ...] = ()
    replays: tuple[RelatedReplay, ...] = ()

    @property
    def is_known(self) -> bool:
        linked = any(service.links for service in self.identity_services)
        return bool(self.timeline or self.newest or self.deliveries_in_progress or linked or self.erasures)

    @property
    def newest_needing_attention(self) -> TimelineRow | None:
        """Return the newest failed or held event on this page of the timeline."""
        return next((event for event in self.timeline if event.needs_attention), None)

    @property
    def open_problems(self) -> tuple[TimelineRow, ...]:
        """Return the newest failed or held events on this page of the timeline, at most five."""
        return tuple(event for event in self.timeline if event.needs_attention)[:MAX_PROBLEMS]

    @property
    def replay_is_next(self) -> bool:
        """Return True if the newest event failed and a replay of it can succeed."""
        newest = self.newest
        return newest is not None and newest.state == State.DEAD and is_replayable(newest.code)


def build_entity_page(query: EntityQuery, may: Mapping[str, bool]) -> EntityPage:
    """Load the page, by 22 statements at most. Raises InvalidFilter for an invalid cursor."""
    subjects = _identity_services(query, with_links=may["links"])
    deliveries_in_progress = _open_deliveries(query) if may["deliveries"] else ()
    events = _entity_events(query, subjects)
    # One event more than a page holds tells whether there are older ones.
    before = _events_before(events, query.before).select_related("source")
    rows = load_rows(before[: PAGE_SIZE + 1])
    # On a later page the newest event is not among the rows.
    newest_rows = load_rows(events[:1]) if query.before else rows
    more, rows = len(rows) > PAGE_SIZE, rows[:PAGE_SIZE]
    keys = [row.pk for row in rows]
    return EntityPage(
        query=query,
        may=may,
        is_erased=is_erased(query.entity_id),
        identity_services=subjects,
        name=find_name(rows) if may["contents"] and rows else "",
        timeline=build_timeline(rows, may, on_hold=_events_on_hold(deliveries_in_progress)),
        older=str(BY_RECEIVED_TIME.cursor_of(rows[-1])) if more else "",
        newest=next(iter(newest_rows), None),
        attention_count=_count_needing_attention(query),
        deliveries_in_progress=deliveries_in_progress,
        erasures=_recent_erasures(query) if may["erasures"] else (),
        pseudonyms=_earlier_pseudonyms(query) if may["erase"] else (),
        evidence=find_evidence(query.entity_type, query.entity_id),
        requests=newest_requests(keys) if may["requests"] and keys else (),
        replays=newest_replays(keys) if may["replays"] and keys else (),
    )


def known_types(entity_id: str) -> list[str]:
    """Return the entity types under which an id is known."""
    known = Event.objects.filter(entity_id=entity_id).order_by("-received_at", "-id")
    # Bounded: among its newest thousand events an id has all the types it is known under.
    return sorted(set(known.values_list("entity_type", flat=True)[:1_000]))


def _identity_services(query: EntityQuery, *, with_links: bool) -> tuple[IdentityServiceRow, ...]:
    """Return the identity services that know the entity, by its events and its links: routes may have changed since it
    was linked. If none does, all that have routes for its type.
    """
    same = Event.objects.filter(
        source=OuterRef("source"), entity_id=query.entity_id, entity_type=query.entity_type
    )
    matching = Route.objects.filter(entity_type=query.entity_type).annotate(has_events=Exists(same))
    matching = matching.select_related("identity", "source", "target")
    routes = list(matching.order_by("identity__name", "identity", "source__name")[:MAX_ROUTES])
    of_entity = Link.objects.filter(entity_id=query.entity_id, entity_type=query.entity_type)
    with_systems = of_entity.select_related("identity", "target")
    links = list(with_systems.order_by("id")[:MAX_LINKS]) if with_links else []
    known = {route.identity_id: route.identity for route in routes} | {
        link.identity_id: link.identity for link in links
    }
    knowing = {route.identity_id for route in routes if route.has_events}
    knowing |= {link.identity_id for link in links} | ({query.identity} & known.keys())
    return tuple(
        IdentityServiceRow(
            identity,
            tuple({route.source_id: route.source for route in routes if route.identity_id == key}.values()),
            tuple(link for link in links if link.identity_id == key),
            _unlinked_targets(key, routes, links),
        )
        for key, identity in known.items()
        if key in knowing or not knowing
    )


def _unlinked_targets(
    identity: int, routes: Iterable[Route], links: Iterable[Link]
) -> tuple[Connection, ...]:
    linked = {link.target_id for link in links if link.identity_id == identity}
    targets = {route.target_id: route.target for route in routes if route.identity_id == identity}
    return tuple(target for key, target in targets.items() if key not in linked)


def _entity_events(query: EntityQuery, services: Iterable[IdentityServiceRow]) -> QuerySet[Event]:
    """Return the entity's events, newest first, by the index on its id."""
    events = Event.objects.filter(entity_id=query.entity_id, entity_type=query.entity_type)
    if query.identity:
        senders = [
            source
            for service in services
            if service.identity.pk == query.identity
            for source in service.sources
        ]
        events = events.filter(source__in=senders)
    return events.order_by("-received_at", "-id")


def _count_needing_attention(query: EntityQuery) -> int:
    """Count the entity's failed and held events, of all sources: one identity service does not speak for the
    others.
    """
    same = Event.objects.filter(entity_id=query.entity_id, entity_type=query.entity_type)
    # Compared in the database: a state that cannot be read is none of these.
    needs = ExpressionWrapper(Q(state__in=NEEDS_ATTENTION), BooleanField())
    newest = same.annotate(needs=needs).order_by("-received_at", "-id")
    return sum(newest.values_list("needs", flat=True)[:MAX_JUDGED])


def _events_before(events: QuerySet[Event], cursor: str) -> QuerySet[Event]:
    return events.filter(BY_RECEIVED_TIME.older_than(Cursor.parse_cursor(cursor))) if cursor else events


def _open_deliveries(query: EntityQuery) -> tuple[OpenDeliveryRow, ...]:
    same = Delivery.objects.open().filter(entity_id=query.entity_id, entity_type=query.entity_type)
    # `+ 0`: PostgreSQL would rather read all deliveries in the order of their keys than sort those of the entity.
    rows = load_rows(same.select_related(*_RELATED).order_by(F("pk") + 0)[:MAX_OPEN])
    around = load_contention_with(rows, rows)
    shown = ((row, describe_status(row, around)) for row in rows)
    return tuple(OpenDeliveryRow(row, _open_words(row, status), status) for row, status in shown)


def _open_words(row: Delivery, status: DeliveryStatus) -> CodeTexts:
    if status.is_claim_expired:
        return expired_claim_words()
    if is_paused_by_person(row):
        return explain_pause()
    return explain_outcome(row.state, row.code, row.connection_of_code(row.code).name)


def _events_on_hold(rows: Iterable[OpenDeliveryRow]) -> set[int]:
    """Return the events that wait because their source or route is paused."""
    return {row.row.event_id for row in rows if is_paused_by_person(row.row)}


def _recent_erasures(query: EntityQuery) -> tuple[Erasure, ...]:
    """Return the newest erasures of the entity; for a pseudonym, the erasure that left it."""
    rows = Erasure.objects.filter(entity_id=query.entity_id, entity_type=query.entity_type)
    return tuple(rows.select_related("requested_by", "decided_by").order_by("-pk")[:5])


def _earlier_pseudonyms(query: EntityQuery) -> tuple[str, ...]:
    """Return the pseudonyms under which earlier, erased events of this id remain."""
    if is_erased(query.entity_id):
        return ()
    sources = Source.objects.order_by("pk").values_list("pk", flat=True)[:MAX_ROUTES]
    names = [erased_entity_id(pseudonym(source, query.entity_type, query.entity_id)) for source in sources]
    remaining = (
        Event.objects.filter(entity_id__in=names).order_by("entity_id").values_list("entity_id", flat=True)
    )
    return tuple(name for name, _ in groupby(remaining[:1_000]))
