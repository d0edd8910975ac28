"""Canonical JSON: one value, one sequence of bytes, on every machine. Pure.

Sorted names, ASCII, no white space, no floats, whole numbers below 2**53, times as text (the shape of RFC 8785 for
the values allowed here).
"""

import json
from collections.abc import Mapping
from typing import Any

JSONValue = Any  # None, bool, int, str, or lists and mappings of them

MAX_NUMBER = 2**53  # excluded
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Mapping[str, JSONValue]) -> str:
    """Return the canonical text of an object. Raises TypeError or ValueError for a value without a canonical form."""
    _check_value(value)
    return _ENCODER.encode(value)


def _check_value(value: JSONValue) -> None:
    # Before int, because bool is a subclass of it.
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        # JSON readers that use doubles would round larger numbers and hash other bytes.
        if abs(value) >= MAX_NUMBER:
            raise ValueError("a whole number of 2**53 or more has no canonical form")
    elif isinstance(value, Mapping):
        for name, member in value.items():
            # The encoder writes the names 1 and None as "1" and "null", so different objects would have the same text.
            if not isinstance(name, str):
                raise TypeError("a field's name must be text")
            _check_value(member)
    elif isinstance(value, list | tuple):
        for member in value:
            _check_value(member)
    else:
        raise TypeError(f"{type(value).__name__} has no canonical form")
