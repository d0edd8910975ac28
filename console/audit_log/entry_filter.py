"""Filter the audit log, and search it by an id or a name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from audit.entries.search import filter_by_action, filter_by_actor, filter_by_people, filter_by_stream_kind
from audit.models import Entry
from console.audit_log.action_names import ACTION_LABELS
from sync.models import Delivery
from sync.models.delivery import delivery_stream
from sync.search.event_filter import MAX_WORD_LENGTH
from sync.search.event_search import SearchKind, search_events
from sync.search.time_ranges import InvalidFilter, parse_range
from webhooks.catalogue.reference import from_reference, to_reference
from webhooks.models import Event

MAX_EVENTS = 200


@dataclass(frozen=True, slots=True)
class FoundStreams:
    """The streams that a search term can mean. `is_cut`: only streams of the newest `MAX_EVENTS` events."""

    streams: Sequence[str]
    is_cut: bool = False


def find_streams(term: str) -> FoundStreams:
    """Find the streams that a search term can mean: a stream, a reference, or whatever the event list finds events
    by. `entity:<type>:<id>` means the events of the entity.
    """
    kind, _colon, rest = term.partition(":")
    if kind == "entity":
        entity_type, _colon, entity_id = rest.partition(":")
        return _streams_of_events(Q(entity_id=entity_id, entity_type=entity_type))
    try:
        uuid = from_reference(term.removeprefix("event:"))
    except ValueError:
        match = search_events(term)
        found = FoundStreams([]) if match.match is SearchKind.NOTHING else _streams_of_events(match.condition)
        return replace(found, streams=[term, *found.streams])
    # Its entries are stored longer than the event.
    routes = Delivery.objects.filter(event__uuid=uuid).values_list("route_id", flat=True)
    return FoundStreams([f"event:{to_reference(uuid)}", *(delivery_stream(uuid, route) for route in routes)])


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


FILTER_PARAMS = ("action", "who", "object", "when", "when_from", "when_to", "q")
# Several actions under one name: the predefined views.
ACTION_GROUPS: Mapping[str, Sequence[str]] = {
    "reveals": ("event.revealed",),
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
    "replays": tuple(
        action
        for action in ACTION_LABELS
        if (action.startswith("replay.") and action != "replay.downloaded") or action == "event.replayed"
    ),
}


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """A resolved filter; empty fields restrict nothing.

    `who` is a kind of actor or one actor. `streams` are those that the search term means; `is_cut`: not all of them.
    """

    action: str = ""
    who: str = ""
    object: str = ""
    begin: datetime | None = None
    end: datetime | None = None
    streams: Sequence[str] | None = None
    is_cut: bool = False

    @property
    def actions(self) -> Sequence[str]:
        """Return the selected actions; empty means all."""
        return ACTION_GROUPS.get(self.action) or ((self.action,) if self.action else ())

    def filter_entries(self, entries: QuerySet[Entry]) -> QuerySet[Entry]:
        """Return the entries that match the filter."""
        filtered = self._apply_other_filters(entries)
        return filtered.filter(action__in=self.actions) if self.actions else filtered

    def querysets_by_action(self, entries: QuerySet[Entry]) -> list[QuerySet[Entry]]:
        """Return the matching entries as one queryset an action; at least one.

        Each action has its index in the order of time, several actions together have none. An empty set of streams
        gives one empty queryset.
        """
        if self.streams is not None and not self.streams:
            return [entries.none()]
        filtered = self._apply_other_filters(entries)
        return [filter_by_action(filtered, action) for action in self.actions] or [filtered]

    def _apply_other_filters(self, entries: QuerySet[Entry]) -> QuerySet[Entry]:
        filtered = self._filter_by_actor(entries) if self.who else entries
        if self.object:
            filtered = filter_by_stream_kind(filtered, self.object, connection.vendor)
        if self.begin:
            filtered = filtered.filter(at__gte=self.begin)
        if self.end:
            filtered = filtered.filter(at__lt=self.end)
        return filtered if self.streams is None else filtered.filter(stream__in=self.streams)

    def _filter_by_actor(self, entries: QuerySet[Any]) -> QuerySet[Any]:
        if self.who == "person":
            return filter_by_people(entries, connection.vendor)
        if self.who == "source":
            return entries.filter(actor__startswith="source:")
        return filter_by_actor(entries, self.who, connection.vendor)


def parse_entry_filter(params: Mapping[str, str], now: datetime) -> EntryFilter:
    """Resolve filter parameters at this moment. Raises InvalidFilter for values that cannot be used."""
    # PostgreSQL refuses a text with a NUL character.
    if any("\0" in value for value in params.values()):
        raise InvalidFilter("a text that no database can store")
    if any(len(value) > MAX_WORD_LENGTH for value in params.values()):
        raise InvalidFilter("a value that is too long")
    begin, end = parse_range(params, "when", now)
    plain = {name: params.get(name, "") for name in ("action", "who", "object")}
    term = params.get("q", "").strip()
    found = find_streams(term) if term else None
    return EntryFilter(
        **plain,
        begin=begin,
        end=end,
        streams=found.streams if found else None,
        is_cut=found is not None and found.is_cut,
    )
