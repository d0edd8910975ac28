"""Everything that happened to one user, group or file, gathered in a bounded number of statements, each by an index."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.db.models import QuerySet

from console.deliveries.delivery_status import DeliveryStatus, describe_status, expired_claim_words
from console.ui.keyset import BY_RECEIVED_TIME, Cursor
from console.ui.outcome_texts import explain_outcome, is_replayable
from sync.deliveries.blockers import surroundings_of
from sync.models import Attempt, Cause, Connection, Delivery, Erasure, Link, Route
from webhooks.catalogue.codes import Words, is_about_identity
from webhooks.models import Event, Source, State, erased_id, is_erased, pseudonym

PAGE_SIZE = 50
MAX_OPEN = 50
MAX_LINKS = 50
MAX_ROUTES = 500
MAX_JUDGED = 1_000
_NEEDS_ATTENTION = (State.DEAD, State.HELD)
_RELATED = ("route__paused_by", "event__source__paused_by", "identity__breaker", "commercial__breaker")


@dataclass(frozen=True, slots=True)
class EntityQuery:
    """Which entity, and from which event on. `identity`: as that identity service knows it; 0 as any does."""

    entity_type: str
    entity_id: str
    identity: int = 0
    before: str = ""


@dataclass(frozen=True, slots=True)
class IdentityServiceRow:
    """The entity as one identity service knows it: who sends its events, and the records that it is linked to."""

    identity: Connection
    sources: tuple[Source, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One event of the timeline."""

    row: Event
    words: Words
    is_replayed: bool


@dataclass(frozen=True, slots=True)
class OpenDeliveryRow:
    """One delivery that is under way, and what keeps it."""

    row: Delivery
    words: Words
    status: DeliveryStatus


@dataclass(frozen=True, slots=True)
class EntityPage:
    """What the page shows. `may` names the parts that this person may see; what they may not is not read either.

    `needing`: how many of its newest thousand events failed or are held.
    """

    query: EntityQuery
    may: Mapping[str, bool]
    is_erased: bool
    identity_services: tuple[IdentityServiceRow, ...]
    timeline: tuple[TimelineRow, ...]
    older: str
    newest: Event | None
    needing: int
    under_way: tuple[OpenDeliveryRow, ...]
    erasures: tuple[Erasure, ...]
    pseudonyms: tuple[str, ...]

    @property
    def is_known(self) -> bool:
        """Whether there is anything to show."""
        linked = any(each.links for each in self.identity_services)
        return bool(self.newest or self.under_way or linked or self.erasures)

    @property
    def newest_needing(self) -> TimelineRow | None:
        """The newest one of this page of the timeline that needs somebody."""
        return next((each for each in self.timeline if each.row.state in _NEEDS_ATTENTION), None)

    @property
    def replay_is_next(self) -> bool:
        """Whether the newest event failed and the same again can succeed."""
        newest = self.newest
        return newest is not None and newest.state == State.DEAD and is_replayable(newest.code)


def build_entity_page(query: EntityQuery, may: Mapping[str, bool]) -> EntityPage:
    """Gather the page: fifteen statements at most, however much happened. `NoSuchFilter` for a place that is none."""
    subjects = _identity_services(query, with_links=may["links"])
    events = _entity_events(query, subjects)
    rows = list(_events_before(events, query.before).select_related("source")[: PAGE_SIZE + 1])
    newest = events.first() if query.before else next(iter(rows), None)
    more, rows = len(rows) > PAGE_SIZE, rows[:PAGE_SIZE]
    return EntityPage(
        query=query,
        may=may,
        is_erased=is_erased(query.entity_id),
        identity_services=subjects,
        timeline=_timeline_rows(rows, may),
        older=str(BY_RECEIVED_TIME.cursor_of(rows[-1])) if more else "",
        newest=newest,
        needing=_count_needing_attention(query),
        under_way=_open_deliveries(query) if may["deliveries"] else (),
        erasures=_recent_erasures(query) if may["erasures"] else (),
        pseudonyms=_earlier_pseudonyms(query) if may["erase"] else (),
    )


def known_types(entity_id: str) -> list[str]:
    """The types under which an id is known."""
    known = Event.objects.filter(entity_id=entity_id).order_by("-received_at", "-id")
    return sorted(set(known.values_list("entity_type", flat=True)[:1_000]))


