"""Preview a replay: plan an attempt against the live systems and send nothing.

Uses the engine of a delivery (`sync.attempts.plan`), with a recorder that allows only reads, within a
deadline. The audit log records person, event and calls: before the first call, and after the last.
"""

import copy
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from config_schema.codes.trace_context import Trace
from connectors.exchange import OutgoingRequest, RecordedExchange
from connectors.values.secret_scrubber import SecretScrubber
from database.connection import release_connection
from sync.attempts.attempt_result import AttemptResult, failure_result, superseded_result
from sync.attempts.delivery_run import is_older_than_applied, open_connector
from sync.attempts.plan import AttemptFindings, Connectors, plan_change
from sync.deliveries.claims import Claim, attach_route
from sync.deliveries.creation import resolve_routes, uses_webhook_data
from sync.deliveries.record_links import read_link
from sync.deliveries.routes import ResolvedRoute, get_resolved_route, with_mapping_version
from sync.limits.circuit_breaker import allowed_deliveries
from sync.limits.rate_limit import wait_for_turn
from sync.models import Attempt, AttemptCause, Connection, Delivery, MappingVersion
from sync.planning.change import Change, redact_change
from sync.planning.mapping_declaration import InvalidMapping
from sync.replays.requests import ReplayOptions
from webhooks.models import Event

logger = logging.getLogger("hub.preview")

DEADLINE_SECONDS = 8.0
CALL_SECONDS = 4.0
MAX_DELIVERIES = 5


class PreviewTimedOut(Exception):
    """The preview reached its deadline."""


class ConnectionPaused(Exception):
    """The connection is paused; previews send nothing to it either."""


class PreviewWouldWrite(Exception):
    """A preview tried to write: a bug of the hub. Nothing was sent."""


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


@dataclass(slots=True)
class PreviewRecorder:
    """`Recorder` of one connection in a preview: allows reads until the deadline."""

    connection: Connection
    deadline: float
    calls: list[RecordedExchange] = field(default_factory=list)

    def record_request(self, request: OutgoingRequest) -> None:
        """Allow a read. Raises PreviewTimedOut, ConnectionPaused, or PreviewWouldWrite for a write."""
        if request.is_write:
            raise PreviewWouldWrite(f"{request.method} {request.path_template}")
        seconds_left = self.deadline - time.monotonic()
        if seconds_left <= 0:
            raise PreviewTimedOut
        if allowed_deliveries(self.connection) == 0:
            raise ConnectionPaused
        if (limit := self.connection.requests_per_second) is not None:
            wait_for_turn(self.connection, limit, seconds_left)
        release_connection()

    def check_before_sending(self, _: OutgoingRequest) -> None:
        """Allow every write: none is recorded."""

    def record_exchange(self, exchange: RecordedExchange) -> None:
        """Store the request for the audit log, but not its response."""
        self.calls.append(exchange)


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
        event, "preview.ended", actor, {"calls": [_call_summary(call) for call in calls], "address": address}
    )
    return previews


def _deliveries_to_preview(event: Event) -> list[Delivery]:
    """Return the event's deliveries with their routes, or the ones that a replay would open if it has none."""
    deliveries = list(event.deliveries.order_by("pk")[:MAX_DELIVERIES])
    for delivery in deliveries:
        delivery.event = event
        attach_route(delivery, get_resolved_route(delivery.route_id))
    return deliveries or [_unsaved_delivery(event, resolved) for resolved in _plan_routes(event)]


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
    release_connection()
    try:
        findings = AttemptFindings()
        identity, target = (
            _make_connector(recorder, str(attempt.key), findings.scrubber, delivery.event.own_trace)
            for recorder in recorders
        )
        ends = Connectors(identity, target)  # type: ignore[arg-type]
        plan = plan_change(claim, ends, findings)
        change = redact_change(plan.change, findings.scrubber.scrub_document)
        return PlannedDelivery(delivery, resolved.mapping_version, change=change)
    except PreviewTimedOut:
        return PlannedDelivery(delivery, resolved.mapping_version, code="preview-late")
    except ConnectionPaused:
        return PlannedDelivery(delivery, resolved.mapping_version, code="preview-paused")
    except Exception as error:  # noqa: BLE001 - as at the delivery boundary: reported, never raised
        return _preview_of_error(delivery, resolved, claim, error)


def _make_connector(
    recorder: PreviewRecorder, request_id: str, scrubber: SecretScrubber, trace: Trace
) -> object:
    # The cached connection is shared by threads.
    limited = copy.copy(recorder.connection)
    limited.deadline_seconds = min(limited.deadline_seconds, CALL_SECONDS)
    return open_connector(limited, request_id, recorder, scrubber, trace=trace)


def _preview_of_error(
    delivery: Delivery, resolved: ResolvedRoute, claim: Claim, error: Exception
) -> PlannedDelivery:
    result = failure_result(error, claim)
    if result.code == "internal-failure":
        logger.error("preview of %s: unexpected %s", delivery.event, type(error).__name__, exc_info=error)
    return PlannedDelivery(delivery, resolved.mapping_version, code=result.code, result=result)


def _append_entry(event: Event, action: str, actor: str, details: Mapping[str, JSONValue]) -> None:
    with transaction.atomic():
        append_entries(NewEntry(event.stream, action, actor, details))


def _call_summary(call: RecordedExchange) -> str:
    """Describe a call for the audit log. The template of its path holds no value."""
    outcome = call.status if call.status is not None else call.error_code
    return f"{call.request.method} {call.request.path_template} {outcome}"
