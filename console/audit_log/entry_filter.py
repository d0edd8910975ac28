"""Filter the audit log, and search it by an id or a name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from audit.entries.search import filter_by_action, filter_by_actor, filter_by_people, filter_by_stream_kind
from audit.models import Entry
from config_schema.codes.reference import from_reference, to_reference
from console.audit_log.action_names import ACTION_LABELS
from sync.models import Delivery
from sync.models.delivery import delivery_stream
from sync.search.event_search import SearchKind, search_events
from sync.search.time_ranges import parse_range
from webhooks.models import Event

MAX_EVENTS = 200


@dataclass(frozen=True, slots=True)
class FoundStreams:
    """The streams that a search term can mean. `is_cut`: only streams of the newest `MAX_EVENTS` events."""

    streams: Sequence[str]
    is_cut: bool = False


def find_streams(term: str) -> FoundStreams:
    """Find the streams that a search term means: the stream of an object (`setting:source:7`), else a reference, a
    stream, or whatever the event list finds events by. `entity:<type>:<id>` means the events of the entity.
    """
    kind, _colon, rest = term.partition(":")
    if kind == "entity":
        entity_type, _colon, entity_id = rest.partition(":")
        return _streams_of_events(Q(entity_id=entity_id, entity_type=entity_type))
    named = _streams_named(term)
    if rest and Entry.objects.filter(stream__in=named).exists():
        return FoundStreams(named)
    try:
        uuid = from_reference(term.removeprefix("event:"))
    except ValueError:
        match = search_events(term)
        found = FoundStreams([]) if match.match is SearchKind.NOTHING else _streams_of_events(match.condition)
        return replace(found, streams=[*named, *found.streams])
    # Its entries are stored longer than the event.
    routes = Delivery.objects.filter(event__uuid=uuid).values_list("route_id", flat=True)
    return FoundStreams([f"event:{to_reference(uuid)}", *(delivery_stream(uuid, route) for route in routes)])


def _streams_named(term: str) -> list[str]:
    """Return the stream that a term names; of a route, its settings and what it may do."""
    is_route = term.startswith("setting:route:")
    return [term, term.removeprefix("setting:")] if is_route else [term]


def _streams_of_events(condition: Q) -> FoundStreams:
    known = Event.objects.filter(condition).order_by("-received_at", "-id")
    newest = list(known.values_list("pk", "uuid")[: MAX_EVENTS + 1])
    events = dict(newest[:MAX_EVENTS])
    deliveries = Delivery.objects.filter(event__in=events).values_list("event_id", "route_id")
    streams = [
        *(f"event:{to_reference(uuid)}" for uuid in events.values()),
        *(delivery_stream(events[event], route) for event, route in deliveries),
    ]
    return FoundStreams(streams, is_cut=len(newest) > MAX_EVENTS)


# Several actions under one name: the predefined views.
ACTION_GROUPS: Mapping[str, Sequence[str]] = {
    "reveals": (
        "event.revealed",
        "request.revealed",
        "source.captured-value-revealed",
        "compare.revealed",
        "difference.opened",
        "preview.revealed",
        "pair.revealed",
        "mapping.sample-fetched",
    ),
    "exports": tuple(
        action
        for action in ACTION_LABELS
        if action.startswith(("export.", "download.")) or action == "replay.downloaded"
    ),
    "secrets": (
        "secret.added",
        "secret.changed",
        "secret.ended",
        "person.password-changed",
        "signing-key.begun",
        "sealing.renewed",
    ),
    # One row for each replay: what else is recorded of a bulk replay is on its page and that of this entry.
    "replays": ("replay.started", "replay.awaits-approval", "event.replayed"),
}
# Which entries of an action a view has, where not all. A worker replays the events of a bulk replay: their entries say
# of how many, and have no address of a client.
_VIEW_CONDITIONS: Mapping[tuple[str, str], Q] = {
    ("replays", "event.replayed"): Q(details__contains='"address":') | ~Q(details__contains='"of":'),
}


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """A resolved filter; empty fields restrict nothing.

    `view` is the predefined view whose `actions` these are. `who` is a kind of actor or one actor. `streams` are those
    that the search term means; `is_cut`: not all of them.
    """

    actions: Sequence[str] = ()
    who: str = ""
    object: str = ""
    begin: datetime | None = None
    end: datetime | None = None
    streams: Sequence[str] | None = None
    is_cut: bool = False
    view: str = ""

    def filter_entries(self, entries: QuerySet[Entry]) -> QuerySet[Entry]:
        filtered = self._apply_other_filters(entries)
        for action in self.actions:
            if condition := _VIEW_CONDITIONS.get((self.view, action)):
                filtered = filtered.filter(~Q(action=action) | condition)
        return filtered.filter(action__in=self.actions) if self.actions else filtered

    def querysets_by_action(self, entries: QuerySet[Entry]) -> list[QuerySet[Entry]]:
        """Return the matching entries as one queryset an action; at least one.

        Each action has its index in the order of time, several actions together have none. An empty set of streams
        gives one empty queryset.
        """
        if self.streams is not None and not self.streams:
            return [entries.none()]
        filtered = self._apply_other_filters(entries)
        return [
            filter_by_action(filtered, action).filter(_VIEW_CONDITIONS.get((self.view, action), Q()))
            for action in self.actions
        ] or [filtered]

    def _apply_other_filters(self, entries: QuerySet[Entry]) -> QuerySet[Entry]:
        filtered = _filter_by_who(entries, self.who) if self.who else entries
        if self.object:
            filtered = filter_by_stream_kind(filtered, self.object, connection.vendor)
        if self.begin:
            filtered = filtered.filter(at__gte=self.begin)
        if self.end:
            filtered = filtered.filter(at__lt=self.end)
        return filtered if self.streams is None else filtered.filter(stream__in=self.streams)


def _filter_by_who(entries: QuerySet[Any], who: str) -> QuerySet[Any]:
    if who == "person":
        return filter_by_people(entries, connection.vendor)
    if who == "source":
        return entries.filter(actor__startswith="source:")
    return filter_by_actor(entries, who, connection.vendor)


def resolve_entries(params: Mapping[str, str], now: datetime) -> EntryFilter:
    """Resolve filter parameters at this moment. Raises InvalidFilter."""
    begin, end = parse_range(params, "when", now)
    action, term = params.get("action", ""), params.get("q", "")
    actions = ACTION_GROUPS.get(action) or ((action,) if action else ())
    who, kind = params.get("who", ""), params.get("object", "")
    if not term:
        return EntryFilter(actions, who, kind, begin, end, view=action)
    found = find_streams(term)
    return EntryFilter(actions, who, kind, begin, end, found.streams, found.is_cut, view=action)
