"""Filter of the event history, shared by the list, the exports and the command line.

People give query parameters or command options. `resolve_filter` turns them into a value with a fixed
meaning: times are absolute, and a search term keeps the kind that it was recognized as. `to_params` turns the
value back into parameters, for a manifest or a later `resolve_filter`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.lookups import Exact, In

from audit.format.signed_records import format_time
from config_schema.codes.codes import CATALOGUE, HELD_EVENT_CODES, IGNORED_EVENT_CODES
from database.lookups.without_index import WithoutIndex
from sync.models import Connection, ConnectionSide, Delivery, FailureGroup
from sync.models.failure import dead_deliveries_of
from sync.search.event_search import SearchKind, SearchMatch, repeat_search, search_events
from sync.search.time_ranges import InvalidFilter, parse_range
from sync.search.waiting_deliveries import deliveries_waiting_for
from webhooks.models import Source, State

EVENT_TYPES = ("CREATE", "UPDATE", "DELETE")
OTHER_TYPE = "other"

_PLAIN_PARAMS = (
    "state",
    "code",
    "target",
    "failure_group",
    "waits_for",
    "entity_type",
    "event_type",
    "source",
    "entity_id",
)
# Those that may list several values.
LISTING_PARAMS = ("state", "code", "event_type", "source")
# Their values can identify a person.
PERSONAL_PARAMS = ("entity_id", "q")
FILTER_PARAMS = (*_PLAIN_PARAMS, "received", "received_from", "received_to", "q")
NEEDS_ATTENTION = f"{State.DEAD},{State.HELD}"
_STATES_WITH_CODE = (State.DEAD, State.HELD, State.RETRYING, State.RUNNING, State.PENDING, State.CLOSED)
# An event that is replayed keeps its code until an attempt has a result.
_STATES_WITH_IGNORED_CODE = (State.IGNORED, State.RETRYING, State.RUNNING, State.PENDING)
# In each of these are fewer events, as a rule, than a source has sent.
_RARE_STATES = frozenset(_STATES_WITH_CODE)
# Several values of one filter are separated by commas. This mark before the first leaves events with any of them out.
EXCLUDED = "!"
_MAX_VALUES = 50
# No word of a filter that the console offers is longer; an id of an entity has at most 255 characters.
MAX_WORD_LENGTH = 400
_SEARCH_KIND = "q_taken_for"
_NO_SEARCH = SearchMatch(Q(), SearchKind.NOT_SEARCHED, "")


def split_values(text: str) -> tuple[tuple[str, ...], bool]:
    """Return the values of a filter, each once, and True if events with one of them are left out."""
    values = text.removeprefix(EXCLUDED).split(",")
    return tuple(dict.fromkeys(filter(None, values))), text.startswith(EXCLUDED)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Filter of events. Empty fields match everything. `state`, `code`, `event_type` and `source` may list several
    values, or those to leave out: see `split_values`. `received_from` is inclusive, `received_to` exclusive.

    `code` is the reason of the event, or of the delivery by the connection whose slug is in `target`
    (either side). `failure_group` is the key of the group whose failures are selected. `state` is always that of the
    event. `waits_for` is the slug of a connection for which a delivery waits.
    """

    state: str = ""
    code: str = ""
    target: str = ""
    failure_group: str = ""
    waits_for: str = ""
    entity_type: str = ""
    event_type: str = ""
    source: str = ""
    entity_id: str = ""
    received_from: datetime | None = None
    received_to: datetime | None = None
    q: str = ""
    search_match: SearchMatch = field(default=_NO_SEARCH)

    @property
    def filters_only_by_time(self) -> bool:
        """True if it matches every event within its times."""
        return not any((*(getattr(self, name) for name in _PLAIN_PARAMS), self.q))

    @property
    def is_restricted(self) -> bool:
        """True if it excludes anything."""
        return not self.filters_only_by_time or bool(self.received_from or self.received_to)

    @property
    def matching_states(self) -> tuple[str, ...]:
        """States to match, empty for all. A code alone implies the states that can have it, so that one index
        serves the query.
        """
        if self.state:
            return _known_states(self.state)
        codes, is_excluded = split_values(self.code)
        if self.target or is_excluded:
            return ()
        states = [_states_with_code(code) for code in codes]
        return tuple(dict.fromkeys(state for listed in states for state in listed)) if all(states) else ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Slugs of the sources to match, empty for all but excluded ones."""
        slugs, is_excluded = split_values(self.source)
        return () if is_excluded else slugs

    def with_state(self, state: str) -> "EventFilter":
        """Return a copy for one state only."""
        return replace(self, state=state)

    def with_source(self, slug: str) -> "EventFilter":
        """Return a copy for one source only."""
        return replace(self, source=slug)

    def apply_to(self, events: QuerySet[Any]) -> QuerySet[Any]:
        """Apply the filter to a queryset of events."""
        for condition in self._conditions():
            events = events.filter(condition)
        return events

    def _conditions(self) -> Iterator[Q]:
        if states := self.matching_states:
            yield Q(state__in=states) if len(states) > 1 else Q(state=states[0])
        yield from self._delivery_conditions()
        if self.entity_type:
            yield Q(entity_type=self.entity_type)
        if self.event_type:
            yield self._has_event_type()
        if self.source:
            yield self._came_from_source()
        if self.entity_id:
            yield Q(entity_id=self.entity_id)
        if self.received_from:
            yield Q(received_at__gte=self.received_from)
        if self.received_to:
            yield Q(received_at__lt=self.received_to)
        if self.q:
            yield self.search_match.condition

    def _has_event_type(self) -> Q:
        types, is_excluded = split_values(self.event_type)
        condition = Q(event_type__in=[name for name in types if name != OTHER_TYPE])
        if OTHER_TYPE in types:
            condition |= ~Q(event_type__in=EVENT_TYPES)
        return ~condition if is_excluded else condition

    def _came_from_source(self) -> Q:
        # Keys, not a join: the index on source and time answers this in order. That on state and time reads fewer
        # events, if the state is rare.
        slugs, is_excluded = split_values(self.source)
        states = self.matching_states
        column: Any = (
            WithoutIndex("source_id") if states and _RARE_STATES.issuperset(states) else F("source_id")
        )
        sources = Source.objects.order_by().filter(slug__in=slugs).values("pk")
        if len(slugs) == 1 and not is_excluded:
            return Q(Exact(column, Subquery(sources[:1])))
        condition = Q(In(column, [source["pk"] for source in sources]))
        return ~condition if is_excluded else condition

    def _delivery_conditions(self) -> Iterator[Q]:
        if self.target:
            yield self._went_through_connection()
        elif self.code:
            yield self._has_code()
        if self.failure_group:
            yield self._failed_with_group()
        if self.waits_for:
            connection = Connection.objects.filter(slug=self.waits_for).first()
            waiting = deliveries_waiting_for(connection) if connection else Delivery.objects.none()
            yield Q(pk__in=waiting.values("event_id"))

    def _has_code(self) -> Q:
        codes, is_excluded = split_values(self.code)
        condition = Q(code=codes[0]) if len(codes) == 1 else Q(code__in=codes)
        return ~condition if is_excluded else condition

    def _went_through_connection(self) -> Q:
        """Return the condition that a delivery used the connection.

        Failed deliveries are found by an index on dead ones. An event shows the worst state of its
        deliveries, and dead is the worst: a dead event that matches has failed at this connection.
        """
        connection = Connection.objects.filter(slug=self.target).values_list("side", "pk").first()
        # No connection has the key 0: nothing matches.
        side, key = connection or (ConnectionSide.TARGET, 0)
        sent = Delivery.objects.filter(**{side: key})
        if self.code:
            sent = sent.filter(self._has_code())
        if State.DEAD not in self.matching_states:
            return Q(pk__in=sent.values("event_id"))
        dead = sent.filter(state=State.DEAD)
        if len(self.matching_states) == 1:
            return Q(pk__in=dead.values("event_id"))
        failed_there, went_there = (Exists(rows.filter(event=OuterRef("pk"))) for rows in (dead, sent))
        return Q(failed_there) | Q(~Q(state=State.DEAD), went_there)

    def _failed_with_group(self) -> Q:
        """Return the condition that a delivery failed for the reason of a group; an unknown group matches nothing."""
        digits = self.failure_group if self.failure_group.isascii() and self.failure_group.isdigit() else "0"
        group = FailureGroup.objects.filter(pk=int(digits[:18])).first()
        return Q(pk__in=dead_deliveries_of(group).values("event_id")) if group else Q(pk__in=[])

    def to_params(self) -> dict[str, str]:
        """Return the parameters from which `resolve_filter` builds an equal filter at any time."""
        params = {name: getattr(self, name) for name in _PLAIN_PARAMS}
        times = {name: getattr(self, name) for name in ("received_from", "received_to")}
        params |= {name: format_time(at) for name, at in times.items() if at}
        params |= {"q": self.q, _SEARCH_KIND: self.search_match.kind} if self.q else {}
        return {name: value for name, value in params.items() if value}


def resolve_filter(params: Mapping[str, str], now: datetime) -> EventFilter:
    """Resolve query parameters to a filter at this moment; unknown parameters are ignored. Raises
    InvalidFilter, also for words that are too long.
    """
    values = {name: value for name in (*FILTER_PARAMS, _SEARCH_KIND) if (value := params.get(name, ""))}
    # PostgreSQL refuses U+0000 in a text.
    if any("\0" in value for value in values.values()):
        raise InvalidFilter("a text that no database can store")
    if any(len(value) > MAX_WORD_LENGTH for value in values.values()):
        raise InvalidFilter("a value that is too long")
    if any(values.get(name, "").count(",") >= _MAX_VALUES for name in LISTING_PARAMS):
        raise InvalidFilter("too many values")
    begin, end = parse_range(values, "received", now)
    term = values.get("q", "").strip()
    return EventFilter(
        **{name: values.get(name, "") for name in _PLAIN_PARAMS},
        received_from=begin,
        received_to=end,
        q=term,
        search_match=_match_search(term, values.get(_SEARCH_KIND, "")),
    )


def _states_with_code(code: str) -> tuple[str, ...]:
    if code in IGNORED_EVENT_CODES:
        return _STATES_WITH_IGNORED_CODE
    is_reason = code in HELD_EVENT_CODES or (code in CATALOGUE and CATALOGUE[code].status >= 400)
    return _STATES_WITH_CODE if is_reason else ()


def _known_states(listed: str) -> tuple[str, ...]:
    """Return the known states of a list, each once, since each costs statements of its own. An unknown word matches
    nothing, if it is the only one.
    """
    words, is_excluded = split_values(listed)
    if is_excluded:
        return tuple(state.value for state in State if state not in words)
    return tuple(word for word in words if word in State.values) or words[:1]


def _match_search(term: str, kind: str) -> SearchMatch:
    if not term:
        return _NO_SEARCH
    return repeat_search(kind, term) if kind else search_events(term)
