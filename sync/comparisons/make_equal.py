"""Make what a comparison found equal: thousands through the bulk path of replays, one at once, or a few by schedule.

Each subject gets an event with the origin `comparison`, and a delivery for one route, which plans it anew.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.append import SYSTEM, append_entries
from audit.format.canonical_json import JSONValue
from sync.deliveries.routes import get_resolved_route
from sync.execution.executor import defer_to_workers
from sync.jobs import submission
from sync.models import (
    Comparison,
    ComparisonState,
    Difference,
    DifferenceKind,
    PersonRequest,
    PersonRequestState,
    Route,
    SkipReason,
)
from sync.replays.difference_selection import KINDS_PARAM, add_chosen_differences, differences_of
from sync.replays.entity_members import (
    EVENT_TYPES,
    equalised_entries,
    find_skipped_entities,
    maker_for,
)
from sync.replays.event_selection import (
    KIND,
    MAX_EVENTS,
    TooManyEvents,
    discard_selection,
    freeze_selection,
)
from sync.replays.filter_selection import fill_briefly
from sync.replays.made_events import make_events
from sync.replays.requests import (
    ReplayAlreadyRequested,
    ReplayRefused,
    ReplayResult,
    normalize_reason,
    route_observes,
)
from webhooks.made_events import EventMaker, is_entity_id, lock_subjects
from webhooks.models import EventOrigin

MAX_BY_SCHEDULE = 100
BY_SCHEDULE = (DifferenceKind.DIFFERS, DifferenceKind.MISSING_RECORD)


def select_differences(
    by: AbstractBaseUser,
    comparison: Comparison,
    route: Route,
    *,
    kinds: Collection[str] = (),
    difference_ids: Collection[int] = (),
    key: UUID | None = None,
) -> PersonRequest:
    """Create a selection of differences, of these kinds or these rows, that a person can confirm as a bulk replay.

    It is frozen, or a worker goes on to fill it. `key` identifies it: a second call returns the first selection.

    Raises ReplayRefused for a comparison that has not finished or is of another pair, for a kind that cannot be made
    equal here, for `entity-gone` together with others, and for none or too many.
    """
    _require_usable(comparison, route)
    if key is not None and (known := PersonRequest.objects.filter(uuid=key, requested_by=by.pk).first()):
        return known
    rows = differences_of(comparison.pk)
    chosen = rows.filter(pk__in=difference_ids) if difference_ids else rows.filter(kind__in=kinds)
    _require_kinds(set(chosen.order_by().values_list("kind", flat=True).distinct()) | set(kinds))
    if (count := chosen.count()) > MAX_EVENTS:
        raise TooManyEvents
    if not count:
        raise ReplayRefused(_("Select at least one difference."))
    selection = PersonRequest(
        requested_by_id=by.pk,
        created_at=timezone.now(),
        state=PersonRequestState.CHOOSING,
        comparison=comparison,
        route=route,
    )
    selection.uuid = key or selection.uuid
    if difference_ids:
        with transaction.atomic():
            selection.save(force_insert=True)
            add_chosen_differences(selection, chosen, difference_ids)
            freeze_selection(selection)
        return selection
    return _select_kinds(selection, kinds)


def _select_kinds(selection: PersonRequest, kinds: Collection[str]) -> PersonRequest:
    selection.filter = {KINDS_PARAM: " ".join(sorted(kinds))}
    with transaction.atomic():
        selection.save(force_insert=True)
        submission.submit_job(KIND, selection.pk)
    try:
        fill_briefly(selection)
    except TooManyEvents:
        discard_selection(selection)
        raise
    return selection


def _require_usable(comparison: Comparison, route: Route) -> None:
    if comparison.state != ComparisonState.DONE:
        raise ReplayRefused(_("The comparison has not finished."))
    columns = ("identity_id", "entity_type", "target_id", "mapping_id")
    if any(getattr(comparison, name) != getattr(route, name) for name in columns):
        raise ReplayRefused(_("The route has changed since the comparison. Compare again."))
    _require_route(route)


def _require_route(route: Route) -> None:
    if not route.is_enabled:
        raise ReplayRefused(_("The route is disabled."))
    if route.mode == Route.Mode.OBSERVE:
        raise ReplayRefused(route_observes())
    if route.relays:
        raise ReplayRefused(_("The route relays webhooks: it fetches nothing that could be made equal."))


def _require_kinds(kinds: Collection[str]) -> None:
    """Raise ReplayRefused for kinds of differences that this request cannot make equal."""
    if DifferenceKind.FOUND_BY_VALUE in kinds:
        raise ReplayRefused(_("A person decides about each record that was found by its value."))
    if {DifferenceKind.UNLINKED_RECORD, DifferenceKind.UNKNOWN_RECORD} & {*kinds}:
        raise ReplayRefused(_("A record without an entity cannot be made equal."))
    if not EVENT_TYPES.keys() >= {*kinds}:
        raise ReplayRefused(
            _("What cannot be read or mapped, or is outside the scope, cannot be made equal.")
        )
    if DifferenceKind.ENTITY_GONE in kinds and len({*kinds}) > 1:
        raise ReplayRefused(
            _("Removals are made equal by themselves, never together with other differences.")
        )


def make_equal_at_once(
    route: Route,
    entity_id: str,
    event_type: str,
    *,
    by: AbstractBaseUser,
    reason: str,
    key: UUID | None = None,
    address: str = "",
    comparison: Comparison | None = None,
) -> ReplayResult:
    """Make one subject equal in one commit, then notify the workers. `event_type`: UPDATE, or DELETE for one whose
    entity is gone. `key` identifies the request: the database accepts it once. `comparison`: the one that found it.

    Raises ReplayRefused without a reason, for a route that cannot do it, and for an erased entity;
    ReplayAlreadyRequested for a second click, and while a delivery for the entity has not ended.
    """
    reason = normalize_reason(reason)
    _require_route(route)
    if event_type not in EVENT_TYPES.values() or not is_entity_id(entity_id):
        raise ReplayRefused(_("Enter the id of an entity."))
    request = PersonRequest(requested_by_id=by.pk, reason=reason, created_at=timezone.now())
    request.uuid, request.route, request.comparison = key or request.uuid, route, comparison
    request.events = request.deliveries = 1
    repeated = ReplayAlreadyRequested(_("This was already started. Nothing was started twice."))
    with request.stored_once(repeated):
        deliveries = _make_one(route, entity_id, event_type, request, address)
    defer_to_workers(deliveries)
    return ReplayResult(request, tuple(deliveries), skipped=0, waiting=0)


def _make_one(
    route: Route, entity_id: str, event_type: str, request: PersonRequest, address: str
) -> Sequence[int]:
    # Locked first: from now on no erasure can begin.
    lock_subjects(route.source, route.entity_type, [entity_id])
    reason = find_skipped_entities([entity_id], route, request).get(entity_id)
    if reason == SkipReason.ERASED:
        raise ReplayRefused(_("The entity was erased."))
    if reason is not None:
        raise ReplayAlreadyRequested(_("A delivery for this entity has not ended. Compare again after it."))
    details: Mapping[str, JSONValue] = {"of": 1, "address": address}
    maker = maker_for(request, details)
    made = make_events(get_resolved_route(route.pk), {entity_id: event_type}, maker, request)
    equalised = equalised_entries(request.comparison, maker.actor, {**(maker.details or {})})
    append_entries(*equalised, *made.entries)
    return made.deliveries


@dataclass(frozen=True, slots=True)
class ScheduledRepair:
    """What a schedule made equal: the differences, and the keys of their deliveries."""

    differences: Sequence[Difference]
    deliveries: Sequence[int]


def make_equal_by_schedule(
    route: Route, comparison: Comparison, differences: Iterable[Difference]
) -> ScheduledRepair:
    """Make differences of a comparison equal because the route's schedule says so, in one commit, then notify the
    workers. The entries name the schedule, and who set it.

    A difference is marked as repaired in the same commit, and one that is marked is left out: a second call makes
    nothing twice. Those in delivery, in a request or erased are left out too. Raises ReplayRefused for more than 100,
    for other kinds than `differs` and `missing-record`, and for a comparison or route that cannot be used.
    """
    _require_usable(comparison, route)
    keys = [difference.pk for difference in differences]
    if len(keys) > MAX_BY_SCHEDULE:
        raise ReplayRefused(
            _("A schedule makes at most %(limit)s differences equal.") % {"limit": MAX_BY_SCHEDULE}
        )
    with transaction.atomic():
        rows = differences_of(comparison.pk).filter(pk__in=keys, is_repaired=False).select_for_update()
        repair = _repair_locked(route, comparison, list(rows))
    defer_to_workers(repair.deliveries)
    return repair


def _repair_locked(route: Route, comparison: Comparison, rows: Sequence[Difference]) -> ScheduledRepair:
    if any(row.kind not in BY_SCHEDULE for row in rows):
        raise ReplayRefused(_("A schedule makes only changed and missing records equal."))
    by_entity = {row.entity_id: row for row in rows}
    lock_subjects(route.source, route.entity_type, by_entity)
    for entity_id in find_skipped_entities(by_entity, route):
        del by_entity[entity_id]
    if not by_entity:
        return ScheduledRepair((), ())
    details: Mapping[str, JSONValue] = {"comparison": str(comparison.uuid), **_schedule_facts(route)}
    maker = EventMaker(EventOrigin.COMPARISON, details=details)
    types = {entity_id: EVENT_TYPES[row.kind] for entity_id, row in by_entity.items()}
    made = make_events(get_resolved_route(route.pk), types, maker)
    Difference.objects.filter(pk__in=[row.pk for row in by_entity.values()]).update(is_repaired=True)
    facts: Mapping[str, JSONValue] = {**_schedule_facts(route), "sent": len(made.events)}
    append_entries(*equalised_entries(comparison, SYSTEM, facts), *made.entries)
    return ScheduledRepair(list(by_entity.values()), made.deliveries)


def _schedule_facts(route: Route) -> dict[str, JSONValue]:
    """Return the reason of a repair by schedule: the route, how often it compares, and who set the schedule."""
    set_by = SYSTEM if route.schedule_set_by_id is None else f"person:{route.schedule_set_by_id}"
    hours = route.compare_every_hours
    return {
        "schedule": route.pk,
        "every_hours": hours,
        "set_by": set_by,
        "reason": f"schedule of the route {route.slug}, every {hours} hours, set by {set_by}",
    }
