"""Result types of the delivery port: the outcome of an event, for the answer to its source. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config_schema.codes.codes import RETRYABLE_CODES

# The state, code and action of what routes observe: nothing is written, and no answer waits for it.
OBSERVED = "observed"
# Values of `webhooks.models.State`, which this module may not import.
_OPEN = frozenset({"pending", "running", "held"})
_FAILED = frozenset({"dead", "retrying", "closed"})


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field of the record that the target rejected."""

    field: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class TargetResult:
    """The result of an event on one target connection.

    `action` is created, updated, deleted, none, observed or empty. `connection_name` is the system that `code` is
    about. `language` is the one in which it states that its `sentence` and `errors` are, empty if it states none.
    `says` is the sentence that its settings have for people in their place, by language; None if they have none.
    """

    connection: str
    connection_name: str
    state: str
    code: str
    action: str
    record_id: str
    is_retrying: bool
    sentence: str | None
    errors: tuple[FieldProblem, ...]
    language: str = ""
    says: Mapping[str, str] | None = None

    @property
    def may_succeed_later(self) -> bool:
        """True if the delivery failed for a reason that may no longer apply when the webhook is repeated."""
        return self.state == "dead" and self.code in RETRYABLE_CODES


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """The outcome of an event. The worst result of its targets decides `state` and `code`, without those that are
    observed; if all are, so is the event.
    """

    state: str
    code: str
    results: tuple[TargetResult, ...]
    entity: Mapping[str, Any] | None

    @property
    def is_open(self) -> bool:
        """True if deliveries are still pending, running or on hold, so there is no outcome yet."""
        return self.state in _OPEN

    @property
    def has_failed(self) -> bool:
        return self.state in _FAILED

    @property
    def is_retrying(self) -> bool:
        return any(result.is_retrying for result in self.results)

    @property
    def is_final(self) -> bool:
        """True if no retry, approval or repeat of the webhook will change the outcome."""
        return not any(
            result.is_retrying or result.state in _OPEN or result.may_succeed_later for result in self.results
        )
