"""How an attempt ended, as one value: made from what it found or from the error that stopped it."""

import random
from dataclasses import dataclass

from sync.attempting import Disabled, Findings, NoMatch, NothingCarried
from sync.backoff import retry_delay
from sync.claiming import Claim
from sync.connectors.errors import ConnectorError
from sync.connectors.records import FieldError
from sync.mapping import Unmappable
from sync.matching import AmbiguousMatch
from sync.models import Outcome
from sync.planning import Action
from webhooks.models import State

ACTIONS = {
    Action.CREATE: "created",
    Action.UPDATE: "updated",
    Action.DELETE: "deleted",
    Action.NOTHING: "none",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the settling commit writes. `delay`: seconds until the next try, None where there is none."""

    outcome: Outcome
    state: State
    code: str
    is_retryable: bool = False
    delay: float | None = None
    sentence: str | None = None
    errors: tuple[FieldError, ...] = ()


def success(findings: Findings) -> Verdict:
    """The change was applied, or there was none."""
    nothing = findings.change is None or findings.change.action is Action.NOTHING
    outcome, state = (Outcome.UNCHANGED, State.UNCHANGED) if nothing else (Outcome.SUCCEEDED, State.SUCCEEDED)
    return Verdict(outcome, state, str(state))


def superseded() -> Verdict:
    """Older than what was applied."""
    return Verdict(Outcome.SUPERSEDED, State.SUPERSEDED, "superseded")


PLAIN_FAILURES: dict[type[Exception], tuple[str, bool]] = {
    AmbiguousMatch: ("ambiguous-match", False),
    NoMatch: ("no-match", False),
    Disabled: ("connection-disabled", True),
}
NOTHING_CARRIED = FieldError(
    "data", "missing", "the route relays what the webhook carries, and it carries nothing"
)


def failure(error: Exception, claim: Claim) -> Verdict:
    """Whose fault, whether trying again helps, and when."""
    if isinstance(error, ConnectorError):
        return _failed(claim, error.code, error.retryable, error.retry_after, error.sentence, error.fields)
    if isinstance(error, Unmappable):
        fields = (FieldError(error.field, "unmappable", error.reason),)
        return _failed(claim, "unmappable", is_retryable=False, errors=fields)
    if isinstance(error, NothingCarried):
        return _failed(claim, "unmappable", is_retryable=False, errors=(NOTHING_CARRIED,))
    code, is_retryable = PLAIN_FAILURES.get(type(error), ("internal-failure", True))
    return _failed(claim, code, is_retryable)


def _failed(
    claim: Claim,
    code: str,
    is_retryable: bool,
    retry_after: float | None = None,
    sentence: str | None = None,
    errors: tuple[FieldError, ...] = (),
) -> Verdict:
    again = is_retryable and claim.delivery.tries < claim.delivery.route.tries
    delay = retry_delay(claim.delivery.tries, random.random(), retry_after) if again else None  # noqa: S311
    state = State.RETRYING if again else State.DEAD
    return Verdict(Outcome.FAILED, state, code, is_retryable, delay, sentence, errors)
