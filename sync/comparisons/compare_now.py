"""Compare one entity, or the entity of one record, now: both sides are fetched for a person who waits.

It needs no stored event. The audit log records the person, the systems and the calls: before the first call, and after
the last. Where an event of the entity is stored, the entries are in its stream; else they name the pseudonym of the
entity.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from connectors.contracts.types import Record
from connectors.values.json_responses import as_text
from sync.attempts.plan import AttemptFindings, Connectors
from sync.comparisons.live_plan import (
    DEADLINE_SECONDS,
    LiveReads,
    PlannedSubject,
    make_claim,
    plan_subject,
)
from sync.deliveries.record_links import stream_of_entity
from sync.deliveries.routes import ResolvedRoute, resolved_routes
from sync.models import Link, Route
from sync.planning.change import Change
from sync.previews.attempt_preview import PreviewRecorder, call_summary, read_live
from webhooks.made_events import is_entity_id
from webhooks.models import pseudonym

MAX_PAIRS = 5


@dataclass(frozen=True, slots=True)
class LiveComparison:
    """The two sides of a pair at `checked_at`. Without `planned`, no entity belongs to the record that was asked for:
    there is no such record, it names no entity, or it could not be read (`code`).
    """

    route: Route
    checked_at: datetime
    planned: PlannedSubject | None = None
    has_record: bool = False
    code: str = ""


def comparable_routes(entity_type: str) -> list[ResolvedRoute]:
    """Return a route of each pair of an entity type: the oldest that is enabled and does not relay. At most MAX_PAIRS.

    Raises InvalidMapping for a declaration that was stored without the console's validation.
    """
    pairs: dict[tuple[int, int, int], ResolvedRoute] = {}
    for resolved in resolved_routes().values():
        route = resolved.route
        if route.entity_type == entity_type and route.is_enabled and not route.relays:
            pairs.setdefault((route.identity_id, route.target_id, route.mapping_id), resolved)
    return list(pairs.values())[:MAX_PAIRS]


def comparable_types() -> list[str]:
    """Return the entity types that can be compared."""
    routes = (resolved.route for resolved in resolved_routes().values())
    return sorted({route.entity_type for route in routes if route.is_enabled and not route.relays})


def stream_of_comparison(entity_type: str, entity_id: str, route: Route) -> str:
    """Return the stream of the entries about a comparison of an entity now."""
    return stream_of_entity(entity_type, entity_id, route.target)


def compare_entity_now(
    entity_type: str, entity_id: str, actor: str, address: str = ""
) -> list[LiveComparison]:
    """Compare an entity in every pair of its type, within DEADLINE_SECONDS; empty if no route compares it."""
    routes = comparable_routes(entity_type)
    if not routes:
        return []
    stream = stream_of_comparison(entity_type, entity_id, routes[0].route)
    with _on_record(stream, routes, actor, address, entity_id) as reading:
        return [reading.plan(resolved, entity_id) for resolved in routes]


def compare_record_now(
    entity_type: str, record_id: str, actor: str, address: str = ""
) -> list[LiveComparison]:
    """Compare the entity of a record in every pair of an entity type: that of its link, else that whose id it bears.

    The entries are in the stream of the target connection, and do not name the record, whose id may identify a person.
    """
    routes = comparable_routes(entity_type)
    if not routes:
        return []
    with _on_record(f"setting:connection:{routes[0].route.target_id}", routes, actor, address) as reading:
        return [reading.plan_record(resolved, record_id) for resolved in routes]


@dataclass(slots=True)
class _Reading:
    """The reads for one person, with a deadline for all of them."""

    deadline: float = field(default_factory=lambda: time.monotonic() + DEADLINE_SECONDS)
    recorders: list[PreviewRecorder] = field(default_factory=list)

    def plan(self, resolved: ResolvedRoute, entity_id: str, *, has_record: bool = False) -> LiveComparison:
        planned = plan_subject(resolved, entity_id, reads=self._reads(resolved))
        return LiveComparison(resolved.route, timezone.now(), planned, has_record)

    def plan_record(self, resolved: ResolvedRoute, record_id: str) -> LiveComparison:
        """Plan the entity of a record. That a record has a link needs no request."""
        if linked := _linked_entity(resolved.route, record_id):
            return self.plan(resolved, linked, has_record=True)
        record, code = self._read_record(resolved, record_id)
        entity_id = None if record is None else _entity_id_in(resolved, record)
        if entity_id:
            return self.plan(resolved, entity_id, has_record=True)
        return LiveComparison(resolved.route, timezone.now(), None, record is not None, code)

    def _read_record(self, resolved: ResolvedRoute, record_id: str) -> tuple[Record | None, str]:
        found: list[Record | None] = [None]

        def read(connectors: Connectors, _: AttemptFindings) -> Change | None:
            found[0] = connectors.target.get_record(resolved.target_type, record_id)
            return None

        # The id of a record stands for that of an entity, which is not known.
        claim, reads = make_claim(resolved, ""), self._reads(resolved)
        code = read_live(claim, reads.recorders, read, is_waited_for=True).code
        return found[0], code

    def _reads(self, resolved: ResolvedRoute) -> LiveReads:
        connections = (resolved.route.identity, resolved.route.target)
        recorders = [PreviewRecorder(connection, self.deadline) for connection in connections]
        self.recorders += recorders
        return LiveReads(recorders, is_waited_for=True)


@contextmanager
def _on_record(
    stream: str, routes: list[ResolvedRoute], actor: str, address: str, entity_id: str = ""
) -> Iterator[_Reading]:
    systems: list[JSONValue] = [resolved.route.target.slug for resolved in routes]
    details: dict[str, JSONValue] = {"systems": systems, "address": address}
    if entity_id and not stream.startswith("event:"):
        details["subject"] = pseudonym(routes[0].route.source_id, routes[0].route.entity_type, entity_id)
    _append_entry(stream, "compare.begun", actor, details)
    reading = _Reading()
    yield reading
    calls = sorted(
        (call for recorder in reading.recorders for call in recorder.calls), key=lambda call: call.started_at
    )
    summaries: list[JSONValue] = [call_summary(call) for call in calls]
    _append_entry(stream, "compare.ended", actor, {"calls": summaries, "address": address})


def _append_entry(stream: str, action: str, actor: str, details: Mapping[str, JSONValue]) -> None:
    with transaction.atomic():
        append_entries(NewEntry(stream, action, actor, details))


def _linked_entity(route: Route, record_id: str) -> str:
    links = Link.objects.filter(
        identity=route.identity_id, target=route.target_id, entity_type=route.entity_type, record_id=record_id
    )
    return links.values_list("entity_id", flat=True).first() or ""


def _entity_id_in(resolved: ResolvedRoute, record: Record) -> str:
    """Return the id of an entity that a record bears; empty if it bears none."""
    name = None if resolved.mapping is None else resolved.mapping.match.external_id
    text = as_text(record.fields.get(name)) if name else ""
    return text if text and is_entity_id(text) else ""
