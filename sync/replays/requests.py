"""Replay events on a person's request, in one commit.

A replay queues behind the subject's current work, fetches again unless the person chose otherwise, and is an
attempt of its own with person, time and reason. Thousands of events are sent over time as a bulk replay
(`batches`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from database.clock import database_now
from database.write_batch import WriteBatch
from sync.deliveries.creation import open_deliveries, resolve_routes, routes_of
from sync.deliveries.event_state import refresh_event_states
from sync.deliveries.routes import ResolvedRoute
from sync.deliveries.stored_webhook import has_webhook_data
from sync.erasure.requests import has_confirmed_erasure
from sync.evidence.row_facts import reopened_entries
from sync.execution.executor import defer_to_workers
from sync.models import OPEN_STATES, Attempt, Delivery, PayloadChoice, PersonRequest, Route
from webhooks.models import Event, State, is_erased

MAX_EVENTS = 1_000


class ReplayRefused(ValueError):
    """The request was refused, with a sentence for the person who made it."""


def route_observes() -> str:
    """Return the sentence for a request that would write through a route that observes."""
    return _("The route observes, so nothing is sent. Let it go live first.")


class ReplayAlreadyRequested(ReplayRefused):
    """The request, identified by its key, was already carried out, or an earlier one has not begun. Nothing
    was done.
    """


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Options of a replay: which payload is delivered, and whether the mapping version of the first attempt is used
    instead of the newest.
    """

    payload_choice: PayloadChoice = PayloadChoice.AS_ROUTED
    uses_first_version: bool = False

    def to_details(self) -> dict[str, str]:
        """Return the options for the audit log, empty for the defaults."""
        chosen_payload = {"payload_choice": str(self.payload_choice)} if self.payload_choice else {}
        return chosen_payload | ({"mapping": "then"} if self.uses_first_version else {})


