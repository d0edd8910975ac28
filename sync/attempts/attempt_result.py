"""The result of an attempt, as one value: made of its findings, or of the error that stopped it."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from django.conf import settings

from connectors.contracts.errors import ConnectorError, HubExhausted
from connectors.contracts.types import FieldError
from database.clock import read_clock
from sync.attempts.absence import (
    ENTITY_UNPROVEN,
    OWNER_HELD_CODE,
    RECORD_UNPROVEN,
    EntityAbsenceUnproven,
    RecordOwnerUnproven,
)
from sync.attempts.mass_change_guard import HeldForApproval
from sync.attempts.plan import (
    ConnectionDisabled,
    EntityNotYetVisible,
    NoMatchingRecord,
    NoRelayedData,
    Plan,
)
from sync.attempts.scope import OUT_OF_SCOPE_CODE, OutOfScope
from sync.deliveries.claims import Claim
from sync.limits.rate_limit import RateLimited
from sync.models import MATCH_HELD_CODE, AttemptOutcome
from sync.planning.change import ChangeAction
from sync.planning.mapping import EntityNotMappable, MappingOverBudget, ReferenceMissing, TooManyReferences
from sync.planning.record_matching import AmbiguousMatch, MatchUndecided, RecordAbsenceUnproven
from sync.planning.references import Reference
from sync.planning.retry_policy import RetryPolicy, next_retry_delay
from sync.planning.scope import ConditionFailed
from sync.references.missing_references import REFERENCE_MISSING_CODE, wait_delay
from sync.references.value_holders import NONE_TAKEN, TakenValues
from webhooks.models import State

ACTION_CODES = {
    ChangeAction.CREATE: "created",
    ChangeAction.UPDATE: "updated",
    ChangeAction.DELETE: "deleted",
    ChangeAction.NOTHING: "none",
}


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result that the settling commit writes.

    `retry_delay` is the number of seconds until the next attempt; None if there is none. `uses_attempt` is false if the
    delivery could not influence the result, for example while its connection is paused. If `may_still_arrive`, a write
    was sent, and the target may apply it at any later time. `language` is the one that the remote system states for its
    sentence. `says` is the sentence for people in its place, by language, if the settings have one. `missing` has the
    entities whose records the delivery waits or has waited for or, after a success, whose records are missing from its
    record. `taken` has the entities whose records hold values that the target refused. `found_code` is that of what the
    attempt found. It is another one than `code` only if the route observes: that with which the attempt of a live route
    would have failed or been held, or that of an entity outside the scope.
    """

    outcome: AttemptOutcome
    state: State
    code: str
    is_retryable: bool = False
    retry_delay: float | None = None
    sentence: str | None = None
    errors: tuple[FieldError, ...] = ()
    retry_after: float | None = None
    uses_attempt: bool = True
    may_still_arrive: bool = False
    missing: frozenset[Reference] = frozenset()
    language: str = ""
    says: Mapping[str, str] | None = None
    taken: TakenValues = NONE_TAKEN
    found_code: str = ""

    def __post_init__(self) -> None:
        if not self.found_code:
            object.__setattr__(self, "found_code", self.code)

    @property
    def requested_delay(self) -> float:
        """Return how much of the delay the remote system asked for, in seconds (Retry-After)."""
        # The retry policy may have shortened what the system asked for.
        return min(self.retry_delay or 0.0, self.retry_after or 0.0)


def success_result(plan: Plan) -> AttemptResult:
    """Return the result of an attempt that applied its change, or had nothing to change."""
    nothing = plan.change.action is ChangeAction.NOTHING
    outcome, state = (
        (AttemptOutcome.UNCHANGED, State.UNCHANGED)
        if nothing
        else (AttemptOutcome.SUCCEEDED, State.SUCCEEDED)
    )
    return AttemptResult(outcome, state, str(state), missing=plan.left_out)


def superseded_result() -> AttemptResult:
    """Return the result of an attempt whose data are older than those applied already."""
    return AttemptResult(AttemptOutcome.SUPERSEDED, State.SUPERSEDED, "superseded")


