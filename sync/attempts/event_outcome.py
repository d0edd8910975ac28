"""The outcome of an event, for the answer to its source."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from config_schema.codes.outcome import OBSERVED, EventOutcome, FieldProblem, TargetResult
from sync.attempts.attempt_result import ACTION_CODES, AttemptResult
from sync.attempts.plan import AttemptFindings
from sync.deliveries.claims import Claim
from sync.deliveries.routes import ResolvedRoute
from sync.deliveries.stored_webhook import wants_entity
from sync.models import SUCCESS_STATES, Attempt, Connection, Delivery, Finding
from webhooks.models import Event, State, event_state

_FAILED = (State.DEAD, State.RETRYING, State.CLOSED)
# What a system says about credentials, or about itself, is not for the person who saved.
_ABOUT_DATA = ("identity-rejected", "target-rejected", "target-missing-value", "unmappable", "missing-data")


def load_event_outcome(event: Event, *, with_entity: bool = False) -> EventOutcome:
    """Read an event's outcome from the database."""
    return load_event_outcomes([event], with_entity=with_entity)[event.pk]


def load_event_outcomes(events: Sequence[Event], *, with_entity: bool = False) -> dict[int, EventOutcome]:
    """Read the outcomes of events from the database. Returns them by the key of the event."""
    related = ("identity", "target", "route", "covered_by__findings__subject")
    rows = Delivery.objects.filter(event__in=events).select_related(*related).order_by("pk")
    deliveries: dict[int, list[Delivery]] = {event.pk: [] for event in events}
    for delivery in rows:
        deliveries[delivery.event_id].append(delivery)
    latest = _latest_attempts(
        [delivery for event_deliveries in deliveries.values() for delivery in event_deliveries]
    )
    return {
        event.pk: _event_outcome(event, deliveries[event.pk], latest, with_entity=with_entity)
        for event in events
    }


def _event_outcome(
    event: Event, deliveries: Sequence[Delivery], latest: Mapping[int, Attempt], *, with_entity: bool
) -> EventOutcome:
    if not deliveries:
        return EventOutcome(State.IGNORED, event.code or State.IGNORED, (), None)
    results = tuple(_delivery_result(delivery, latest.get(delivery.pk)) for delivery in deliveries)
    counted = [result for result in results if result.state != OBSERVED]
    if not counted:
        return observed_outcome(results)
    state = event_state([result.state for result in counted])
    code = next((result.code for result in counted if result.state == state), "ignored")
    attempts = [
        latest[delivery.pk] for delivery in deliveries if delivery.pk in latest and not delivery.is_observed
    ]
    entity = _fetched_entity(attempts) if with_entity else None
    return EventOutcome(state, code or str(state), results, entity)


def outcome_of_attempt(
    claim: Claim, attempt_result: AttemptResult, findings: AttemptFindings
) -> EventOutcome | None:
    """Return the outcome of an event whose only delivery has just succeeded, without reading the database.

    Returns None for a failure.
    """
    if attempt_result.state not in SUCCESS_STATES:
        # The answer to a failure needs the stored response.
        return None
    delivery, change = claim.delivery, findings.change
    result = TargetResult(
        connection=delivery.target.slug,
        connection_name=delivery.target.name,
        state=attempt_result.state,
        code=attempt_result.code,
        action=ACTION_CODES[change.action] if change else "",
        record_id=findings.record_id,
        is_retrying=False,
        sentence=None,
        errors=(),
    )
    entity = None
    if findings.entity is not None and wants_entity(delivery.event):
        # As it is stored: without secrets of ours that the system repeated.
        entity = findings.scrubber.scrub_document(findings.entity.attributes)
    return EventOutcome(attempt_result.state, attempt_result.code, (result,), entity)


def initial_outcome(event: Event, routes: Sequence[ResolvedRoute]) -> EventOutcome:
    """Return the outcome of an event that was just stored: its deliveries are pending or observed, or it is ignored."""
    results = tuple(
        _observed_result(resolved.route.target)
        if resolved.observes
        else _pending_result(resolved.route.target)
        for resolved in routes
    )
    if results and all(resolved.observes for resolved in routes):
        return observed_outcome(results)
    return EventOutcome(event.state, event.code or event.state, results, None)


def observed_outcome(results: tuple[TargetResult, ...]) -> EventOutcome:
    """Return the outcome of an event of which all routes observe. It is final, whether they have planned or not."""
    return EventOutcome(OBSERVED, OBSERVED, results, None)


def _pending_result(target: Connection) -> TargetResult:
    return TargetResult(target.slug, target.name, State.PENDING, State.PENDING, "", "", False, None, ())


def _observed_result(target: Connection) -> TargetResult:
    return TargetResult(target.slug, target.name, OBSERVED, OBSERVED, OBSERVED, "", False, None, ())


def _latest_attempts(deliveries: list[Delivery]) -> dict[int, Attempt]:
    """Return the attempt that decides each delivery's outcome: its own newest one, or a later one that covered it."""
    own = Attempt.objects.filter(delivery__in=deliveries).select_related("findings__subject")
    rechecked = {delivery.pk for delivery in deliveries if delivery.is_rechecked}
    latest = {
        attempt.delivery_id: attempt
        for attempt in own.order_by("pk")
        if attempt.ended_at is not None or attempt.delivery_id not in rechecked
    }
    for delivery in deliveries:
        covering = delivery.covered_by
        if covering is not None and (delivery.pk not in latest or covering.pk > latest[delivery.pk].pk):
            latest[delivery.pk] = covering
    return latest


def _delivery_result(delivery: Delivery, attempt: Attempt | None) -> TargetResult:
    if delivery.is_observed:
        return _observed_result(delivery.target)
    # A check of the record changes nothing that the source knows, unless it ends otherwise.
    state = delivery.state_before_recheck or delivery.state
    remote_answer = _remote_answer(attempt) if attempt and state in _FAILED else {}
    # A failure of the identity service is named as such, although each result belongs to a target.
    responsible = delivery.connection_of_code(delivery.code)
    relays = responsible.relays_sentences and delivery.code in _ABOUT_DATA
    says = remote_answer.get("says") if delivery.code in _ABOUT_DATA else None
    return TargetResult(
        connection=delivery.target.slug,
        connection_name=responsible.name,
        state=state,
        code=delivery.code or state,
        action=attempt.action if attempt and state in SUCCESS_STATES else "",
        record_id=attempt.record_id if attempt else "",
        is_retrying=state == State.RETRYING,
        sentence=remote_answer.get("sentence") if relays else None,
        errors=tuple(
            # Our sentence stands in place of all that the system says.
            FieldProblem(error["field"], error["code"], error["detail"] if relays and not says else "")
            for error in remote_answer.get("errors", [])
        ),
        language=remote_answer.get("language", ""),
        says=says,
    )


def _remote_answer(attempt: Attempt) -> Mapping[str, Any]:
    """Return the remote system's sentence and field errors; empty if it gave none."""
    return attempt.stored_finding(Finding.ANSWER) or {}


def _fetched_entity(attempts: Iterable[Attempt]) -> Mapping[str, Any] | None:
    """Return the entity as fetched, of the first attempt that has one."""
    entities = (attempt.stored_finding(Finding.ENTITY) for attempt in attempts)
    return next((entity for entity in entities if entity is not None), None)
