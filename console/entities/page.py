"""Everything that happened to one user, group or file, gathered in a bounded number of statements, each by an index."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.db.models import QuerySet

from console.deliveries.status import Standing, gone, standing
from console.ui.keyset import BY_RECEIVED_TIME, Cursor
from console.ui.outcome_texts import explain_outcome, is_replayable
from sync.deliveries.blockers import surroundings_of
from sync.models import Attempt, Cause, Connection, Delivery, Erasure, Link, Route
from webhooks.catalogue.codes import Words, is_about_identity
from webhooks.models import Event, Source, State, erased_id, is_erased, pseudonym

PAGE = 50
MOST_OPEN = 50
MOST_LINKS = 50
MOST_ROUTES = 500
MOST_JUDGED = 1_000
_NEEDS_SOMEBODY = (State.DEAD, State.HELD)
_RELATED = ("route__paused_by", "event__source__paused_by", "identity__breaker", "commercial__breaker")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entity, and from which event on. `identity`: as that identity service knows it; 0 as any does."""

    entity_type: str
    entity_id: str
    identity: int = 0
    before: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """The entity as one identity service knows it: who sends its events, and the records that it is linked to."""

    identity: Connection
    sources: tuple[Source, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event of the timeline."""

    row: Event
    words: Words
    is_replayed: bool


@dataclass(frozen=True, slots=True)
class OpenRow:
    """One delivery that is under way, and what keeps it."""

    row: Delivery
    words: Words
    standing: Standing


@dataclass(frozen=True, slots=True)
class EntityPage:
    """What the page shows. `may` names the parts that this person may see; what they may not is not read either.

    `needing`: how many of its newest thousand events failed or are held.
    """

    wanted: Wanted
    may: Mapping[str, bool]
    is_erased: bool
    subjects: tuple[Subject, ...]
    timeline: tuple[EventRow, ...]
    older: str
    newest: Event | None
    needing: int
    under_way: tuple[OpenRow, ...]
    erasures: tuple[Erasure, ...]
    pseudonyms: tuple[str, ...]

    @property
    def is_known(self) -> bool:
        """Whether there is anything to show."""
        linked = any(each.links for each in self.subjects)
        return bool(self.newest or self.under_way or linked or self.erasures)

    @property
    def newest_needing(self) -> EventRow | None:
        """The newest one of this page of the timeline that needs somebody."""
        return next((each for each in self.timeline if each.row.state in _NEEDS_SOMEBODY), None)

    @property
    def replay_is_next(self) -> bool:
        """Whether the newest event failed and the same again can succeed."""
        newest = self.newest
        return newest is not None and newest.state == State.DEAD and is_replayable(newest.code)


def entity_page(wanted: Wanted, may: Mapping[str, bool]) -> EntityPage:
    """Gather the page: fifteen statements at most, however much happened. `NoSuchFilter` for a place that is none."""
    subjects = _subjects(wanted, with_links=may["links"])
    events = _events(wanted, subjects)
    rows = list(_before(events, wanted.before).select_related("source")[: PAGE + 1])
    newest = events.first() if wanted.before else next(iter(rows), None)
    more, rows = len(rows) > PAGE, rows[:PAGE]
    return EntityPage(
        wanted=wanted,
        may=may,
        is_erased=is_erased(wanted.entity_id),
        subjects=subjects,
        timeline=_timeline(rows, may),
        older=str(BY_RECEIVED_TIME.cursor_of(rows[-1])) if more else "",
        newest=newest,
        needing=_needing(wanted),
        under_way=_under_way(wanted) if may["deliveries"] else (),
        erasures=_erasures(wanted) if may["erasures"] else (),
        pseudonyms=_pseudonyms(wanted) if may["erase"] else (),
    )


def types_of(entity_id: str) -> list[str]:
    """The types under which an id is known."""
    known = Event.objects.filter(entity_id=entity_id).order_by("-received_at", "-id")
    return sorted(set(known.values_list("entity_type", flat=True)[:1_000]))


def _subjects(wanted: Wanted, *, with_links: bool) -> tuple[Subject, ...]:
    """By the routes there are, and by the links there are: routes may have changed since."""
    routes = Route.objects.filter(entity_type=wanted.entity_type).select_related("identity", "source")
    ways = list(routes.order_by("identity__name", "identity", "source__name")[:MOST_ROUTES])
    links = Link.objects.filter(entity_id=wanted.entity_id, entity_type=wanted.entity_type)
    found = (
        list(links.select_related("identity", "commercial").order_by("id")[:MOST_LINKS]) if with_links else []
    )
    known = {each.identity_id: each.identity for each in ways} | {
        each.identity_id: each.identity for each in found
    }
    return tuple(
        Subject(
            identity,
            tuple({each.source_id: each.source for each in ways if each.identity_id == key}.values()),
            tuple(each for each in found if each.identity_id == key),
        )
        for key, identity in known.items()
    )


def _events(wanted: Wanted, subjects: Iterable[Subject]) -> QuerySet[Event]:
    """Newest first, by the index on the entity's id."""
    events = Event.objects.filter(entity_id=wanted.entity_id, entity_type=wanted.entity_type)
    if wanted.identity:
        senders = [
            source for each in subjects if each.identity.pk == wanted.identity for source in each.sources
        ]
        events = events.filter(source__in=senders)
    return events.order_by("-received_at", "-id")


def _needing(wanted: Wanted) -> int:
    """Whoever sent them: a look at one identity service does not make the others well."""
    same = Event.objects.filter(entity_id=wanted.entity_id, entity_type=wanted.entity_type)
    states = same.order_by("-received_at", "-id").values_list("state", flat=True)[:MOST_JUDGED]
    return sum(state in _NEEDS_SOMEBODY for state in states)


def _before(events: QuerySet[Event], place: str) -> QuerySet[Event]:
    return events.filter(BY_RECEIVED_TIME.older_than(Cursor.parse_cursor(place))) if place else events


def _timeline(rows: Sequence[Event], may: Mapping[str, bool]) -> tuple[EventRow, ...]:
    deliveries = _deliveries([row.pk for row in rows]) if may["deliveries"] and rows else []
    replayed = _replayed(deliveries) if may["attempts"] and deliveries else set()
    speakers = {
        (event, code): identity if is_about_identity(code) else commercial
        for _, event, code, identity, commercial in deliveries
    }
    return tuple(
        EventRow(
            row,
            explain_outcome(row.state, row.code, speakers.get((row.pk, row.code), "")),
            row.pk in replayed,
        )
        for row in rows
    )


def _deliveries(events: Sequence[int]) -> list[tuple[Any, ...]]:
    """Key, event, code and the names of the two connections."""
    rows = Delivery.objects.filter(event__in=events)
    return list(rows.values_list("pk", "event", "code", "identity__name", "commercial__name"))


def _replayed(deliveries: Iterable[tuple[Any, ...]]) -> set[int]:
    """The events of which a person asked for an attempt."""
    owners = {key: event for key, event, *_ in deliveries}
    tried = Attempt.objects.filter(delivery__in=list(owners), cause=Cause.REPLAY)
    return {owners[key] for key in tried.values_list("delivery", flat=True)}


def _under_way(wanted: Wanted) -> tuple[OpenRow, ...]:
    same = Delivery.objects.open().filter(entity_id=wanted.entity_id, entity_type=wanted.entity_type)
    rows = list(same.select_related(*_RELATED).order_by("pk")[:MOST_OPEN])
    around = surroundings_of(rows, rows)
    shown = []
    for row in rows:
        found = standing(row, around)
        words = (
            gone() if found.is_gone else explain_outcome(row.state, row.code, row.system_of(row.code).name)
        )
        shown.append(OpenRow(row, words, found))
    return tuple(shown)


def _erasures(wanted: Wanted) -> tuple[Erasure, ...]:
    """Those that are asked for or under way; of a pseudonym the one that left it."""
    rows = Erasure.objects.filter(entity_id=wanted.entity_id, entity_type=wanted.entity_type)
    return tuple(rows.select_related("asked_by", "decided_by").order_by("-pk")[:5])


def _pseudonyms(wanted: Wanted) -> tuple[str, ...]:
    """What is left of an earlier life of this id, which was erased."""
    if is_erased(wanted.entity_id):
        return ()
    sources = Source.objects.order_by("pk").values_list("pk", flat=True)[:MOST_ROUTES]
    names = [erased_id(pseudonym(each, wanted.entity_type, wanted.entity_id)) for each in sources]
    found = (
        Event.objects.filter(entity_id__in=names).order_by("entity_id").values_list("entity_id", flat=True)
    )
    return tuple(name for name, _ in groupby(found[:1_000]))
