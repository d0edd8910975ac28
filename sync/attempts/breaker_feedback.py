"""Update the circuit breakers of an attempt's connections, in the settling commit."""

from collections.abc import Mapping, Sequence

from config_schema.codes.codes import is_about_identity
from sync.attempts.absence import ENTITY_UNPROVEN
from sync.attempts.attempt_result import AttemptResult, without_using_attempt
from sync.attempts.call_log import AttemptRecorder
from sync.attempts.scope import OUT_OF_SCOPE_CODE
from sync.deliveries.claims import Claim
from sync.limits.circuit_breaker import (
    RequestEvidence,
    SystemFailure,
    is_system_failure,
    record_failure,
    record_success,
    unhealthy_breakers,
)
from sync.models import SUCCESSFUL_OUTCOMES, AttemptOutcome, Connection

# Refused before the target was called: they say nothing about the target.
_IDENTITY_REFUSALS = ("identity-rejected", "identity-missing", "identity-forbidden", ENTITY_UNPROVEN)
_REFUSALS = (
    "target-rejected",
    "target-missing-value",
    "target-forbidden",
    "target-stale",
    *_IDENTITY_REFUSALS,
    "ambiguous-match",
    "no-match",
)


def leaves_breakers_unchanged(claim: Claim, result: AttemptResult) -> bool:
    """True if `update_breakers` would write nothing.

    That is so if both breakers are closed without failures, and the result is not a failure of either system.
    """
    if not result.uses_attempt:
        return True
    connection_ids = (claim.delivery.identity_id, claim.delivery.target_id)
    return not (
        is_system_failure(result.found_code)
        or any(connection_id in unhealthy_breakers() for connection_id in connection_ids)
    )


def update_breakers(
    claim: Claim, result: AttemptResult, recorders: Sequence[AttemptRecorder]
) -> AttemptResult:
    """Record success or failure with the breakers of the connections that the attempt called.

    Returns the result, changed to use no attempt if the system failed behind a breaker that was not closed.
    """
    has_succeeded = result.outcome == AttemptOutcome.SUCCEEDED
    evidence = {recorder.connection: _collect_evidence(recorder, has_succeeded) for recorder in recorders}
    # The hub's own rate limit stopped the request: that says nothing about the remote system.
    if not result.uses_attempt:
        return result
    delivery = claim.delivery
    # Only a delivery that fetches its entity calls the identity service.
    connections = [delivery.identity] if delivery.is_fetched else []
    if not is_system_failure(result.found_code):
        if result.found_code not in _IDENTITY_REFUSALS:
            connections.append(delivery.target)
        for connection in connections:
            if _has_worked(result, evidence, connection):
                record_success(connection, evidence[connection])
        return result
    failure = SystemFailure(result.found_code, result.retry_after)
    if is_about_identity(result.found_code):
        delay = record_failure(delivery.identity, failure, evidence[delivery.identity])
    else:
        # The identity service answered properly before the target failed.
        for connection in connections:
            record_success(connection, evidence[connection])
        delay = record_failure(delivery.target, failure, evidence[delivery.target])
    return result if delay is None else without_using_attempt(result, claim, delay)


def _has_worked(
    result: AttemptResult, evidence: Mapping[Connection, RequestEvidence], connection: Connection
) -> bool:
    """True if a result that is no failure of a system shows that this one works."""
    if result.outcome == AttemptOutcome.IGNORED and result.found_code in (result.code, OUT_OF_SCOPE_CODE):
        # Nothing was written, and perhaps nothing was read in the target.
        return connection in evidence and evidence[connection].has_answered
    return result.outcome in SUCCESSFUL_OUTCOMES or result.found_code in _REFUSALS


def _collect_evidence(recorder: AttemptRecorder, has_succeeded: bool) -> RequestEvidence:
    """Return what the requests of an attempt show of one system."""
    answered, failed, status = set(), "", None
    for recorded in recorder.calls:
        call = recorded.call
        if call.status is None or is_system_failure(call.error):
            failed, status = call.purpose, call.status
        else:
            answered.add(call.purpose)
    return RequestEvidence(frozenset(answered), failed, has_succeeded, status)
