"""Open a delivery for each route of an event, in the commit that stores the event.

A delivery that this process can run at once is stored as claimed, with its attempt begun, in the same commit.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Model, QuerySet

from audit.entries.append import NewEntry
from database.model_rows import new_row
from database.values import NOW
from sync.deliveries.claims import (
    Claim,
    ConnectionPaused,
    NoFreeSlot,
    attach_route,
    attempt_started_entry,
    mark_claimed,
    new_attempt,
)
from sync.deliveries.ordering import read_subject_state
from sync.deliveries.routes import ResolvedRoute, routes_for
from sync.models import Delivery, Route
from webhooks.models import Event, State

EVENT_TYPES = ("CREATE", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class OpenedDeliveries:
    """Deliveries that are to be stored, and the attempts of those that are claimed.

    `claims` are begun, `unclaimed_ids` are for whoever claims them.
    """

    deliveries: Sequence[Delivery] = ()
    claims: Sequence[Claim] = ()

    @property
    def rows(self) -> list[Model]:
        """In the order in which they are to be stored."""
        return [*self.deliveries, *(each.attempt for each in self.claims)]

    @property
    def unclaimed_ids(self) -> tuple[int, ...]:
        """For whoever claims them."""
        return tuple(each.pk for each in self.deliveries if each.token is None and each.due_at is not None)

    @property
    def audit_entries(self) -> list[NewEntry]:
        """The audit entries of the attempts that are begun."""
        return [attempt_started_entry(each.attempt) for each in self.claims]


def resolve_routes(event: Event) -> list[ResolvedRoute]:
    """Where an event goes. One of an unmapped type, or without a route, is `ignored` from now on."""
    ways = routes_for(event.source_id, event.entity_type) if event.event_type in EVENT_TYPES else []
    if not ways:
        event.state = State.IGNORED
        event.code = "ignored"
    return ways


def open_deliveries(
    event: Event, routes: Sequence[ResolvedRoute], *, max_claims: int = 0
) -> OpenedDeliveries:
    """A delivery for each way of an event that has none, not stored yet.

    `at_once`: this process will run so many as soon as they are. Then a second opener of the same subject can meet an
    IntegrityError.
    """
    deliveries = [_new_delivery(event, way) for way in routes]
    taken = [
        _claim_unstored(each, way, is_only=len(routes) == 1)
        for each, way in zip(deliveries[:max_claims], routes[:max_claims], strict=True)
    ]
    return OpenedDeliveries(deliveries, [each for each in taken if each is not None])


def _claim_unstored(delivery: Delivery, route: ResolvedRoute, *, is_only: bool) -> Claim | None:
    """Claim a delivery before it is stored, where nothing else of its subject is open and there is a place."""
    if delivery.due_at is None:
        return None
    subject = read_subject_state(delivery)
    if not subject.is_free:
        return None
    token = uuid.uuid4()
    try:
        mark_claimed(delivery, token)
    except (NoFreeSlot, ConnectionPaused):
        return None
    return Claim(delivery, new_attempt(delivery, route), token, route, subject.link, is_only=is_only)


def enabled_routes() -> QuerySet[Route]:
    """Routes that new events take. A disabled connection does not end a route: what it would get waits for it."""
    return Route.objects.filter(is_enabled=True)


def _new_delivery(event: Event, resolved: ResolvedRoute) -> Delivery:
    route = resolved.route
    delivery = new_row(
        Delivery,
        event=event,
        route_id=route.pk,
        identity_id=route.identity_id,
        commercial_id=route.commercial_id,
        entity_type=event.entity_type,
        entity_id=event.entity_id,
        is_relayed=route.relays and event.is_signed,
        due_at=None if resolved.is_paused else NOW,
        opened_at=NOW,
    )
    attach_route(delivery, resolved)
    return delivery
