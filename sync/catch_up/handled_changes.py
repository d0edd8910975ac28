"""Find the changes that a route has yet to deliver: the others were fetched, or will be.

Three statements for any number of entities.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db.models import Max

from sync.deliveries.routes import ResolvedRoute
from sync.models import (
    SUCCESSFUL_OUTCOMES,
    WAITING_STATES,
    Attempt,
    AttemptOutcome,
    Delivery,
    PayloadChoice,
    Route,
)
from webhooks.models import SubjectKey, pseudonym

# Attempts of older events are not searched: a change that such an attempt fetched is delivered once more.
_MAX_EVENT_AGE = timedelta(days=3)


def find_unhandled(
    routes: Sequence[ResolvedRoute], changes: Mapping[str, datetime]
) -> dict[str, list[ResolvedRoute]]:
    """Return the routes that each changed entity has to be delivered to; without those that need not be delivered.

    `changes`: the latest time of the change by entity id, by the hub's clock. A route has handled it if a fetch began
    after that time, or a delivery waits whose fetch will. So has every route if the entity was erased since: only a
    later change makes it known again.
    """
    if not (routes and changes):
        return {}
    fetched, waiting = _read_fetches(routes, changes), _read_waiting(routes, changes)
    erased = _read_erasures(routes, changes)
    unhandled = {
        entity_id: [
            resolved
            for resolved in routes
            if (entity_id, resolved.route.pk) not in waiting
            and not any(_covers(fetch, resolved.route, at) for fetch in fetched[entity_id])
        ]
        for entity_id, at in changes.items()
        if entity_id not in erased or erased[entity_id] < at
    }
    return {entity_id: left for entity_id, left in unhandled.items() if left}


# Of attempts of one route and outcome: route, its mapping, target, outcome, when the last one began.
_Fetch = tuple[int, int, int, str, datetime]


def _covers(fetch: _Fetch, route: Route, at: datetime) -> bool:
    """Return True if a fetch read a change for this route: its own, whatever came of it, since a failure is retried or
    waits for a person; or that of a route which writes the same.
    """
    route_id, mapping_id, target_id, outcome, began_at = fetch
    is_own = route_id == route.pk
    is_equal = mapping_id == route.mapping_id and outcome in SUCCESSFUL_OUTCOMES
    return began_at >= at and target_id == route.target_id and (is_own or is_equal)


def _read_fetches(
    routes: Sequence[ResolvedRoute], changes: Mapping[str, datetime]
) -> Mapping[str, list[_Fetch]]:
    first, earliest = routes[0].route, min(changes.values())
    # By the index of events, then those of their deliveries and attempts: with conditions on deliveries, PostgreSQL
    # might begin with these.
    attempts = Attempt.objects.filter(
        delivery__event__entity_id__in=changes,
        delivery__event__entity_type=first.entity_type,
        delivery__event__received_at__gte=earliest - _MAX_EVENT_AGE,
        payload_choice=PayloadChoice.AS_ROUTED,
        started_at__gte=earliest,
    ).exclude(outcome=AttemptOutcome.SUPERSEDED)
    subject = ("delivery__event__entity_id", "delivery__identity", "delivery__is_relayed")
    columns = ("delivery__route", "delivery__route__mapping", "delivery__target", "outcome")
    rows = attempts.order_by().values_list(*subject, *columns).annotate(Max("started_at"))
    found: dict[str, list[_Fetch]] = defaultdict(list)
    for entity_id, identity_id, is_relayed, *fetch in rows:
        if identity_id == first.identity_id and not is_relayed:
            found[entity_id].append(tuple(fetch))
    return found


def _read_waiting(routes: Sequence[ResolvedRoute], changes: Mapping[str, datetime]) -> set[tuple[str, int]]:
    """Return the entities and routes of deliveries that wait for their next fetch."""
    first = routes[0].route
    waiting = Delivery.objects.open().filter(
        entity_id__in=changes,
        entity_type=first.entity_type,
        identity=first.identity_id,
        state__in=WAITING_STATES,
        is_relayed=False,
        payload_choice=PayloadChoice.AS_ROUTED,
        mapping_version=None,
    )
    targets = {resolved.route.pk: resolved.route.target_id for resolved in routes}
    return {
        (entity_id, route)
        for entity_id, route, target in waiting.values_list("entity_id", "route", "target")
        if targets.get(route) == target
    }


def _read_erasures(
    routes: Sequence[ResolvedRoute], changes: Mapping[str, datetime]
) -> Mapping[str, datetime]:
    """Return when entities were erased last, as any of the routes' sources knew them."""
    entity_type = routes[0].route.entity_type
    sources = {resolved.route.source_id for resolved in routes}
    names = {pseudonym(source, entity_type, one): one for source in sources for one in changes}
    keys = SubjectKey.objects.filter(pseudonym__in=names, destroyed_at__isnull=False)
    erased: dict[str, datetime] = {}
    for name, at in keys.order_by().values_list("pseudonym").annotate(Max("destroyed_at")):
        erased[names[name]] = max(at, erased.get(names[name], at))
    return erased