FAILURE_CODES: dict[type[Exception], tuple[str, bool]] = {
    AmbiguousMatch: ("ambiguous-match", False),
    NoMatchingRecord: ("no-match", False),
    EntityNotYetVisible: ("identity-missing", True),
    ConnectionDisabled: ("connection-disabled", True),
}
_MAPPING_CODES: dict[type[Exception], str] = {
    ConditionFailed: "mapping-failed",
    MappingOverBudget: "mapping-over-budget",
    TooManyReferences: "too-many-references",
}
NO_RELAYED_DATA = FieldError(
    "data", "missing", "the route relays the data of the webhook, and this webhook has no data"
)
_UNKNOWN_EXTERNAL_ID = (
    "the record has the external id of an entity that the hub does not know, so it may be that of another "
    "person"
)
_LOST_EXTERNAL_ID = (
    "the record has lost the external id that the hub wrote, or has that of another entity, and no other record has "
    "it, so it may be that of another person"
)


def failure_result(error: Exception, claim: Claim) -> AttemptResult:
    """Return the result for an error: its code, the party responsible for it, and the time of the next attempt."""
    if isinstance(error, HeldForApproval | MatchUndecided | RecordOwnerUnproven):
        return _held_result(error)
    if isinstance(error, EntityAbsenceUnproven | RecordAbsenceUnproven):
        is_entity = isinstance(error, EntityAbsenceUnproven)
        return _unproven_result(claim, ENTITY_UNPROVEN if is_entity else RECORD_UNPROVEN)
    if isinstance(error, RateLimited):
        return _rate_limited_result(error, claim)
    if isinstance(error, ConnectorError):
        return _request_result(error, claim)
    if isinstance(error, EntityNotMappable | NoRelayedData | OutOfScope):
        return _mapping_result(error, claim)
    code, is_retryable = FAILURE_CODES.get(type(error), ("internal-failure", True))
    return _failed_result(claim, code, is_retryable)


def _held_result(error: HeldForApproval | MatchUndecided | RecordOwnerUnproven) -> AttemptResult:
    """Return the result of an attempt that waits for a person's decision."""
    if isinstance(error, RecordOwnerUnproven):
        reason = (
            FieldError(error.field, "lost-external-id", _LOST_EXTERNAL_ID)
            if error.has_lost_external_id
            else FieldError(error.field, "unknown-external-id", _UNKNOWN_EXTERNAL_ID)
        )
        return AttemptResult(AttemptOutcome.HELD, State.HELD, OWNER_HELD_CODE, errors=(reason,))
    code = "held" if isinstance(error, HeldForApproval) else MATCH_HELD_CODE
    return AttemptResult(AttemptOutcome.HELD, State.HELD, code)


def _mapping_result(error: EntityNotMappable | NoRelayedData | OutOfScope, claim: Claim) -> AttemptResult:
    """Return the result for an entity that is not mapped. That the route is not for it is no failure."""
    if isinstance(error, OutOfScope):
        return AttemptResult(AttemptOutcome.IGNORED, State.IGNORED, OUT_OF_SCOPE_CODE)
    if isinstance(error, ReferenceMissing):
        return _reference_result(error, claim)
    if isinstance(error, NoRelayedData):
        return _failed_result(claim, "missing-data", is_retryable=False, errors=(NO_RELAYED_DATA,))
    code = next((code for kind, code in _MAPPING_CODES.items() if isinstance(error, kind)), "unmappable")
    return _failed_result(claim, code, is_retryable=False, errors=(_unmappable_field(error),))


def _unmappable_field(error: EntityNotMappable) -> FieldError:
    code = "over-budget" if isinstance(error, MappingOverBudget) else "unmappable"
    return FieldError(error.field, code, error.reason)


def _reference_result(error: ReferenceMissing, claim: Claim) -> AttemptResult:
    """Return a retry that uses no attempt, because the delivery waits for other records.

    Once the wait is over, returns a failure.
    """
    reason = FieldError(error.field, REFERENCE_MISSING_CODE, error.reason)
    mapping = claim.route.mapping
    if error.is_final or mapping is None:
        # Retryable all the same: a replay waits again.
        return AttemptResult(
            AttemptOutcome.FAILED,
            State.DEAD,
            REFERENCE_MISSING_CODE,
            is_retryable=True,
            errors=(reason,),
            missing=error.missing,
        )
    delay = wait_delay(claim.delivery, mapping.reference_wait, random.random())  # noqa: S311
    return AttemptResult(
        AttemptOutcome.FAILED,
        State.RETRYING,
        REFERENCE_MISSING_CODE,
        is_retryable=True,
        retry_delay=delay,
        errors=(reason,),
        uses_attempt=False,
        missing=error.missing,
    )


