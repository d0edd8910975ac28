"""Hop 3, our half: one open delivery for each route of an event, in the transaction that stores the event.

What can run at once in this process is stored as claimed already, with its attempt begun: hops 3 and 4 in one commit.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from audit.log import Happening
from audit.statements import NOW
from audit.storing import fresh, insert
from sync.claiming import Claim, Full, Paused, adopt, begun, new_attempt, start_claimed
from sync.configuration import Way, ways_of
from sync.linking import linked
from sync.models import Delivery, Route
from sync.subjects import lock_open
from webhooks.models import Event, State

EVENT_TYPES = ("CREATE", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class Opened:
    """Deliveries that were just opened: `claims` are begun, `waiting` are for whoever claims them."""

    claims: tuple[Claim, ...] = ()
    waiting: tuple[int, ...] = ()
    happenings: tuple[Happening, ...] = ()


def plan_ways(event: Event) -> list[Way]:
    """Where an event goes. One of an unmapped type, or without a route, is `ignored` from now on."""
    ways = ways_of(event.source_id, event.entity_type) if event.event_type in EVENT_TYPES else []
    if not ways:
        event.state = State.IGNORED
        event.code = "ignored"
    return ways


def open_deliveries(event: Event, ways: Sequence[Way], *, at_once: bool = False) -> Opened:
    """Open a delivery for each way of an event that has none.

    `at_once`: this process will run them as soon as the transaction is committed. Then a second opener of the same
    subject can meet an IntegrityError.
    """
    if not ways:
        return Opened()
    deliveries = [_delivery(event, way) for way in ways]
    tokens = [_begin(each) if at_once and each.due_at is not None else None for each in deliveries]
    insert(*deliveries)
    begun_ones = [
        (delivery, token, way) for delivery, token, way in zip(deliveries, tokens, ways, strict=True) if token
    ]
    return _opened(deliveries, begun_ones)


def _begin(delivery: Delivery) -> uuid.UUID | None:
    """Claim a delivery before it is stored, where nothing else of its subject is open and there is a place."""
    if lock_open(delivery):
        return None
    token = uuid.uuid4()
    try:
        start_claimed(delivery, token)
    except (Full, Paused):
        return None
    return token


def _opened(deliveries: Sequence[Delivery], begun_ones: Sequence[tuple[Delivery, uuid.UUID, Way]]) -> Opened:
    attempts = [new_attempt(delivery, way) for delivery, _, way in begun_ones]
    insert(*attempts)
    claims = tuple(
        Claim(delivery, attempt, token, way, linked(delivery), is_only=len(deliveries) == 1)
        for (delivery, token, way), attempt in zip(begun_ones, attempts, strict=True)
    )
    waiting = tuple(each.pk for each in deliveries if each.token is None and each.due_at is not None)
    return Opened(claims, waiting, tuple(begun(each) for each in attempts))


def enabled_routes() -> QuerySet[Route]:
    """Routes that new events take. A disabled connection does not end a route: what it would get waits for it."""
    return Route.objects.filter(is_enabled=True)


def _delivery(event: Event, way: Way) -> Delivery:
    route = way.route
    delivery = fresh(
        Delivery,
        event=event,
        route_id=route.pk,
        identity_id=route.identity_id,
        commercial_id=route.commercial_id,
        entity_type=event.entity_type,
        entity_id=event.entity_id,
        is_relayed=route.relays and event.is_signed,
        due_at=None if way.is_paused else NOW,
        opened_at=NOW,
    )
    adopt(delivery, way)
    return delivery
