"""Write numbers that a float cannot hold exactly with the digits that were read. Pure.

A PUT sends back every field of the record that was read: an amount of 18 digits must not return with 17.
"""

import json
import math
import re
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

# Stands for such a number within `dump_json`; it never leaves the process.
_MARK = uuid.uuid4().hex
_MARKS = re.compile(f'"{_MARK}"')


class ExactFloat(float):
    """A float that `dump_json` writes with its original digits."""

    __slots__ = ("text",)
    text: str


def parse_number(text: str) -> float:
    """Parse a JSON number with a fraction or an exponent."""
    number = float(text)
    if repr(number) == text or _is_exact(text, number):
        return number
    parsed = ExactFloat(number)
    parsed.text = text
    return parsed


def dump_json(value: Any) -> str:
    """Serialize to JSON; each `ExactFloat` keeps its original digits. Raises what `json.dumps` raises."""
    texts: list[str] = []
    marked = _replace_with_marks(value, texts)
    written = json.dumps(marked, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _restore_digits(written, iter(texts)) if texts else written


def _restore_digits(written: str, texts: Iterator[str]) -> str:
    return _MARKS.sub(lambda _: next(texts), written)


def _replace_with_marks(value: Any, texts: list[str]) -> Any:
    """Replace each ExactFloat by the mark, and append its digits to `texts` in the order of writing."""
    if isinstance(value, Mapping):
        return {name: _replace_with_marks(member, texts) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_with_marks(member, texts) for member in value]
    if not isinstance(value, ExactFloat):
        return value
    texts.append(value.text)
    return _MARK


def _is_exact(text: str, number: float) -> bool:
    """Return True if Python writes an equal value, possibly in other digits. Infinite values count as exact
    and are refused later.
    """
    try:
        return math.isinf(number) or Decimal(text) == Decimal(repr(number))
    except InvalidOperation:
        # The exponent exceeds the limits of Decimal: as a float the number is only zero.
        return False
