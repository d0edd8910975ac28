"""Deliveries of a route that observes: planned and recorded as any other, and nothing is written.

The attempt sends reads only, and stores the change that it planned. Nothing of it concerns anybody else: no link is
written, nothing is held, counted, superseded or waited for. Its delivery ends `ignored`, with a code that says whether
a change was planned. Only a system that cannot be reached is tried again.
"""

from dataclasses import replace

from connectors.contracts.errors import HUB_EXHAUSTED_CODE
from sync.attempts.absence import ABSENCE_CODES
from sync.attempts.attempt_result import AttemptResult
from sync.attempts.plan import AttemptFindings, Plan
from sync.deliveries.claims import Claim
from sync.limits.circuit_breaker import is_system_failure
from sync.models import (
    OBSERVED_CODE,
    OBSERVED_FAILED_CODE,
    SUCCESS_STATES,
    AttemptOutcome,
)
from sync.planning.change import Change, ChangeAction
from sync.references.value_holders import NONE_TAKEN
from webhooks.models import State

# The system cannot be reached because of the hub: it has no free connection, or a person has disabled it.
_UNREACHABLE_CODES = (HUB_EXHAUSTED_CODE, "connection-disabled")


def keeps_success(claim: Claim) -> bool:
    """True if a re-check of a success began before its route observed: it is left out, and the success stays."""
    return claim.delivery.state_before_recheck in SUCCESS_STATES


def kept_result(claim: Claim) -> AttemptResult:
    """Return the result of a re-check that was left out: the delivery is as before."""
    return AttemptResult(
        AttemptOutcome.IGNORED, State(claim.delivery.state_before_recheck), claim.delivery.code
    )


def observed_result(result: AttemptResult, findings: AttemptFindings) -> AttemptResult:
    """Return the result for a route that observes, from the one that the attempt of a live route would have.

    A change that a person would have to decide about is observed with its plan. Data that are older than those applied,
    and an entity outside the scope without a record, are planned as no change.
    """
    if result.state == State.RETRYING and _is_unreachable(result.code):
        return result
    has_succeeded = result.state in (*SUCCESS_STATES, State.SUPERSEDED, State.IGNORED)
    if has_succeeded and findings.plan is None:
        findings.plan = Plan(Change(ChangeAction.NOTHING))
    waits_for_person = result.state == State.HELD or result.code in ABSENCE_CODES
    is_planned = has_succeeded or (waits_for_person and findings.change is not None)
    return replace(
        result,
        outcome=AttemptOutcome.IGNORED,
        state=State.IGNORED,
        code=OBSERVED_CODE if is_planned else OBSERVED_FAILED_CODE,
        found_code=OBSERVED_CODE if has_succeeded and result.state != State.IGNORED else result.code,
        is_retryable=False,
        retry_delay=None,
        retry_after=None,
        missing=frozenset(),
        taken=NONE_TAKEN,
    )


def _is_unreachable(code: str) -> bool:
    return is_system_failure(code) or code in _UNREACHABLE_CODES
