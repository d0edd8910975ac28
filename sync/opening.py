"""Hop 3, our half: one open delivery for each route of an event, in the transaction that stores the event."""

from django.db.models import QuerySet

from sync.clock import database_now
from sync.models import Delivery, Route
from webhooks.models import Event, State

EVENT_TYPES = ("CREATE", "UPDATE", "DELETE")


def open_deliveries(event: Event) -> list[Delivery]:
    """Open a delivery for each enabled route that has none of this event; the event's state follows.

    An event of an unmapped type, or without a route, ends as `ignored`.
    """
    wanted = _routes(event) if event.event_type in EVENT_TYPES else []
    known = set(event.deliveries.values_list("route", flat=True)) if event.state != State.PENDING else set()
    opened = [_delivery(event, route) for route in wanted if route.pk not in known]
    if opened:
        Delivery.objects.bulk_create(opened)
    elif not known:
        event.state = State.IGNORED
        event.code = "ignored"
    return opened


def enabled_routes() -> QuerySet[Route]:
    """Routes that new events take. A disabled connection does not end a route: what it would get waits for it."""
    return Route.objects.filter(is_enabled=True)


def _routes(event: Event) -> list[Route]:
    return list(enabled_routes().filter(source_id=event.source_id, entity_type=event.entity_type))


def _delivery(event: Event, route: Route) -> Delivery:
    return Delivery(
        event=event,
        route=route,
        identity_id=route.identity_id,
        commercial_id=route.commercial_id,
        entity_type=event.entity_type,
        entity_id=event.entity_id,
        is_relayed=route.relays and event.is_signed,
        due_at=database_now(),
    )
