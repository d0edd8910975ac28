"""What the end of an attempt tells the breakers of its connections, in the settling commit."""

from sync.attempts.attempt_result import Verdict, spared
from sync.deliveries.claims import Claim
from sync.limits.circuit_breaker import Failing, is_of_the_system, note_failure, note_success, troubled
from sync.models import Outcome
from webhooks.catalogue.codes import is_about_identity

_ANSWERED = (Outcome.SUCCEEDED, Outcome.UNCHANGED)
_OF_IDENTITY = ("identity-rejected", "identity-missing")  # before the commercial system was needed
_REFUSALS = ("target-rejected", *_OF_IDENTITY, "ambiguous-match", "no-match")


def is_no_news(claim: Claim, verdict: Verdict) -> bool:
    """Whether `tell_breakers` would write nothing: all is well with both, and that is what they would be told."""
    if not verdict.spends_try:
        return True
    asked = (claim.delivery.identity_id, claim.delivery.commercial_id)
    return not (is_of_the_system(verdict.code) or any(each in troubled() for each in asked))


def tell_breakers(claim: Claim, verdict: Verdict) -> Verdict:
    """Let the breakers of the connections that were asked know. A failure under one that is not closed spends no try.

    Only one that is fetched asks the identity service.
    """
    if not verdict.spends_try:  # our own pace, not theirs
        return verdict
    delivery = claim.delivery
    asked = [delivery.identity] if delivery.is_fetched else []
    if not is_of_the_system(verdict.code):
        if verdict.code not in _OF_IDENTITY:
            asked.append(delivery.commercial)
        for each in asked if verdict.outcome in _ANSWERED or verdict.code in _REFUSALS else ():
            note_success(each)
        return verdict
    failing = Failing(verdict.code, verdict.retry_after)
    if is_about_identity(verdict.code):
        was_open = note_failure(delivery.identity, failing)
    else:
        for each in asked:
            note_success(each)
        was_open = note_failure(delivery.commercial, failing)
    return spared(verdict, claim) if was_open else verdict
