"""Update the circuit breakers of an attempt's connections, in the settling commit."""

from sync.attempts.attempt_result import AttemptResult, without_spending_try
from sync.deliveries.claims import Claim
from sync.limits.circuit_breaker import (
    SystemFailure,
    is_system_failure,
    record_failure,
    record_success,
    unhealthy_breakers,
)
from sync.models import AttemptOutcome
from webhooks.catalogue.codes import is_about_identity

_SUCCESSFUL_OUTCOMES = (AttemptOutcome.SUCCEEDED, AttemptOutcome.UNCHANGED)
# Refused before the target was called: they say nothing about the target.
_IDENTITY_REFUSALS = ("identity-rejected", "identity-missing")
_REFUSALS = ("target-rejected", *_IDENTITY_REFUSALS, "ambiguous-match", "no-match")


def leaves_breakers_unchanged(claim: Claim, result: AttemptResult) -> bool:
    """True if `update_breakers` would write nothing.

    That is so if both breakers are closed without failures, and the result is not a failure of either system.
    """
    if not result.spends_try:
        return True
    connection_ids = (claim.delivery.identity_id, claim.delivery.commercial_id)
    return not (
        is_system_failure(result.code)
        or any(connection_id in unhealthy_breakers() for connection_id in connection_ids)
    )


def update_breakers(claim: Claim, result: AttemptResult) -> AttemptResult:
    """Record success or failure with the breakers of the connections that the attempt called.

    Returns the result, changed to spend no try if the system failed behind a breaker that was not closed.
    """
    # The hub's own rate limit stopped the request: that says nothing about the remote system.
    if not result.spends_try:
        return result
    delivery = claim.delivery
    # Only a delivery that fetches its entity calls the identity service.
    connections = [delivery.identity] if delivery.is_fetched else []
    if not is_system_failure(result.code):
        if result.code not in _IDENTITY_REFUSALS:
            connections.append(delivery.commercial)
        for connection in (
            connections if result.outcome in _SUCCESSFUL_OUTCOMES or result.code in _REFUSALS else ()
        ):
            record_success(connection)
        return result
    failing = SystemFailure(result.code, result.retry_after)
    if is_about_identity(result.code):
        was_open = record_failure(delivery.identity, failing)
    else:
        # The identity service answered properly before the target failed.
        for connection in connections:
            record_success(connection)
        was_open = record_failure(delivery.commercial, failing)
    return without_spending_try(result, claim) if was_open else result
