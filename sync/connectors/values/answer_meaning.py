"""Decide what a response means by ordered rules over its status and body. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sync.connectors.values.json_responses import JmesPathExpression, UnreadableError, parse_json


class Meaning(StrEnum):
    """What a response says about the request."""

    # The request succeeded, whatever the status.
    DONE = "done"
    # The item does not exist. That alone proves nothing.
    ABSENT = "absent"
    # Another record has the value that must be unique.
    EXISTS = "exists"
    # The record was changed since it was read; nothing was written.
    STALE = "stale"
    # The system rejects the data, and will reject it again.
    REFUSED = "refused"
    # The system refuses the credentials.
    CREDENTIALS = "credentials"
    # Too many requests.
    THROTTLED = "throttled"
    # The system does not work at the moment.
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class StatusRange:
    """HTTP statuses from `lowest` to `highest`, both included."""

    lowest: int
    highest: int

    def __contains__(self, status: int) -> bool:
        return self.lowest <= status <= self.highest


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """Rule for what a response means. `statuses`: empty for every status. `condition`: an expression that must be true
    of the body; None for every body.
    """

    means: Meaning
    statuses: tuple[StatusRange, ...] = ()
    condition: JmesPathExpression | None = None

    def fits_status(self, status: int) -> bool:
        """Return True if the rule is about responses with this status."""
        return not self.statuses or any(status in statuses for statuses in self.statuses)


def find_meaning(rules: Iterable[AnswerRule], status: int, body: bytes) -> Meaning | None:
    """Return what the first rule that fits says of a response; None if no rule fits, and the status decides.

    A condition sees the body as JSON: null if it is empty. No condition fits a body that is not JSON. Raises
    ExpressionOverBudget.
    """
    document: object = None
    is_readable: bool | None = None
    for rule in rules:
        if not rule.fits_status(status):
            continue
        if rule.condition is None:
            return rule.means
        if is_readable is None:
            # Once for all conditions: a body may have a megabyte.
            try:
                document, is_readable = parse_json(body) if body.strip() else None, True
            except UnreadableError:
                is_readable = False
        if is_readable and rule.condition.is_true(document):
            return rule.means
    return None