def _identity_services(query: EntityQuery, *, with_links: bool) -> tuple[IdentityServiceRow, ...]:
    """By the routes there are, and by the links there are: routes may have changed since."""
    routes = Route.objects.filter(entity_type=query.entity_type).select_related("identity", "source")
    ways = list(routes.order_by("identity__name", "identity", "source__name")[:MAX_ROUTES])
    links = Link.objects.filter(entity_id=query.entity_id, entity_type=query.entity_type)
    found = (
        list(links.select_related("identity", "commercial").order_by("id")[:MAX_LINKS]) if with_links else []
    )
    known = {each.identity_id: each.identity for each in ways} | {
        each.identity_id: each.identity for each in found
    }
    return tuple(
        IdentityServiceRow(
            identity,
            tuple({each.source_id: each.source for each in ways if each.identity_id == key}.values()),
            tuple(each for each in found if each.identity_id == key),
        )
        for key, identity in known.items()
    )


def _entity_events(query: EntityQuery, subjects: Iterable[IdentityServiceRow]) -> QuerySet[Event]:
    """Newest first, by the index on the entity's id."""
    events = Event.objects.filter(entity_id=query.entity_id, entity_type=query.entity_type)
    if query.identity:
        senders = [
            source for each in subjects if each.identity.pk == query.identity for source in each.sources
        ]
        events = events.filter(source__in=senders)
    return events.order_by("-received_at", "-id")


def _count_needing_attention(query: EntityQuery) -> int:
    """Whoever sent them: a look at one identity service does not make the others well."""
    same = Event.objects.filter(entity_id=query.entity_id, entity_type=query.entity_type)
    states = same.order_by("-received_at", "-id").values_list("state", flat=True)[:MAX_JUDGED]
    return sum(state in _NEEDS_ATTENTION for state in states)


def _events_before(events: QuerySet[Event], cursor: str) -> QuerySet[Event]:
    return events.filter(BY_RECEIVED_TIME.older_than(Cursor.parse_cursor(cursor))) if cursor else events


def _timeline_rows(rows: Sequence[Event], may: Mapping[str, bool]) -> tuple[TimelineRow, ...]:
    deliveries = _delivery_values([row.pk for row in rows]) if may["deliveries"] and rows else []
    replayed = _replayed_events(deliveries) if may["attempts"] and deliveries else set()
    speakers = {
        (event, code): identity if is_about_identity(code) else commercial
        for _, event, code, identity, commercial in deliveries
    }
    return tuple(
        TimelineRow(
            row,
            explain_outcome(row.state, row.code, speakers.get((row.pk, row.code), "")),
            row.pk in replayed,
        )
        for row in rows
    )


def _delivery_values(events: Sequence[int]) -> list[tuple[Any, ...]]:
    """Key, event, code and the names of the two connections."""
    rows = Delivery.objects.filter(event__in=events)
    return list(rows.values_list("pk", "event", "code", "identity__name", "commercial__name"))


def _replayed_events(deliveries: Iterable[tuple[Any, ...]]) -> set[int]:
    """The events of which a person asked for an attempt."""
    owners = {key: event for key, event, *_ in deliveries}
    tried = Attempt.objects.filter(delivery__in=list(owners), cause=Cause.REPLAY)
    return {owners[key] for key in tried.values_list("delivery", flat=True)}


def _open_deliveries(query: EntityQuery) -> tuple[OpenDeliveryRow, ...]:
    same = Delivery.objects.open().filter(entity_id=query.entity_id, entity_type=query.entity_type)
    rows = list(same.select_related(*_RELATED).order_by("pk")[:MAX_OPEN])
    around = surroundings_of(rows, rows)
    shown = []
    for row in rows:
        found = describe_status(row, around)
        words = (
            expired_claim_words()
            if found.is_claim_expired
            else explain_outcome(row.state, row.code, row.system_of(row.code).name)
        )
        shown.append(OpenDeliveryRow(row, words, found))
    return tuple(shown)


def _recent_erasures(query: EntityQuery) -> tuple[Erasure, ...]:
    """Those that are asked for or under way; of a pseudonym the one that left it."""
    rows = Erasure.objects.filter(entity_id=query.entity_id, entity_type=query.entity_type)
    return tuple(rows.select_related("asked_by", "decided_by").order_by("-pk")[:5])


def _earlier_pseudonyms(query: EntityQuery) -> tuple[str, ...]:
    """What is left of an earlier life of this id, which was erased."""
    if is_erased(query.entity_id):
        return ()
    sources = Source.objects.order_by("pk").values_list("pk", flat=True)[:MAX_ROUTES]
    names = [erased_id(pseudonym(each, query.entity_type, query.entity_id)) for each in sources]
    found = (
        Event.objects.filter(entity_id__in=names).order_by("entity_id").values_list("entity_id", flat=True)
    )
    return tuple(name for name, _ in groupby(found[:1_000]))
