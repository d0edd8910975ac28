"""The digest of a table, the same for both databases: each value in one spelling, the rows in any order."""

import hashlib
import json
import marshal
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from integration_hub.move.values import Column

_MODULUS = 2**256
# From here on a float does not hold every whole number.
_EXACT = 2**53
_BYTES = 32


class RowDigest:
    """The sum of the hashes of the rows of a table, from `total` on."""

    def __init__(self, columns: Sequence[Column], total: str = "0") -> None:
        spellings = ((place, _SPELLINGS.get(column.data_type)) for place, column in enumerate(columns))
        self._spellings = [(place, spell) for place, spell in spellings if spell is not None]
        self._total = int(total, 16)

    def add_row(self, row: Iterable[Any]) -> None:
        """Add a row, as it is written to PostgreSQL or as it is read from it."""
        values = list(row)
        for place, spell in self._spellings:
            if values[place] is not None:
                values[place] = spell(values[place])
        # In format 0 of marshal, equal values have equal bytes.
        hashed = hashlib.sha256(marshal.dumps(values, 0)).digest()
        self._total = (self._total + int.from_bytes(hashed)) % _MODULUS

    def __str__(self) -> str:
        return f"{self._total:0{2 * _BYTES}x}"


def _spell_document(text: str) -> str:
    return json.dumps(json.loads(text, parse_int=_spell_number, parse_float=_spell_number), sort_keys=True)


def _spell_number(text: str) -> int | float:
    """Return a number of JSON. PostgreSQL writes 1e2 as 100, and no sign before a zero."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


_SPELLINGS: dict[str, Callable[[Any], Any]] = {
    "timestamp with time zone": datetime.timestamp,
    "jsonb": _spell_document,
    "uuid": str,
    "inet": str,
    "numeric": lambda value: str(value.normalize()),
    "date": str,
    # A float of SQLite may have been a whole number.
    "double precision": float,
}
