"""What part of the event history is meant: one value for the list, for exports and for the command.

People ask in words (a query string, options of a command). `resolve` makes of them what stays the same whenever it is
read: times are absolute, and a searched text is what it was taken for. `words` gives it back as words, for a manifest
and for `resolve` at any later time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from audit.format.signed_records import format_time
from sync.models import Connection, ConnectionSide, Delivery
from sync.search.event_search import Found, Match, find_events, found_again
from sync.search.periods import NoSuchFilter, span
from webhooks.catalogue.codes import CATALOGUE
from webhooks.models import Source, State

EVENT_TYPES = ("CREATE", "UPDATE", "DELETE")
OTHER = "other"

_PLAIN = ("state", "code", "commercial", "entity_type", "event_type", "source", "entity_id")
PERSONAL_PARAMS = ("entity_id", "q")  # what they ask for can say who a person is
WORDS = (*_PLAIN, "received", "received_from", "received_to", "q")
NEEDS_SOMEBODY = f"{State.DEAD},{State.HELD}"
_UNHAPPY = (State.DEAD, State.HELD, State.RETRYING, State.RUNNING, State.PENDING, State.CLOSED)
_TAKEN_FOR = "q_taken_for"
_NOTHING_SEARCHED = Found(Q(), Match.NOT_SEARCHED, "")


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Empty members leave everything in. `state` may be several with commas between them. `received_from` is
    included, `received_to` is not.

    `code` is why; with `commercial`, the slug of a connection at either side, that of the delivery by it, and `state`
    is the event's.
    """

    state: str = ""
    code: str = ""
    commercial: str = ""
    entity_type: str = ""
    event_type: str = ""
    source: str = ""
    entity_id: str = ""
    received_from: datetime | None = None
    received_to: datetime | None = None
    q: str = ""
    found: Found = field(default=_NOTHING_SEARCHED)

    @property
    def is_of_times_only(self) -> bool:
        """Whether it takes everything that arrived within its times."""
        return not any((*(getattr(self, name) for name in _PLAIN), self.q))

    @property
    def is_narrow(self) -> bool:
        """Whether it leaves anything out."""
        return not self.is_of_times_only or bool(self.received_from or self.received_to)

    @property
    def states(self) -> tuple[str, ...]:
        """The states that are meant; empty: all. A reason alone means those that can have it: one index finds them."""
        if self.state:
            return tuple(self.state.split(","))
        entry = None if self.commercial else CATALOGUE.get(self.code)
        return () if entry is None or entry.status < 400 else _UNHAPPY

    def in_state(self, state: str) -> "EventFilter":
        """The same, of one of its states only."""
        return replace(self, state=state)

    def narrow(self, events: QuerySet[Any]) -> QuerySet[Any]:
        """The events among these that are meant."""
        for condition in self._conditions():
            events = events.filter(condition)
        return events

    def _conditions(self) -> Iterator[Q]:
        if states := self.states:
            yield Q(state__in=states) if len(states) > 1 else Q(state=states[0])
        if self.commercial:
            yield self._sent_there()
        elif self.code:
            yield Q(code=self.code)
        if self.entity_type:
            yield Q(entity_type=self.entity_type)
        if self.event_type == OTHER:
            yield ~Q(event_type__in=EVENT_TYPES)
        elif self.event_type:
            yield Q(event_type=self.event_type)
        if self.source:
            # The key, not a join: the index on source and time answers this in order.
            key = Source.objects.filter(slug=self.source).values_list("pk", flat=True).first()
            yield Q(source_id=key) if key else Q(pk__in=[])
        if self.entity_id:
            yield Q(entity_id=self.entity_id)
        if self.received_from:
            yield Q(received_at__gte=self.received_from)
        if self.received_to:
            yield Q(received_at__lt=self.received_to)
        if self.q:
            yield self.found.condition

    def _sent_there(self) -> Q:
        """That a delivery went by one connection: of failed ones by an index on what is dead. An event shows the worst
        of its deliveries, and that is the worst: one that failed did so there.
        """
        there = Connection.objects.filter(slug=self.commercial).values_list("side", "pk").first()
        side, key = there or (ConnectionSide.TARGET, 0)
        sent = Delivery.objects.filter(**{side: key})
        if self.code:
            sent = sent.filter(code=self.code)
        if State.DEAD not in self.states:
            return Q(pk__in=sent.values("event_id"))
        dead = sent.filter(state=State.DEAD)
        if len(self.states) == 1:
            return Q(pk__in=dead.values("event_id"))
        failed_there, went_there = (Exists(each.filter(event=OuterRef("pk"))) for each in (dead, sent))
        return Q(failed_there) | Q(~Q(state=State.DEAD), went_there)

    def words(self) -> dict[str, str]:
        """What `resolve` makes the same value of, at any time."""
        said = {name: getattr(self, name) for name in _PLAIN}
        times = {name: getattr(self, name) for name in ("received_from", "received_to")}
        said |= {name: format_time(at) for name, at in times.items() if at}
        said |= {"q": self.q, _TAKEN_FOR: self.found.kind} if self.q else {}
        return {name: value for name, value in said.items() if value}


def resolve(words: Mapping[str, str], now: datetime) -> EventFilter:
    """What these words mean at this moment; words that are no filter are passed over. `NoSuchFilter`."""
    given = {name: value for name in (*WORDS, _TAKEN_FOR) if (value := words.get(name, ""))}
    if any("\0" in value for value in given.values()):
        raise NoSuchFilter("no text that a database takes")
    begin, end = span(given, "received", now)
    term = given.get("q", "").strip()
    return EventFilter(
        **{name: given.get(name, "") for name in _PLAIN},
        received_from=begin,
        received_to=end,
        q=term,
        found=_found(term, given.get(_TAKEN_FOR, "")),
    )


def _found(term: str, kind: str) -> Found:
    if not term:
        return _NOTHING_SEARCHED
    return found_again(kind, term) if kind else find_events(term)
