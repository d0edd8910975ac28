"""Parse and inspect responses of a remote system, which are untrusted. Pure."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

from jmespath.exceptions import JMESPathError

from config_schema.expressions.expression_budget import OVER_BUDGET_REASON, ExpressionBudget, OverBudget
from config_schema.expressions.jmespath_paths import Evaluator
from config_schema.expressions.projections import loses_all_items
from connectors.contracts.types import FieldError
from connectors.values.exact_numbers import parse_number

MAX_DEPTH = 64
MAX_SENTENCE_LENGTH = 300
MAX_ID_LENGTH = 255
MAX_FIELD_ERRORS = 20
# Of a text that is cut for display: enough to find a secret whole, however it is escaped, before the cut.
_MAX_SCRUBBED_LENGTH = 65_536

# C0, DEL and C1 controls, and the marks that turn the direction of text around.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


# Only these can produce a lone surrogate or an infinite number.
_NEEDS_CHECK = re.compile(rb"\\u[dD][89a-fA-F]|[0-9][eE]|[0-9]{300}")


class UnreadableError(ValueError):
    """Unexpected JSON. The message names the rule and contains nothing of the body."""


def parse_json(body: bytes) -> Any:
    """Parse strict JSON: UTF-8, no NaN, finite numbers, at most 64 levels, no lone surrogate.

    Numbers keep their digits (`exact_numbers`). Raises UnreadableError.
    """
    # Each level needs a bracket: with so few of them the depth needs no check.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        return _require_max_depth(_decode_json(body))
    return _decode_json(body)


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse strict JSON that must be an object. Raises UnreadableError."""
    return as_object(parse_json(body))


def as_object(value: Any) -> dict[str, Any]:
    """Return the value if it is an object. Raises UnreadableError."""
    if not isinstance(value, dict):
        raise UnreadableError("an object was expected")
    return value


def as_id(value: Any) -> str:
    """Return an id as text: a non-empty string or a whole number, at most 255 characters.

    Raises UnreadableError, also for U+0000, which PostgreSQL cannot store.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**MAX_ID_LENGTH else ""
    if not isinstance(value, str) or not value:
        raise UnreadableError("the setting `id` finds no id")
    if len(value) > MAX_ID_LENGTH or "\0" in value:
        raise UnreadableError(f"an id of at most {MAX_ID_LENGTH} characters was expected")
    return value


def as_text(value: Any) -> str | None:
    """Return a string or number as text, None for anything else and for a number that is too long."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return str(value)
        except ValueError:
            # A sum of numbers may have more digits than Python turns into text.
            return None
    return None


def clean_text(text: str, max_length: int = MAX_SENTENCE_LENGTH) -> str:
    """Clean text of a remote system for display: no control characters, single spaces, at most `max_length`
    characters.
    """
    # Cut before the patterns run, so that a long text costs no more than a short one.
    words = " ".join(_CONTROLS.sub(" ", text[: max_length * 4]).split())
    return words if len(words) <= max_length else words[: max_length - 1].rstrip() + "…"


class ExpressionOverBudget(Exception):
    """An expression in the settings costs more than its budget. `field` names the setting by its JSON pointer."""

    def __init__(self, pointer: str) -> None:
        super().__init__(f"{pointer}: {OVER_BUDGET_REASON}")
        self.field = FieldError(pointer, "over-budget", OVER_BUDGET_REASON)


class ExpressionUnfit(Exception):
    """An expression in the settings needs other types of values than there are. The message is its JSON pointer."""


def is_true_value(found: Any) -> bool:
    """Return True if a value is true by the rules of JMESPath: not null, false, or empty."""
    return found is not None and found is not False and found not in ("", [], {})


class JmesPathExpression:
    """A compiled JMESPath expression that returns None for documents that it does not fit.

    `pointer` is its JSON pointer in the settings, and `text` the expression as written. If `is_plain`, it is a plain
    path, which `find` follows without a budget and which fits every document. If `is_current_node`, it is `@`, the
    document itself. Expressions of the same text are equal.
    """

    __slots__ = ("find", "is_current_node", "is_plain", "pointer", "text")

    def __init__(self, find: Evaluator, pointer: str, text: str = "", *, is_plain: bool = False) -> None:
        self.find = find
        self.pointer = pointer
        self.text = text
        self.is_plain = is_plain
        self.is_current_node = text == "@"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JmesPathExpression) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def evaluate(self, value: Any, budget: ExpressionBudget | None = None) -> Any:
        """Evaluate the expression over a document, within its own limits and within `budget`, which others share.
        Raises ExpressionOverBudget.
        """
        try:
            return self.find(value, budget)
        except JMESPathError:
            return None
        except OverBudget:
            raise ExpressionOverBudget(self.pointer) from None

    def evaluate_strictly(self, value: Any, budget: ExpressionBudget | None = None) -> Any:
        """Evaluate the expression as `evaluate` does. Raises ExpressionUnfit for a document that it does not fit."""
        try:
            return self.find(value, budget)
        except JMESPathError:
            raise ExpressionUnfit(self.pointer) from None
        except OverBudget:
            raise ExpressionOverBudget(self.pointer) from None

    def loses_all_items(self, value: Any, budget: ExpressionBudget | None = None) -> bool:
        """Return True if the expression finds nothing in any item of a list that has items, because no item has its
        path. Raises ExpressionOverBudget.
        """
        try:
            return not self.is_plain and loses_all_items(self.text, value, budget)
        except JMESPathError:
            return False
        except OverBudget:
            raise ExpressionOverBudget(self.pointer) from None

    def is_true(self, value: Any, budget: ExpressionBudget | None = None) -> bool:
        """Return True if the expression finds a true value in a document, by the truth rules of JMESPath. Raises
        ExpressionOverBudget.
        """
        return is_true_value(self.evaluate(value, budget))