DEFAULT_OPTIONS = ReplayOptions()


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Result of a replay request.

    `skipped` counts events without a route, `waiting` counts events that an earlier replay has not begun yet.
    """

    replay: PersonRequest
    deliveries: tuple[int, ...]
    skipped: int
    waiting: int


def request_replay(
    events: Sequence[Event],
    *,
    by: AbstractBaseUser,
    reason: str,
    key: UUID | None = None,
    address: str = "",
    options: ReplayOptions = DEFAULT_OPTIONS,
) -> ReplayResult:
    """Replay at most 1,000 events in one commit, then notify the workers.

    A delivery that is running runs once more afterwards; a waiting one becomes the replay. An event that
    waits for an earlier replay is left to it: an attempt has one person and one reason. `key` identifies the
    request: the database accepts it once, so that a second click starts nothing. `address` is the person's
    network address.

    Deliveries of routes that observe are left out. Raises ReplayRefused without a reason, without events, for too many,
    if all routes observe, and for a payload as received that does not exist.
    """
    reason = normalize_reason(reason)
    if not 0 < len(events) <= MAX_EVENTS:
        raise ReplayRefused(_("Select between 1 and %(limit)s events.") % {"limit": f"{MAX_EVENTS:,}"})
    if options.payload_choice and not all(map(has_webhook_data, events)):
        raise ReplayRefused(_("The webhook contained no data that can be sent as received."))
    replay = PersonRequest(requested_by_id=by.pk, reason=reason, created_at=timezone.now())
    replay.uuid = key or replay.uuid
    repeated = ReplayAlreadyRequested(_("This replay was already started. Nothing was started twice."))
    with replay.stored_once(repeated):
        requested = _request_stored(events, replay, address, options)
    defer_to_workers(requested.deliveries)
    return requested


def normalize_reason(reason: str) -> str:
    """Return the reason in the form that is stored. Raises ReplayRefused if it is empty."""
    reason = " ".join(reason.split())
    if not reason:
        raise ReplayRefused(_("Enter a reason. It is stored with the replay."))
    return reason[:500]


def _request_stored(
    events: Sequence[Event], replay: PersonRequest, address: str, options: ReplayOptions
) -> ReplayResult:
    details = {
        "person_request": str(replay.uuid),
        "of": len(events),
        "address": address,
        **options.to_details(),
    }
    # In key order, so that two requests lock the same deliveries in the same order.
    results = {
        event.pk: _replay_event(event, replay, options)
        for event in sorted(events, key=lambda event: event.pk)
    }
    replayed_events = {pk: replayed for pk, replayed in results.items() if replayed is not None}
    if not replayed_events:
        raise ReplayAlreadyRequested(_("This replay has already been requested and has not started yet."))
    if all(replayed.observes for replayed in replayed_events.values()):
        raise ReplayRefused(route_observes())
    deliveries = tuple(pk for replayed in replayed_events.values() for pk in replayed.deliveries)
    replay.events = sum(bool(replayed.deliveries) for replayed in replayed_events.values())
    replay.deliveries = len(deliveries)
    replay.save(update_fields=["events", "deliveries"])
    refresh_event_states(pk for pk, replayed in replayed_events.items() if replayed.deliveries)
    append_entries(
        *(
            replayed_entry(event, replay, details, replayed_events[event.pk].opened)
            for event in events
            if event.pk in replayed_events and replayed_events[event.pk].deliveries
        ),
        *(entry for replayed in replayed_events.values() for entry in replayed.entries),
        at=replay.created_at,
    )
    return ReplayResult(
        replay,
        deliveries,
        skipped=len(replayed_events) - replay.events,
        waiting=len(results) - len(replayed_events),
    )


@dataclass(frozen=True, slots=True)
class _ReplayedEvent:
    """The deliveries of a replayed event: their keys, the facts about those that the replay opened, and the audit
    entries of those that it reopened. If `observes`, all its routes do.
    """

    deliveries: Sequence[int] = ()
    opened: Sequence[JSONValue] = ()
    entries: Sequence[NewEntry] = ()
    observes: bool = False


def _replay_event(event: Event, replay: PersonRequest, options: ReplayOptions) -> _ReplayedEvent | None:
    """Mark the deliveries of an event for the replay and return them; None if they wait for another replay.

    An event without a route gets deliveries for the present routes; one whose entity was erased gets none.
    """
    opened_rows: Sequence[JSONValue] = ()
    if has_confirmed_erasure(event):
        return _ReplayedEvent()
    if not event.deliveries.exists() and not is_erased(event.entity_id):
        batch = WriteBatch()
        opened_rows = open_deliveries(event, live_routes(event), batch).opened_rows.deliveries
        batch.run()
    # Locked, so that none is claimed between the two updates and misses the replay.
    rows = event.deliveries.select_for_update().order_by("pk")
    locked = list(rows.values_list("person_request", "entity_id", "state"))
    if any(is_erased(entity_id) for _, entity_id, _ in locked):
        return _ReplayedEvent()
    # A closed delivery names the request that closed it, and waits for nothing.
    if any(replay and state in OPEN_STATES for replay, _, state in locked):
        return None
    live = Delivery.objects.filter(event=event, route__mode=Route.Mode.LIVE)
    keys = list(live.values_list("pk", flat=True))
    if not keys:
        return _ReplayedEvent(observes=bool(locked or routes_of(event)))
    return _ReplayedEvent(keys, opened_rows, mark_for_replay(live, replay, options))


def live_routes(event: Event) -> list[ResolvedRoute]:
    """Return the routes of an event without a delivery that a replay opens deliveries for."""
    return [resolved for resolved in resolve_routes(event) if not resolved.observes]


def observes(event: Event) -> bool:
    """True if all deliveries of an event are on routes that observe, so that a replay of it is refused."""
    modes = set(event.deliveries.values_list("route__mode", flat=True))
    return modes == {Route.Mode.OBSERVE}


def replayed_entry(
    event: Event, replay: PersonRequest, details: Mapping[str, JSONValue], opened: Sequence[JSONValue]
) -> NewEntry:
    """Return the audit entry of a replayed event, with the deliveries that the replay opened."""
    new_rows = {"deliveries": opened} if opened else {}
    return NewEntry(
        event.stream, "event.replayed", f"person:{replay.requested_by_id}", {**details, **new_rows}
    )


def mark_for_replay(
    deliveries: QuerySet[Delivery], replay: PersonRequest, options: ReplayOptions = DEFAULT_OPTIONS
) -> list[NewEntry]:
    """Mark locked deliveries for a replay: running ones run once more afterwards, others are due now.

    Returns the audit entries of the others, which the caller appends.
    """
    first = Attempt.objects.filter(delivery=OuterRef("pk"), mapping_version__isnull=False).order_by("number")
    version = Subquery(first.values("mapping_version")[:1]) if options.uses_first_version else None
    values = {"person_request": replay, "payload_choice": options.payload_choice, "mapping_version": version}
    reopened = list(deliveries.exclude(state=State.RUNNING).select_related("event").order_by("pk"))
    # A running delivery keeps its claim; the commit that settles it makes it pending again.
    deliveries.filter(state=State.RUNNING).update(**values)
    deliveries.exclude(state=State.RUNNING).update(
        **values,
        state=State.PENDING,
        attempts_used=0,
        deaths=0,
        is_approved=False,
        creates_record=False,
        state_before_recheck="",
        due_at=database_now(),
        opened_at=database_now(),
        settled_at=None,
        covered_by=None,
    )
    return reopened_entries(reopened, "replay")