def _failed_result(
    claim: Claim,
    code: str,
    is_retryable: bool,
    retry_after: float | None = None,
    sentence: str | None = None,
    errors: tuple[FieldError, ...] = (),
) -> AttemptResult:
    delay = _retry_delay(claim, retry_after) if is_retryable else None
    state = State.DEAD if delay is None else State.RETRYING
    return AttemptResult(
        AttemptOutcome.FAILED, state, code, is_retryable, delay, sentence, errors, retry_after
    )


def _unproven_result(claim: Claim, code: str) -> AttemptResult:
    """Return a retry that checks again later. If no attempt is left, the delivery is held for a person."""
    result = _failed_result(claim, code, is_retryable=True)
    if result.retry_delay is None:
        return AttemptResult(AttemptOutcome.HELD, State.HELD, code)
    return replace(result, retry_delay=max(result.retry_delay, settings.ABSENCE_CONFIRM_SECONDS))


def _retry_delay(claim: Claim, retry_after: float | None) -> float | None:
    route, opened_at = claim.delivery.route, claim.delivery.opened_at
    # A delivery that was stored as claimed still has the expression NOW here: its age is zero.
    age = (read_clock() - opened_at).total_seconds() if isinstance(opened_at, datetime) else 0.0
    policy = RetryPolicy(
        route.max_attempts,
        route.gives_up_after_hours * 3600,
        route.retry_base_seconds,
        route.retry_cap_seconds,
    )
    # The random number spreads the retries of deliveries that failed together.
    return next_retry_delay(policy, claim.delivery.attempts_used, age, random.random(), retry_after)  # noqa: S311


def without_using_attempt(result: AttemptResult, claim: Claim, delay: float) -> AttemptResult:
    """Return the result of a failure that the delivery could not influence: a retry that uses no attempt.

    `delay`: seconds until the deliveries that wait for a paused system have had their turn.

    A delivery that is older than its route allows stays dead.
    """
    has_ended = result.state != State.RETRYING
    # A delivery that has ended although attempts are left is too old.
    if has_ended and claim.delivery.attempts_used < claim.delivery.route.max_attempts:
        return result
    delay = max(delay, claim.delivery.route.retry_base_seconds)
    return replace(
        result,
        outcome=AttemptOutcome.FAILED,
        state=State.RETRYING,
        code=result.found_code,
        is_retryable=True,
        retry_delay=delay,
        uses_attempt=False,
    )


def _request_result(error: ConnectorError, claim: Claim) -> AttemptResult:
    """Return the result for a request that did not succeed. If the hub itself could open no connection, it is a retry
    that uses no attempt.
    """
    result = replace(
        _failed_result(claim, error.code, error.retryable, error.retry_after, error.sentence, error.fields),
        may_still_arrive=error.maybe_applied,
        language=error.language,
        says=error.says,
    )
    if not isinstance(error, HubExhausted):
        return result
    # Spread, so that the deliveries do not need a connection at the same moment again.
    spread = random.uniform(1.0, 2.0)  # noqa: S311
    return without_using_attempt(result, claim, claim.delivery.route.retry_base_seconds * spread)


def _rate_limited_result(error: RateLimited, claim: Claim) -> AttemptResult:
    """Return a retry for a request that the connection's own rate limit stopped. It uses no attempt."""
    side = "identity" if error.connection == claim.delivery.identity else "target"
    # Spread, so that the deliveries that wait do not all come back at the same moment.
    delay = error.seconds * random.uniform(1.0, 2.0)  # noqa: S311
    return AttemptResult(
        AttemptOutcome.FAILED,
        State.RETRYING,
        f"{side}-throttled",
        is_retryable=True,
        retry_delay=delay,
        uses_attempt=False,
    )
