"""Result types of the delivery port: what became of an event, for the answer to its source. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webhooks.catalogue.codes import RETRYABLE_CODES

# Values of `webhooks.models.State`, which this module may not import.
_OPEN = frozenset({"pending", "running", "held"})
_FAILED = frozenset({"dead", "retrying", "closed"})


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field of the record that the commercial system refused."""

    field: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an event in one commercial system.

    `action` is created, updated, deleted, none or empty. `connection_name`: of the system that `code` is about.
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

    @property
    def may_pass(self) -> bool:
        """It failed, for a reason that may have passed when somebody asks again."""
        return self.state == "dead" and self.code in RETRYABLE_CODES


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """What became of an event; of several systems the worst decides `state` and `code`."""

    state: str
    code: str
    results: tuple[Result, ...]
    entity: Mapping[str, Any] | None

    @property
    def is_open(self) -> bool:
        """Work goes on, and nothing can be told of its end yet."""
        return self.state in _OPEN

    @property
    def has_failed(self) -> bool:
        return self.state in _FAILED

    @property
    def is_retrying(self) -> bool:
        return any(result.is_retrying for result in self.results)

    @property
    def is_final(self) -> bool:
        """What is told now stays true: nothing goes on by itself, by an approval, or as its webhook comes again."""
        return not any(
            result.is_retrying or result.state in _OPEN or result.may_pass for result in self.results
        )
