"""Digests with which an entry commits to the columns of a row. Pure.

`docs/audit-format.md` says which columns each digest covers. A digest of columns that name a person takes a key,
because their values can be guessed.
"""

import hmac
import json
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256

from audit.format.canonical_json import JSONValue
from audit.format.signed_records import format_time

# 96 bits: enough that no second row has the digest, and half the bytes of an entry.
_DIGITS = 24
_PREFIX = b"hub-row-1\0"
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode


def row_digest(*values: JSONValue | datetime) -> str:
    """Return the digest of a row's values, in this order: what the row is called, then its columns."""
    return sha256(_digest_input(values)).hexdigest()[:_DIGITS]


def row_digests(name: str, rows: Iterable[tuple[JSONValue | datetime, ...]]) -> list[str]:
    """Return the digest of each row. `name`: what the rows are called."""
    return [row_digest(name, *values) for values in rows]


def keyed_row_digest(key: bytes, *values: JSONValue | datetime) -> str:
    """Return the keyed digest of values that identify a person. Without the key, guesses cannot be tested."""
    return hmac.digest(key, _digest_input(values), "sha256").hex()[:_DIGITS]


def _digest_input(values: tuple[JSONValue | datetime, ...]) -> bytes:
    texts = [format_time(value) if isinstance(value, datetime) else value for value in values]
    return _PREFIX + _encode(texts).encode("ascii")