# An HTML page, such as a log-in page, in place of an answer.
_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)


def states_failure(body: bytes) -> bool:
    """Return True if the body of a response with a 2xx status says that the request failed: by `false`, by a true
    `error` or `errors`, by a false `success` or `ok`, or as an HTML page.
    """
    try:
        document = parse_json(body) if body.strip() else None
    except UnreadableError:
        return _PAGE.match(body) is not None
    if not isinstance(document, dict):
        return document is False
    is_named = any(document.get(name) for name in ("error", "errors"))
    return is_named or any(document.get(name) is False for name in ("success", "ok"))


def read_item(
    value: Any, id_expression: JmesPathExpression, budget: ExpressionBudget | None = None
) -> tuple[str, dict[str, Any]]:
    """Return the id of an entity or a record, and the object in which `id_expression` finds it. Raises
    UnreadableError, and ExpressionOverBudget.
    """
    fields = as_object(value)
    return as_id(id_expression.evaluate(fields, budget)), fields


_SECONDS = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?", re.ASCII)
_MAX_SECONDS = 999_999_999


class WaitUnit(StrEnum):
    """The unit of a header that says how long to wait."""

    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    # Seconds since 1970.
    TIME = "time"


@dataclass(frozen=True, slots=True)
class WaitHeader:
    """A header, in lower case, that says how long to wait."""

    name: str
    unit: WaitUnit

    def read_seconds(self, headers: Mapping[str, str], now: float) -> float | None:
        """Return the seconds to wait from `now`, which counts from 1970: 0 or more; None if none are stated. Of a
        header that is repeated, the last value counts.
        """
        text = headers.get(self.name, "").rpartition(",")[2].strip()
        if not _SECONDS.fullmatch(text):
            return None
        value = float(text)
        if self.unit is WaitUnit.TIME:
            value -= now
        elif self.unit is WaitUnit.MILLISECONDS:
            value /= 1_000
        return min(max(value, 0.0), _MAX_SECONDS)


@dataclass(frozen=True, slots=True)
class ErrorExtractor:
    """Expressions for the error text and field errors in a response of a system.

    `header` is the name, in lower case, of the header that has the text if the body has none. `wait` is an expression
    for the seconds to wait. `wait_header` is the header that has them if the body has none; it is read only if there
    were too many requests.
    """

    sentence: JmesPathExpression | None = None
    fields: JmesPathExpression | None = None
    header: str | None = None
    wait: JmesPathExpression | None = None
    wait_header: WaitHeader | None = None

    def extract_wait(self, body: bytes) -> float | None:
        """Return the seconds to wait that a body states, 0 or more; None if it states none. Never raises."""
        if self.wait is None:
            return None
        try:
            value = self.wait.evaluate(parse_json(body))
        except (UnreadableError, ExpressionOverBudget):
            return None
        if isinstance(value, str) and _SECONDS.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        # JSON has whole numbers of any length, so the bounds come before the conversion.
        return float(min(value, _MAX_SECONDS)) if value >= 0 else None

    def extract_error(
        self, body: bytes, headers: Mapping[str, str], scrub: Callable[[str], str]
    ) -> tuple[str | None, tuple[FieldError, ...]]:
        """Return the error text and the field errors of a response, after `scrub` has removed secrets from each text.
        Never raises, as an error's body may be anything: an expression that costs too much is the only field error.
        """
        sentence, fields = self._extract_from_body(body, scrub)
        if sentence is None and self.header is not None:
            sentence = _clean_scrubbed(headers.get(self.header, ""), scrub) or None
        return sentence, fields

    def _extract_from_body(
        self, body: bytes, scrub: Callable[[str], str]
    ) -> tuple[str | None, tuple[FieldError, ...]]:
        try:
            value = parse_json(body)
            message = self.sentence.evaluate(value) if self.sentence else None
            sentence = _clean_scrubbed(message, scrub) if isinstance(message, str) else ""
            return sentence or None, tuple(self._field_errors(value, scrub))
        except UnreadableError:
            return None, ()
        except ExpressionOverBudget as costly:
            return None, (costly.field,)

    def _field_errors(self, value: Any, scrub: Callable[[str], str]) -> Iterator[FieldError]:
        errors = self.fields.evaluate(value) if self.fields else None
        for one in errors[:MAX_FIELD_ERRORS] if isinstance(errors, list) else ():
            if isinstance(one, Mapping):
                field, code, detail = (
                    _clean_scrubbed(as_text(one.get(part)) or "", scrub)
                    for part in ("field", "code", "detail")
                )
                if field or detail:
                    yield FieldError(field, code, detail)


def _clean_scrubbed(text: str, scrub: Callable[[str], str]) -> str:
    """Clean a text for display, without secrets: they are removed first, because half a secret is not found."""
    return clean_text(scrub(text[:_MAX_SCRUBBED_LENGTH]))


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=parse_number)


def _decode_json(body: bytes) -> Any:
    try:
        value = _DECODER.decode(body.decode("utf-8"))
        if _NEEDS_CHECK.search(body):
            # Writing the value fails for a lone surrogate and for an infinite number.
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise UnreadableError("the response is not JSON") from None
    return value


def _require_max_depth(value: Any) -> Any:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [child for one in level for child in _child_values(one)]
        if not level:
            return value
    raise UnreadableError("the response is nested too deeply")


def _child_values(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
