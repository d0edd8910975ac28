"""Decide what a response means by ordered rules over its status, headers and body. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from config_schema.expressions.expression_budget import MAX_BYTES, MAX_STEPS, ExpressionBudget
from connectors.values.json_responses import JmesPathExpression, UnreadableError, parse_json

# Of a body that is not JSON.
MAX_TEXT_BYTES = 65_536
# Of all conditions over one response.
MAX_RULE_STEPS = 10 * MAX_STEPS
MAX_RULE_BYTES = 16 * MAX_BYTES


class Meaning(StrEnum):
    """The outcome of a request that a response states."""

    # The request succeeded, whatever the status.
    DONE = "done"
    # The item does not exist. That alone proves nothing.
    ABSENT = "absent"
    # A search found no record: what `absent` means in the rules of a search.
    NONE_FOUND = "none-found"
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


# The meanings that a rule of the settings may give.
STATED_MEANINGS = tuple(meaning for meaning in Meaning if meaning is not Meaning.NONE_FOUND)

# For each meaning, the status that has it without a rule, and the statuses that are as good.
_STATUS_OF_MEANING: Mapping[Meaning, tuple[int, frozenset[int]]] = {
    Meaning.DONE: (200, frozenset(range(200, 300))),
    Meaning.ABSENT: (404, frozenset({404, 410})),
    Meaning.NONE_FOUND: (204, frozenset({204})),
    Meaning.EXISTS: (409, frozenset({409})),
    Meaning.STALE: (412, frozenset(range(400, 500))),
    Meaning.REFUSED: (422, frozenset({400, 409, 422})),
    # A 403 may concern one item, which is found out later.
    Meaning.CREDENTIALS: (401, frozenset({401, 403})),
    Meaning.THROTTLED: (429, frozenset({429})),
    Meaning.UNAVAILABLE: (503, frozenset(range(500, 600))),
}


def status_of(meaning: Meaning, status: int) -> int:
    """Return the status of a response if it has the meaning already, else the one that has it."""
    usual, as_good = _STATUS_OF_MEANING[meaning]
    return status if status in as_good else usual


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """Rule for what a response means.

    `statuses` is empty for every status. `condition` is an expression that must be true of `{status, headers, body}`;
    None for every response. `says` is the sentence for people in place of the system's, by language; None for the
    system's.
    """

    means: Meaning
    statuses: frozenset[int] = frozenset()
    condition: JmesPathExpression | None = None
    says: Mapping[str, str] | None = None

    def fits_status(self, status: int) -> bool:
        """Return True if the rule is about responses with this status."""
        return not self.statuses or status in self.statuses


def find_meaning(
    rules: Iterable[AnswerRule], status: int, headers: Mapping[str, str], body: bytes
) -> Meaning | None:
    """Return the meaning of a response by the first rule that fits; None if no rule fits, and the status decides.

    Raises ExpressionOverBudget.
    """
    rule = find_rule(rules, status, headers, body)
    return None if rule is None else rule.means


def find_rule(
    rules: Iterable[AnswerRule], status: int, headers: Mapping[str, str], body: bytes
) -> AnswerRule | None:
    """Return the first rule that fits a response; None if no rule fits, and the status decides.

    A condition sees an object with `status`, `headers` (names in lower case) and `body`: its JSON, null if it is empty,
    its first 64 KiB as text if it is not JSON. Raises ExpressionOverBudget.
    """
    document: dict[str, Any] | None = None
    budget: ExpressionBudget | None = None
    for rule in rules:
        if not rule.fits_status(status):
            continue
        if rule.condition is None:
            return rule
        if document is None:
            # Once for all conditions: a body may have a megabyte.
            document = describe_response(status, headers, body)
            budget = ExpressionBudget(MAX_RULE_STEPS, MAX_RULE_BYTES)
        if rule.condition.is_true(document, budget):
            return rule
    return None


def describe_response(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return a response as expressions see it: `status`, `headers` and `body`, as in `find_rule`."""
    return {"status": status, "headers": dict(headers), "body": _read_body(body)}


def _read_body(body: bytes) -> Any:
    if not body.strip():
        return None
    try:
        return parse_json(body)
    except UnreadableError:
        return body[:MAX_TEXT_BYTES].decode("utf-8", "replace")
