"""Numbers that a float does not hold to the last digit: written back as they were read. Pure.

A PUT sends back all that it read of a record, also what is no business of ours: an amount of 18 digits must not come
back with 17.
"""

import json
import math
import re
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

_MARK = uuid.uuid4().hex  # stands for such a number for a moment; it leaves the process in no other way
_MARKS = re.compile(f'"{_MARK}"')


class ExactFloat(float):
    """A float in all that is done with it, but for `dump_json`, which writes the digits that it came in."""

    __slots__ = ("text",)
    text: str


def parse_number(text: str) -> float:
    """A JSON number with a fraction or an exponent."""
    number = float(text)
    if repr(number) == text or _is_exact(text, number):
        return number
    found = ExactFloat(number)
    found.text = text
    return found


def dump_json(value: Any) -> str:
    """JSON, in which each `ExactFloat` has the digits that it came in. Raises what `json.dumps` raises."""
    texts: list[str] = []
    marked = _replace_with_marks(value, texts)
    written = json.dumps(marked, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _restore_digits(written, iter(texts)) if texts else written


def _restore_digits(written: str, texts: Iterator[str]) -> str:
    return _MARKS.sub(lambda _: next(texts), written)


def _replace_with_marks(value: Any, texts: list[str]) -> Any:
    """The same with the mark in the place of each such number; their digits, in the order in which they are written."""
    if isinstance(value, Mapping):
        return {name: _replace_with_marks(member, texts) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_with_marks(member, texts) for member in value]
    if not isinstance(value, ExactFloat):
        return value
    texts.append(value.text)
    return _MARK


def _is_exact(text: str, number: float) -> bool:
    """Whether Python writes the same value, in other digits perhaps. An infinite one is for others to refuse."""
    try:
        return math.isinf(number) or Decimal(text) == Decimal(repr(number))
    except InvalidOperation:  # an exponent beyond all measure: a float has nothing for it but zero
        return False
