"""Open a delivery for each route of an event, in the commit that stores the event.

A delivery that this process can run at once is stored as claimed, with its attempt begun, in the same commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db.models import QuerySet

from database.model_rows import new_row
from database.values import NOW
from database.write_batch import WriteBatch
from sync.deliveries.claims import (
    Claim,
    ConnectionPaused,
    NoFreeSlot,
    attempt_started_entry,
    claim_unstored,
)
from sync.deliveries.ordering import read_subject_state
from sync.deliveries.routes import ResolvedRoute, routes_for
from sync.evidence.row_facts import delivery_facts
from sync.models import Delivery, PersonRequest, Route
from webhooks.delivery_port import OpenedRows
from webhooks.models import Event, EventOrigin, State

EVENT_TYPES = ("CREATE", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class OpenedDeliveries:
    """Deliveries that a batch stores.

    `claims` has the deliveries that this process runs at once, `unclaimed` the others that are due. `opened_rows` are
    the rows for the audit log.
    """

    claims: Sequence[Claim] = ()
    unclaimed: Sequence[Delivery] = ()
    opened_rows: OpenedRows = field(default_factory=OpenedRows)


def routes_of(event: Event) -> list[ResolvedRoute]:
    """Return the routes of an event, none if its type is unknown. One that is no webhook is for the route that it was
    made for, and its delivery is stored with it.
    """
    if event.origin != EventOrigin.WEBHOOK or event.event_type not in EVENT_TYPES:
        return []
    return routes_for(event.source_id, event.entity_type)


def uses_webhook_data(route: Route, event: Event) -> bool:
    """True if a route relays the data of an event, and fetches nothing.

    False for an event from before the route was switched from fetching: somebody may have captured its webhook then,
    when to send it again was harmless.
    """
    # Anyone may have sent an unsigned webhook, so its data are only a hint and the entity is fetched.
    if not (route.relays and event.is_signed):
        return False
    return route.relays_since is None or event.earliest_time >= route.relays_since


def resolve_routes(event: Event, *, only_fetched: bool = False) -> list[ResolvedRoute]:
    """Return the routes of an event, or only those that fetch its entity. Sets an event of an unknown type, or without
    a route, to `ignored`.
    """
    resolved_routes = routes_of(event)
    if only_fetched:
        resolved_routes = [
            resolved for resolved in resolved_routes if not uses_webhook_data(resolved.route, event)
        ]
    if not resolved_routes:
        event.state = State.IGNORED
        event.code = "ignored"
    return resolved_routes


def open_deliveries(
    event: Event,
    routes: Sequence[ResolvedRoute],
    batch: WriteBatch,
    *,
    max_claims: int = 0,
    request: PersonRequest | None = None,
) -> OpenedDeliveries:
    """Add a delivery for each route of a new event to a batch.

    `max_claims`: how many of them this process claims, to run them at once. Another process that opens deliveries of
    the same subject at the same time may get an IntegrityError. `request`: that of the person for whom the event was
    made; it runs although the source or the route is paused, as a replay does.
    """
    deliveries = [_new_delivery(event, resolved, request) for resolved in routes]
    attempted = [
        _claim_if_free(delivery, resolved, is_only=len(routes) == 1)
        for delivery, resolved in zip(deliveries[:max_claims], routes[:max_claims], strict=True)
    ]
    claims = [claim for claim in attempted if claim is not None]
    batch.insert(*deliveries, *(claim.attempt for claim in claims))
    unclaimed = [
        delivery for delivery in deliveries if delivery.token is None and delivery.due_at is not None
    ]
    started = [attempt_started_entry(claim.attempt) for claim in claims]
    facts = [delivery_facts(delivery) for delivery in deliveries]
    return OpenedDeliveries(claims, unclaimed, OpenedRows(started, facts))


def _claim_if_free(delivery: Delivery, route: ResolvedRoute, *, is_only: bool) -> Claim | None:
    """Claim a delivery before it is stored. Returns None if its subject is not free, or there is no slot."""
    # On hold: a person must resume the source or the route first.
    if delivery.due_at is None:
        return None
    # Read without a lock: the constraint `one_running_delivery_a_subject` refuses the insert if another process is
    # faster.
    subject = read_subject_state(delivery)
    if not subject.is_free:
        return None
    try:
        return claim_unstored(delivery, route, subject, is_only=is_only)
    except (NoFreeSlot, ConnectionPaused):
        return None


def enabled_routes() -> QuerySet[Route]:
    """Select the routes that apply to new events.

    A disabled connection does not disable its routes: their deliveries are retried.
    """
    return Route.objects.filter(is_enabled=True)


def _new_delivery(event: Event, resolved: ResolvedRoute, request: PersonRequest | None) -> Delivery:
    route = resolved.route
    event.source = route.source
    return new_row(
        Delivery,
        event=event,
        # Copied from the route: an open delivery keeps its connections when the route changes.
        route=route,
        identity=route.identity,
        target=route.target,
        entity_type=event.entity_type,
        entity_id=event.entity_id,
        is_relayed=uses_webhook_data(route, event),
        # Without a due time it waits until a person resumes the source or the route.
        due_at=None if resolved.is_paused and request is None else NOW,
        opened_at=NOW,
        person_request=request,
    )
