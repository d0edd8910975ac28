"""Preview a replay: plan an attempt against the live systems and send nothing.

Plans by `sync.previews`, within a deadline. The audit log records person, event and calls: before the first call, and
after the last.
"""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from sync.attempts.attempt_result import AttemptResult, superseded_result
from sync.attempts.delivery_run import is_older_than_applied
from sync.deliveries.claims import Claim, attach_route
from sync.deliveries.creation import resolve_routes, uses_webhook_data
from sync.deliveries.record_links import read_link
from sync.deliveries.routes import ResolvedRoute, get_resolved_route, with_mapping_version
from sync.models import Attempt, AttemptCause, Delivery, MappingVersion, Route
from sync.planning.change import Change
from sync.planning.mapping_declaration import InvalidMapping
from sync.previews.attempt_preview import PreviewRecorder, call_summary, preview_attempt
from sync.replays.requests import ReplayOptions
from webhooks.models import Event

DEADLINE_SECONDS = 8.0
MAX_DELIVERIES = 5


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """Preview of one delivery. Without a `change`, `code` gives the reason."""

    delivery: Delivery
    version: MappingVersion | None
    change: Change | None = None
    code: str = ""
    result: AttemptResult | None = None

    @property
    def is_superseded(self) -> bool:
        """True if nothing would be sent because something newer was applied."""
        return self.code == "superseded"


def preview_replay(
    event: Event, options: ReplayOptions, actor: str, address: str = ""
) -> list[PlannedDelivery]:
    """Preview a replay of this event, by delivery; empty if no route takes it.

    At most MAX_DELIVERIES deliveries and DEADLINE_SECONDS seconds.
    """
    try:
        deliveries = _deliveries_to_preview(event)
    except InvalidMapping:
        # A declaration that was stored without the console's validation: an attempt would fail too.
        stored = event.deliveries.select_related("identity", "target").order_by("pk")[:MAX_DELIVERIES]
        return [PlannedDelivery(delivery, None, code="unmappable") for delivery in stored]
    if not deliveries:
        return []
    details = {"systems": [delivery.target.slug for delivery in deliveries], "address": address}
    _append_entry(event, "preview.begun", actor, {**details, **options.to_details()})
    deadline, recorders, previews = time.monotonic() + DEADLINE_SECONDS, [], []
    for delivery in deliveries:
        delivery.payload_choice = options.payload_choice
        pair = [PreviewRecorder(connection, deadline) for connection in (delivery.identity, delivery.target)]
        recorders += pair
        previews.append(_preview_delivery(delivery, _route_with_options(delivery, options), pair))
    calls = sorted(
        (call for recorder in recorders for call in recorder.calls), key=lambda call: call.started_at
    )
    _append_entry(
        event, "preview.ended", actor, {"calls": [call_summary(call) for call in calls], "address": address}
    )
    return previews


def _deliveries_to_preview(event: Event) -> list[Delivery]:
    """Return the event's deliveries with their routes, or the ones that a replay would open if it has none. A replay
    leaves out those of routes that observe.
    """
    live = event.deliveries.filter(route__mode=Route.Mode.LIVE)
    deliveries = list(live.order_by("pk")[:MAX_DELIVERIES])
    for delivery in deliveries:
        delivery.event = event
        attach_route(delivery, get_resolved_route(delivery.route_id))
    if deliveries or event.deliveries.exists():
        return deliveries
    return [_unsaved_delivery(event, resolved) for resolved in _plan_routes(event) if not resolved.observes]


def _plan_routes(event: Event) -> list[ResolvedRoute]:
    state, code = event.state, event.code
    resolved_routes = resolve_routes(event)[:MAX_DELIVERIES]
    # `resolve_routes` changes an event without a route, which a preview must not do.
    event.state, event.code = state, code
    return resolved_routes


def _unsaved_delivery(event: Event, resolved: ResolvedRoute) -> Delivery:
    route = resolved.route
    delivery = Delivery(
        event=event,
        route_id=route.pk,
        identity_id=route.identity_id,
        target_id=route.target_id,
        entity_type=event.entity_type,
        entity_id=event.entity_id,
        is_relayed=uses_webhook_data(route, event),
    )
    attach_route(delivery, resolved)
    return delivery


def _route_with_options(delivery: Delivery, options: ReplayOptions) -> ResolvedRoute:
    resolved = get_resolved_route(delivery.route_id)
    return (
        with_mapping_version(resolved, first_mapping_version(delivery))
        if options.uses_first_version
        else resolved
    )


def first_mapping_version(delivery: Delivery) -> int | None:
    """Return the version of the mapping that the delivery's first attempt used."""
    attempts = Attempt.objects.filter(delivery=delivery.pk, mapping_version__isnull=False).order_by("number")
    return attempts.values_list("mapping_version", flat=True).first()


def _preview_delivery(
    delivery: Delivery, resolved: ResolvedRoute, recorders: list[PreviewRecorder]
) -> PlannedDelivery:
    # The cause decides which fields are sent.
    attempt = Attempt(delivery=delivery, key=uuid.uuid4(), cause=AttemptCause.REPLAY)
    # A replay begins a new wait for the records that the record refers to.
    delivery.opened_at = timezone.now()
    claim = Claim(delivery, attempt, uuid.uuid4(), resolved, read_link(delivery))
    if is_older_than_applied(claim):
        return PlannedDelivery(
            delivery, resolved.mapping_version, code="superseded", result=superseded_result()
        )
    planned = preview_attempt(claim, recorders)
    return PlannedDelivery(delivery, resolved.mapping_version, planned.change, planned.code, planned.result)


def _append_entry(event: Event, action: str, actor: str, details: Mapping[str, JSONValue]) -> None:
    with transaction.atomic():
        append_entries(NewEntry(event.stream, action, actor, details))
