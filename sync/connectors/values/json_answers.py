"""Looking into what a remote system answered, none of which can be trusted. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from jmespath.exceptions import JMESPathError

from sync.connectors.contracts.types import FieldError
from sync.connectors.values.exact_numbers import read_number
from sync.connectors.values.jmespath_paths import Finder

DEEPEST = 64
LONGEST_SENTENCE = 300
LONGEST_ID = 255
MOST_FIELD_ERRORS = 20

# C0, DEL and C1 controls, and the marks that turn the direction of text around.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


# What alone can make a lone surrogate or an infinite number.
_SUSPECT = re.compile(rb"\\u[dD][89a-fA-F]|[0-9][eE]|[0-9]{300}")


class UnreadableError(ValueError):
    """Not the JSON that was expected. The message names the rule and holds nothing of the body."""


def read_json(body: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN, finite numbers, at most 64 levels, no lone surrogate.

    For numbers see `exact_numbers`.
    """
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        return _bounded(_parse(body))
    return _parse(body)


def read_object(body: bytes) -> dict[str, Any]:
    """Strict JSON that is an object."""
    return as_object(read_json(body))


def as_object(value: Any) -> dict[str, Any]:
    """The value if it is an object; raises UnreadableError."""
    if not isinstance(value, dict):
        raise UnreadableError("an object was expected")
    return value


def as_id(value: Any) -> str:
    """An id as text: a string that is not empty, or a whole number; no longer than can be kept, and without U+0000,
    which PostgreSQL does not store. Raises UnreadableError.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**LONGEST_ID else ""
    if not isinstance(value, str) or not value:
        raise UnreadableError("an id was expected")
    if len(value) > LONGEST_ID or "\0" in value:
        raise UnreadableError(f"an id of at most {LONGEST_ID} characters was expected")
    return value


def as_text(value: Any) -> str | None:
    """A scalar as text, to be compared or kept; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def clean(text: str, longest: int = LONGEST_SENTENCE) -> str:
    """A remote system's words made fit for show: no control characters, single spaces, cut to a length."""
    # Cut before the patterns run, so that a long text costs no more than a short one.
    words = " ".join(_CONTROLS.sub(" ", text[: longest * 4]).split())
    return words if len(words) <= longest else words[: longest - 1].rstrip() + "…"


class Expression:
    """A compiled JMESPath expression that answers None where it does not fit what it is shown."""

    __slots__ = ("_finder",)

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    def find(self, value: Any) -> Any:
        """What the expression finds."""
        try:
            return self._finder(value)
        except JMESPathError:
            return None


@dataclass(frozen=True, slots=True)
class ErrorWords:
    """Where a system keeps its words in an answer that is an error. `when`: what finds something (see JMESPath on
    truth) in an answer of 2xx that is one all the same."""

    sentence: Expression | None = None
    fields: Expression | None = None
    when: Expression | None = None

    def tells_error(self, body: bytes) -> bool:
        """Whether an answer of 2xx is an error. Never raises."""
        if self.when is None or not body.strip():
            return False
        try:
            found = self.when.find(read_json(body))
        except UnreadableError:
            return False
        return found is not None and found is not False and found not in ("", [], {})

    def read(self, body: bytes) -> tuple[str | None, tuple[FieldError, ...]]:
        """Its own sentence and the fields that it names. Never raises: an error's body may be anything."""
        try:
            value = read_json(body)
        except UnreadableError:
            return None, ()
        found = self.sentence.find(value) if self.sentence else None
        sentence = clean(found) if isinstance(found, str) else ""
        return sentence or None, tuple(self._field_errors(value))

    def _field_errors(self, value: Any) -> Iterator[FieldError]:
        found = self.fields.find(value) if self.fields else None
        for one in found[:MOST_FIELD_ERRORS] if isinstance(found, list) else ():
            if isinstance(one, Mapping):
                field, code, detail = (
                    clean(as_text(one.get(part)) or "") for part in ("field", "code", "detail")
                )
                if field or detail:
                    yield FieldError(field, code, detail)


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=read_number)


def _parse(body: bytes) -> Any:
    try:
        value = _DECODER.decode(body.decode("utf-8"))
        if _SUSPECT.search(body):
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise UnreadableError("the answer is not JSON") from None
    return value


def _bounded(value: Any) -> Any:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [child for one in level for child in _children(one)]
        if not level:
            return value
    raise UnreadableError("the answer is nested too deeply")


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
