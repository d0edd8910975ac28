"""What the end of an attempt tells the breakers of its connections, in the settling commit."""

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
_IDENTITY_REFUSALS = ("identity-rejected", "identity-missing")  # before the commercial system was needed
_REFUSALS = ("target-rejected", *_IDENTITY_REFUSALS, "ambiguous-match", "no-match")


def leaves_breakers_unchanged(claim: Claim, verdict: AttemptResult) -> bool:
    """Whether `update_breakers` would write nothing: all is well with both, and that is what they would be told."""
    if not verdict.spends_try:
        return True
    asked = (claim.delivery.identity_id, claim.delivery.commercial_id)
    return not (is_system_failure(verdict.code) or any(each in unhealthy_breakers() for each in asked))


def update_breakers(claim: Claim, verdict: AttemptResult) -> AttemptResult:
    """Let the breakers of the connections that were asked know. A failure under one that is not closed spends no try.

    Only one that is fetched asks the identity service.
    """
    if not verdict.spends_try:  # our own pace, not theirs
        return verdict
    delivery = claim.delivery
    asked = [delivery.identity] if delivery.is_fetched else []
    if not is_system_failure(verdict.code):
        if verdict.code not in _IDENTITY_REFUSALS:
            asked.append(delivery.commercial)
        for each in asked if verdict.outcome in _SUCCESSFUL_OUTCOMES or verdict.code in _REFUSALS else ():
            record_success(each)
        return verdict
    failing = SystemFailure(verdict.code, verdict.retry_after)
    if is_about_identity(verdict.code):
        was_open = record_failure(delivery.identity, failing)
    else:
        for each in asked:
            record_success(each)
        was_open = record_failure(delivery.commercial, failing)
    return without_spending_try(verdict, claim) if was_open else verdict
